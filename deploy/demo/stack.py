"""The stack that the demo runs on: the one that runs on its home already, or one of its own for as long as it lasts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.errors import ConfigurationError
from deploy.home import Home
from deploy.stack import ROOT

_START_S: Final = 120.0
_STOP_S: Final = 45.0

#: Settings of a real installation that must not reach the demo's own.
_NOT_INHERITED: Final = ("FACEPIPE_DATABASE_URL", "FACEPIPE_REDIS_URL", "FACEPIPE_HOST", "FACEPIPE_FRAMES__DIRECTORY")


@contextmanager
def running_stack(home: Path, say: Callable[[str], None], options: Sequence[str] = ()) -> Iterator[str]:
    """The address of an API that is ready; a stack that was started here is stopped at the end.

    Args:
        home: directory of the stack.
        say: told what happens.
        options: of `deploy.up`, for a stack that is started here.

    Raises:
        ConfigurationError: the stack does not start; the text has its last words.
    """
    found = Home(home).running()
    if found is not None:
        say(f"Using the stack that runs at {found.api_url}.")
        yield found.api_url
        return
    say("Starting the stack: database, Redis, API, four pools, housekeeping, Flower …")
    began = time.monotonic()
    home.mkdir(parents=True, exist_ok=True)
    log = home / "demo-launcher.log"
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "deploy.up", "--with-parent", str(os.getpid()), *options],
            cwd=ROOT,
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the stack in good order
        )
    try:
        url = _wait_until_ready(launcher, Home(home), log)
        say(f"Ready at {url} after {time.monotonic() - began:.1f} s.")
        yield url
    finally:
        _stop(launcher)


def _environment(home: Path) -> dict[str, str]:
    api_port, flower_port = _free_ports(2)
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return environment | {
        "PYTHONPATH": str(ROOT),
        "FACEPIPE_HOME": str(home.absolute()),
        "FACEPIPE_PORT": str(api_port),
        "FACEPIPE_FLOWER_PORT": str(flower_port),
    }


def _wait_until_ready(launcher: "subprocess.Popen[bytes]", home: Home, log: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if (stack := home.running()) is not None:
            return stack.api_url
        if launcher.poll() is not None:
            break
        time.sleep(0.1)
    words = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise ConfigurationError(f"The stack does not start. It said:\n{words}")


def _stop(launcher: "subprocess.Popen[bytes]") -> None:
    if launcher.poll() is None:
        launcher.send_signal(signal.SIGTERM)
    try:
        launcher.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        launcher.send_signal(signal.SIGTERM)  # the second one stops at once
        launcher.wait()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
