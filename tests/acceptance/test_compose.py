"""The compose files without Docker: every service's own command is started, and its own health check must pass.

Host names of services become the local test servers, volumes become folders, published container ports become free
ones; everything else is taken from the files as it stands.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from api.compat import PREDECESSORS
from common.contracts import PICTURE_STAGES, POOLS
from deploy.embedded.redis import find_redis_server, free_port
from tests.acceptance.conftest import free_offset
from tests.conftest import ROOT
from tests.picture_packs import write_pack

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())
GPU: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.gpu.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("facepipe:")]
LONG_RUNNING = [name for name in OURS if name != "migrate"]
SECRETS = {"POSTGRES_PASSWORD": "pg5ecret", "REDIS_PASSWORD": "r3dis", "FLOWER_PASSWORD": "fl0wer"}


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME:-default}` and `${NAME:?complaint}` as compose does it."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match["name"], match["operator"], match["word"]
        if variables.get(name):
            return variables[name]
        if operator == ":?":
            raise ValueError(word)
        return word or ""

    return re.sub(r"\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<word>[^}]*))?\}", value, text)


class Bench:
    """Runs services of the files with local servers in place of containers.

    Args:
        folder: for volumes and logs.
        database_url, redis_url: what `postgres` and `redis` become.
    """

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self._folder = folder
        self._database_url = database_url
        self._redis_url = redis_url
        self.ports = {
            "FACEPIPE_PORT": str(free_port()),
            "FACEPIPE_FLOWER_PORT": str(free_port()),
            "FACEPIPE_COMPAT_PORT_OFFSET": str(free_offset()),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """The service's environment, translated to this machine."""
        raw = SERVICES[name].get("environment", {})
        said = {key: interpolate(str(value), SECRETS) for key, value in raw.items()}
        assert "@postgres:5432/" in said["FACEPIPE_DATABASE_URL"]
        assert "@redis:6379/" in said["FACEPIPE_REDIS_URL"]
        said["FACEPIPE_DATABASE_URL"] = self._database_url
        said["FACEPIPE_REDIS_URL"] = self._redis_url
        for key in ("FACEPIPE_HOME", "FACEPIPE_FRAMES__DIRECTORY"):
            folder = self._folder / said[key].lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            said[key] = str(folder)
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        inherited["PATH"] = f"{Path(sys.executable).parent}:{inherited.get('PATH', '')}"
        return {**inherited, **image_environment(), **said, **self.ports, "PYTHONPATH": str(ROOT)}

    def run(self, name: str) -> int:
        """A service that ends by itself."""
        command = [interpolate(part, SECRETS) for part in SERVICES[name]["command"]]
        return subprocess.run(command, cwd=ROOT, env=self.environment(name), check=False, timeout=120).returncode

    def start(self, name: str) -> None:
        """A service that stays."""
        command = [interpolate(part, SECRETS) for part in SERVICES[name]["command"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(name), stdout=log, stderr=log, start_new_session=True
            )

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """The service's own health check, once."""
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(name), capture_output=True, text=True, check=False, timeout=60
        )

    def wait_until_healthy(self, name: str) -> None:
        """Until the health check passes; fails with the log when the service ends or time is up."""
        deadline = time.monotonic() + 90
        while (checked := self.health(name)).returncode != 0:
            log = (self._folder / f"{name}.log").read_text(errors="replace")[-3000:]
            assert self._running[name].poll() is None, f"{name} ended:\n{log}"
            assert time.monotonic() < deadline, f"{name}: {checked.stderr}\n{log}"

    def stop(self, name: str) -> int:
        """SIGTERM as compose does it; returns the exit status."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop_all(self) -> None:
        """Everything that still runs."""
        for name in list(self._running):
            self.stop(name)


def image_environment() -> dict[str, str]:
    """What the Dockerfile's ENV sets, without paths of the image."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    pairs = dict(pair for line in re.findall(r"^ENV (.*)$", text, re.M) for pair in re.findall(r"(\w+)=(\S+)", line))
    return {key: value for key, value in pairs.items() if key not in {"PATH", "HOME", "PYTHONPATH"}}


@pytest.fixture
def bench(tmp_path: Path, empty_database_url: str, redis_url: str) -> Iterator[Bench]:
    """A bench on an empty database."""
    made = Bench(tmp_path, empty_database_url, redis_url)
    yield made
    made.stop_all()


def test_every_service_starts_by_its_command_and_becomes_healthy(bench: Bench, tmp_path: Path) -> None:
    assert bench.run("migrate") == 0
    write_pack(tmp_path / "data" / "models" / "colours", layout="yolo8", captions=True)
    for name in LONG_RUNNING:
        assert bench.health(name).returncode != 0, f"{name} is called healthy before it runs"
        bench.start(name)
    for name in LONG_RUNNING:
        bench.wait_until_healthy(name)

    api = f"http://127.0.0.1:{bench.ports['FACEPIPE_PORT']}"
    assert httpx.get(f"{api}/readyz").status_code == 200
    assert httpx.get(f"{api}/v1/galleries").status_code == 401  # published beyond loopback: a key is needed

    flower = f"http://127.0.0.1:{bench.ports['FACEPIPE_FLOWER_PORT']}/workers"
    assert httpx.get(flower).status_code == 401
    assert httpx.get(flower, auth=("admin", "wrong")).status_code == 401
    assert httpx.get(flower, auth=("admin", SECRETS["FLOWER_PASSWORD"])).status_code == 200

    assert bench.stop("detect") == 0
    assert bench.health("detect").returncode != 0, "a pool that has ended is called healthy"


def test_the_redis_command_is_understood_by_a_real_server(tmp_path: Path) -> None:
    command = [interpolate(part, SECRETS) for part in SERVICES["redis"]["command"]]
    assert command[0] == "redis-server"
    port = free_port()
    process = subprocess.Popen([find_redis_server(), *command[1:], "--port", str(port), "--dir", str(tmp_path)])
    try:
        client = redis.Redis(port=port, password=SECRETS["REDIS_PASSWORD"])
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                break
            except redis.exceptions.ConnectionError:
                assert time.monotonic() < deadline
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("save")["save"] == ""
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis(port=port).ping()
        client.close()
    finally:
        process.terminate()
        process.wait(20)


def test_there_is_a_service_for_every_part_of_the_stack() -> None:
    assert set(OURS) == {"migrate", "api", "compat", "housekeeping", "flower", *POOLS}
    for name in (*POOLS, "housekeeping"):
        volumes = {volume.partition(":")[2] for volume in SERVICES[name]["volumes"]}
        environment = SERVICES[name]["environment"]
        assert {environment["FACEPIPE_HOME"], environment["FACEPIPE_FRAMES__DIRECTORY"]} <= volumes


def test_every_service_restarts_and_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        if name != "migrate":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_without_privileges(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["read_only"] is True
    assert "no-new-privileges:true" in SERVICES[name]["security_opt"]


def test_older_projects_are_served_on_their_own_ports_where_asked_for() -> None:
    compat = SERVICES["compat"]
    assert compat["profiles"] == ["compat"]
    inside = {int(interpolate(port, {}).rpartition(":")[2]) for port in compat["ports"]}
    outer = {port for each in PREDECESSORS.values() for port in each.ports if port not in each.inner_ports}
    assert inside == outer


def test_pools_for_pictures_run_only_where_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["pictures"]} == {*PICTURE_STAGES}


def test_only_what_people_talk_to_is_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "compat", "flower"}
    for ports in published.values():
        assert all(interpolate(port, {}).startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_missing_secret_stops_compose(secret: str) -> None:
    others = {name: value for name, value in SECRETS.items() if name != secret}
    with pytest.raises(ValueError, match=f"set {secret}"):
        interpolate((ROOT / "deploy" / "compose.yml").read_text(), others)


def test_no_image_floats() -> None:
    for name in ("postgres", "redis"):
        assert re.search(r":\w*\d", SERVICES[name]["image"]), name


def test_gpu_pools_are_pinned_to_a_device() -> None:
    assert set(GPU["services"]) == {"detect", "embed"}
    for name, service in GPU["services"].items():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert interpolate(device["device_ids"][0], {}) == "0"
        assert service["environment"][f"FACEPIPE_{name.upper()}__DEVICE"] == "cuda:0"
        assert service["build"]["args"] == {"LOCK": "gpu"}


def test_decoding_on_a_gpu_gets_its_decoder() -> None:
    (service,) = yaml.safe_load((ROOT / "deploy" / "compose.nvdec.yml").read_text())["services"].items()
    name, changes = service
    assert name in SERVICES
    assert changes["environment"] == {"FACEPIPE_DECODE__HWACCEL": "cuda"}
    (device,) = changes["deploy"]["resources"]["reservations"]["devices"]
    assert interpolate(device["device_ids"][0], {}) == "0"
    assert "video" in device["capabilities"]


def test_the_image_is_built_from_files_that_exist() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in sources.replace("${LOCK}", "app").split():
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source


def test_the_frame_volume_is_shared_memory_with_room_for_the_frame_store() -> None:
    options = COMPOSE["volumes"]["frames"]["driver_opts"]
    assert options["type"] == "tmpfs"
    assert "size=1g" in options["o"]
