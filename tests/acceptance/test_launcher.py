"""The launcher, as a person meets it: ready, watched over, stopped without a trace, and clear when it cannot start."""

import os
import signal
import socket
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg2
import pytest

from common.contracts import STAGES
from deploy.home import Home
from tests.acceptance.conftest import LaunchedStack, command_line, wait_for

Launch = Callable[..., LaunchedStack]


def gone(processes: dict[int, str]) -> bool:
    """Whether none of these processes lives any more."""
    return not any(command_line(pid) == command for pid, command in processes.items())


def test_a_ready_stack_answers_on_its_addresses(stack: LaunchedStack) -> None:
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert httpx.get(f"{stack.flower_url}/healthcheck").status_code == 200
    assert stack.state["api_url"] == stack.url
    assert stack.state["flower_url"] == stack.flower_url
    assert stack.url in stack.output
    assert stack.flower_url in stack.output


def test_the_state_file_with_its_passwords_is_for_the_owner_alone(stack: LaunchedStack) -> None:
    assert stat.S_IMODE((stack.home / "stack.json").stat().st_mode) == 0o600
    assert Home(stack.home).running() is not None


def test_flower_sees_a_worker_of_every_stage_and_nobody_can_command_it(stack: LaunchedStack) -> None:
    def seen() -> set[str]:
        workers = httpx.get(f"{stack.flower_url}/workers", params={"json": "1"}).json()["data"]
        return {worker["hostname"].partition("@")[0] for worker in workers if worker["status"]}

    wait_for(lambda: seen() == set(STAGES), 30, lambda: f"Flower sees {seen()}")
    worker = f"decode@{os.uname().nodename}"
    assert httpx.post(f"{stack.flower_url}/api/worker/shutdown/{worker}").status_code in {401, 403}
    broker = httpx.get(f"{stack.flower_url}/broker")
    assert broker.status_code == 200
    for stage in STAGES:
        assert stage in broker.text


def test_a_killed_worker_is_started_again_and_that_is_said(stack: LaunchedStack) -> None:
    pid = stack.pid_of("-Q embed ")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "runs again" in stack.output, 60, stack.describe)
    assert "embed         was killed (signal 9" in stack.output
    assert stack.pid_of("-Q embed ") != pid
    wait_for(lambda: httpx.get(f"{stack.url}/readyz").status_code == 200, 30, stack.describe)


def test_stopping_leaves_no_process_and_starting_again_finds_the_data(home: Path, launch: Launch) -> None:
    first = launch(home).wait_until_ready()
    httpx.post(f"{first.url}/v1/galleries", json={"name": "crew"}).raise_for_status()
    processes = first.processes()
    assert len(processes) > len(STAGES) + 4
    assert first.stop() == 0, first.describe()
    assert gone(processes)
    assert not (home / "stack.json").exists()
    assert "Stopped." in first.output

    second = launch(home).wait_until_ready()
    assert "up to date" in second.output
    assert httpx.get(f"{second.url}/v1/galleries/crew").status_code == 200
    assert (home / "logs" / "api.log.1").exists()


def test_a_launcher_that_is_killed_takes_everything_with_it_and_a_new_one_starts(home: Path, launch: Launch) -> None:
    first = launch(home).wait_until_ready()
    processes = first.processes()
    first.process.kill()
    first.process.wait()
    wait_for(lambda: gone(processes), 30, lambda: str([command_line(pid) for pid in processes]))
    assert Home(home).running() is None
    launch(home).wait_until_ready()


def test_a_second_launcher_on_the_same_home_is_refused_in_one_sentence(stack: LaunchedStack, launch: Launch) -> None:
    (stack.home.parent / "same").symlink_to(stack.home)
    refused = launch(stack.home.parent / "same")
    assert refused.process.wait(30) == 1
    assert refused.output.count("\n") == 1
    assert f"process {stack.process.pid}" in refused.output
    assert httpx.get(f"{stack.url}/readyz").status_code == 200


@pytest.mark.parametrize(("variable", "which"), [("FACEPIPE_PORT", "port"), ("FACEPIPE_FLOWER_PORT", "flower_port")])
def test_a_taken_port_is_refused_in_one_sentence(home: Path, launch: Launch, variable: str, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        refused = launch(home, **{which: taken.getsockname()[1]})
        assert refused.process.wait(30) == 1
    assert refused.output.count("\n") == 1
    assert f"Set {variable}" in refused.output
    assert refused.processes() == {}


def test_a_home_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path, launch: Launch) -> None:
    (tmp_path / "home").write_text("")
    refused = launch(tmp_path / "home")
    assert refused.process.wait(30) == 1
    assert refused.output.count("\n") == 1
    assert "FACEPIPE_HOME" in refused.output


def test_a_broken_database_folder_is_refused_with_its_reason_and_nothing_is_left_running(
    home: Path, launch: Launch
) -> None:
    (home / "postgres").mkdir(parents=True)
    sqlite3.connect(home / "postgres" / "not-postgres.db").close()
    refused = launch(home)
    assert refused.process.wait(30) == 1
    assert f"{home / 'postgres'} holds something else" in refused.output
    assert (home / "postgres" / "not-postgres.db").exists()


def test_a_database_that_cannot_be_reached_is_named(home: Path, launch: Launch) -> None:
    refused = launch(home, {"FACEPIPE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert refused.process.wait(60) == 1
    assert "The database cannot be reached" in refused.output


def test_a_pool_that_cannot_start_ends_the_launch_with_its_last_lines(home: Path, launch: Launch) -> None:
    refused = launch(home, {"FACEPIPE_MODEL_PACK": "no-such-pack"})
    assert refused.process.wait(120) == 1
    assert "no-such-pack" in refused.output
    assert "while it started" in refused.output


@pytest.mark.parametrize("argument", ["--no-such-option", "--pool=detect=gpu", "--pool=paint=cpu"])
def test_a_wrong_argument_is_a_usage_error(home: Path, launch: Launch, argument: str) -> None:
    refused = launch(home, arguments=(argument,))
    assert refused.process.wait(30) == 2
    assert not home.exists()


def test_servers_of_ones_own_are_used_instead_of_the_embedded_ones(
    home: Path, launch: Launch, empty_database_url: str, redis_url: str
) -> None:
    own = launch(home, {"FACEPIPE_DATABASE_URL": empty_database_url, "FACEPIPE_REDIS_URL": redis_url})
    own.wait_until_ready()
    assert not (home / "postgres").exists()
    assert not any("redis-server" in command or "postgres" in command for command in own.processes().values())
    connection = psycopg2.connect(empty_database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("select count(distinct stage) from workers")
        assert cursor.fetchone() == (len(STAGES) + 1,)
    connection.close()
    assert own.stop() == 0
