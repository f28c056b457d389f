"""Starting, watching and ending real processes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from deploy.child import Child
from deploy.supervisor import Supervisor, describe_end
from tests.conftest import ROOT

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


class Script:
    """A unit that runs Python code and is ready once it has printed `ready`."""

    is_server = False

    def __init__(self, folder: Path, code: str, name: str = "script") -> None:
        self.name = name
        self.code = code
        self.log = folder / f"{name}.log"

    def start(self) -> Child:
        if not self.code:
            raise ConfigurationError("there is no code")
        return Child([sys.executable, "-c", self.code], log=self.log, env=os.environ, cwd=ROOT)

    def probe(self, child: Child) -> str | None:
        return "well" if "ready" in child.last_lines() else None

    def stop(self, child: Child, *, urgent: bool) -> None:
        child.send(signal.SIGKILL if urgent else signal.SIGTERM)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(lambda name, text: said.append(f"{name} {text}"), lambda living: None)
    yield made
    made.stop(grace_s=0, is_urgent=lambda: True)


def until(supervisor: Supervisor, said: list[str], text: str) -> None:
    """Tend until `text` was said."""
    deadline = time.monotonic() + 30
    while not any(text in line for line in said):
        assert time.monotonic() < deadline, said
        supervisor.tend()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_nothing_started_is_all_ready_and_stops(supervisor: Supervisor) -> None:
    assert supervisor.all_ready()
    assert supervisor.stop(grace_s=1, is_urgent=lambda: False) == []


def test_what_ends_is_started_again_and_said(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    watched = supervisor.start(Script(tmp_path, SLEEP))
    until(supervisor, said, "script well")
    first = watched.child.pid
    os.kill(first, signal.SIGKILL)
    until(supervisor, said, "script was killed (signal 9; out of memory?) (ready); starting it again in 0.5 s")
    until(supervisor, said, "script runs again: well")
    assert watched.child.pid != first


def test_the_pause_doubles_while_it_keeps_failing(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    supervisor.start(Script(tmp_path, "raise SystemExit(3)"))
    until(supervisor, said, "in 1 s")
    assert said == [
        "script ended with status 3 (it said nothing); starting it again in 0.5 s",
        "script ended with status 3 (it said nothing); starting it again in 1 s",
    ]


def test_a_unit_that_cannot_be_started_again_is_tried_on(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    unit = Script(tmp_path, "raise SystemExit(3)")
    supervisor.start(unit)
    until(supervisor, said, "in 0.5 s")
    unit.code = ""
    until(supervisor, said, "cannot be started: there is no code; starting it again in 1 s")


def test_patience_ends_and_the_deaf_are_killed(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    polite = supervisor.start(Script(tmp_path, SLEEP, "polite"))
    deaf = supervisor.start(Script(tmp_path, DEAF, "deaf"))
    until(supervisor, said, "polite well")
    until(supervisor, said, "deaf well")
    pids = [polite.child.pid, deaf.child.pid]
    assert supervisor.stop(grace_s=0.5, is_urgent=lambda: False) == ["deaf"]
    assert not any(is_alive(pid) for pid in pids)


def test_urgency_ends_the_patience(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    deaf = supervisor.start(Script(tmp_path, DEAF, "deaf"))
    until(supervisor, said, "deaf well")
    pid = deaf.child.pid
    answers = iter([False])
    supervisor.stop(grace_s=600, is_urgent=lambda: next(answers, True))
    assert not is_alive(pid)


def test_grandchildren_end_too(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(p.pid); p.wait()"
    watched = supervisor.start(Script(tmp_path, code))
    until(supervisor, said, "script well")
    grandchild = int(next(line for line in watched.child.last_lines() if line.isdigit()))
    assert is_alive(grandchild)
    supervisor.stop(grace_s=5, is_urgent=lambda: False)
    deadline = time.monotonic() + 30
    while is_alive(grandchild):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (None, "runs"),
        (0, "ended with status 0"),
        (-15, "was ended by SIGTERM"),
        (-9, "was killed (signal 9; out of memory?)"),
    ],
)
def test_an_end_is_described_in_words(returncode: int | None, words: str) -> None:
    assert describe_end(returncode) == words
