"""A real stack, started by the real launcher, for the tests that need everything."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.compat import PREDECESSORS
from deploy.child import children_of
from deploy.demo.montage import write_enrolment
from deploy.embedded.redis import free_port
from deploy.ports import is_port_free
from tests.acceptance.command_line import CommandLine
from tests.conftest import ROOT
from tests.picture_packs import write_pack

READY_S = 120.0
STOP_S = 60.0


class LaunchedStack:
    """A launcher process and the stack that it started.

    Args:
        home: FACEPIPE_HOME of the stack.
        env: further variables, such as FACEPIPE_LEASE__LEASE_S.
        port, flower_port: free ones are taken when absent.
    """

    def __init__(
        self,
        home: Path,
        env: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        flower_port: int | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.home = home
        self.port = port or free_port()
        self.flower_port = flower_port or free_port()
        self._output_path = home.with_name(f"{home.name}.output")
        self._output = self._output_path.open("wb")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACEPIPE_")}
        self.env = {
            **inherited,
            "FACEPIPE_HOME": str(home),
            "FACEPIPE_PORT": str(self.port),
            "FACEPIPE_FLOWER_PORT": str(self.flower_port),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.up", "--with-parent", str(os.getpid()), *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def flower_url(self) -> str:
        """Where Flower is."""
        return f"http://127.0.0.1:{self.flower_port}"

    @property
    def output(self) -> str:
        """What the launcher has said so far."""
        return self._output_path.read_text(errors="replace")

    @property
    def state(self) -> dict[str, Any]:
        """Contents of stack.json, which is there once the stack is ready."""
        document: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        return document

    def wait_until_ready(self) -> "LaunchedStack":
        """Until the stack has announced itself."""
        wait_for(lambda: (self.home / "stack.json").exists() or self.process.poll() is not None, READY_S, self.describe)
        assert self.process.poll() is None, self.describe()
        return self

    def processes(self) -> dict[int, str]:
        """Every living process below the launcher, with its command line."""
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            for pid in children_of(waiting.pop()):
                waiting.append(pid)
                if command := command_line(pid):
                    found[pid] = command
        return found

    def pid_of(self, part: str) -> int:
        """The process directly below the launcher whose command line has `part`."""
        pids = [pid for pid in children_of(self.process.pid) if part in command_line(pid)]
        assert len(pids) == 1, f"{part}: {self.processes()}"
        return pids[0]

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._output.close()

    def describe(self) -> str:
        """What the launcher said, for a failure's message."""
        return f"launcher ({self.process.poll()}) said:\n{self.output}"


@pytest.fixture
def launch() -> Iterator[Callable[..., LaunchedStack]]:
    """Starts stacks; takes the arguments of `LaunchedStack` and stops them all at the end."""
    started: list[LaunchedStack] = []

    def start(*args: Any, **kwargs: Any) -> LaunchedStack:
        started.append(LaunchedStack(*args, **kwargs))
        return started[-1]

    yield start
    for stack in started:
        stack.stop()


@pytest.fixture(scope="session")
def stack() -> Iterator[LaunchedStack]:
    """One ready stack for all tests that leave it as they found it: running, with data of their own making."""
    with tempfile.TemporaryDirectory(prefix="facepipe-home-") as folder:
        launched = LaunchedStack(Path(folder) / "home")
        try:
            yield launched.wait_until_ready()
        finally:
            launched.stop()


@pytest.fixture(scope="session")
def compat_stack() -> Iterator[LaunchedStack]:
    """The same, with the routes of all older projects, on ports of its own, and with a pack that sees colours."""
    with tempfile.TemporaryDirectory(prefix="facepipe-home-") as folder:
        write_pack(Path(folder) / "packs" / "colours", layout="yolo8", captions=True)
        env = {
            "FACEPIPE_COMPAT": "all",
            "FACEPIPE_COMPAT_PORT_OFFSET": str(free_offset()),
            "FACEPIPE_MODELS_PATH": str(Path(folder) / "packs"),
        }
        launched = LaunchedStack(Path(folder) / "home", env)
        try:
            yield launched.wait_until_ready()
        finally:
            launched.stop()


def compat_url(stack: LaunchedStack, port: int) -> str:
    """Where a stack with older routes serves what an older project had on `port`."""
    return f"http://127.0.0.1:{port + int(stack.env['FACEPIPE_COMPAT_PORT_OFFSET'])}"


@pytest.fixture(scope="module")
def facepipe(stack: LaunchedStack) -> CommandLine:
    return CommandLine(stack.url)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    write_enrolment(folder)
    return folder


def free_offset() -> int:
    """An offset by which every port of an older project is free; not the same each time, as others look for one too."""
    ports = {port for each in PREDECESSORS.values() for port in each.ports}
    for offset in random.sample(range(20_000, 50_000), 1000):
        if all(is_port_free("127.0.0.1", port + offset) for port in ports):
            return offset
    raise RuntimeError("no offset is free")


def wait_for(condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]) -> None:
    """Poll until `condition` holds; fail with `describe` when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:.0f} s. {describe()}")
        time.sleep(0.05)


def command_line(pid: int) -> str:
    """Command line of a process; empty for one that ended, zombies included."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
