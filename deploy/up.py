"""Front door: `python -m deploy.up`. The whole stack on one machine, in the foreground.

Starts the embedded database and Redis unless FACEPIPE_DATABASE_URL or FACEPIPE_REDIS_URL name others, migrates, then
starts the API, the pools, housekeeping and Flower, and watches over all of them until Ctrl-C or SIGTERM.
"""

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psycopg2
import redis
from pydantic import ValidationError

from api.compat import open_ports
from common.contracts import POOLS
from common.errors import ConfigurationError, FacepipeError
from common.settings import Settings
from common.store.database import Database
from common.store.migrate import migrate
from common.store.workers import Workers
from deploy.child import adopt_orphans, end_with_parent, kill_orphans
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.redis import EmbeddedRedis
from deploy.home import Home, RunningStack
from deploy.ports import require_free_port
from deploy.stack import ROOT, Pools, Service, api_url, flower_url, services
from deploy.supervisor import Supervisor, describe_end
from deploy.units import DatabaseUnit, Program, RedisUnit, answers_ok

GRACE_S = 20.0
"""How long pools may take to finish the steps they work on; what is cut off is sent again at the next start."""

_START_TIMEOUT_S = 90.0
_TICK_S = 0.1
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _StopRequested(BaseException):
    """Raised by the first signal wherever the launcher is."""


class Launcher:
    """One stack from start to stop.

    Args:
        settings: as read from the environment.
        pools: devices of pools with more than one process.
        say: prints one line.
    """

    def __init__(self, settings: Settings, pools: Pools, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._pools = pools
        self._say = say
        self._home = Home(settings.home)
        self._supervisor = Supervisor(lambda name, text: say(f"  {name:<13} {text}"), kill_orphans)
        self._signals = 0
        self._servers: list[EmbeddedPostgres | EmbeddedRedis] = []

    def run(self) -> int:
        """Until a signal. Returns the exit status: 0 after a stop on request.

        Raises:
            FacepipeError: it could not be started; nothing is left running.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        adopt_orphans()
        try:
            with self._home.lock():
                self._run_locked()
        except _StopRequested:
            self._say("Stopped.")
        return 0

    def _run_locked(self) -> NoReturn:
        settings = self._settings
        require_free_port(settings.host, settings.port, "FACEPIPE_PORT")
        require_free_port("127.0.0.1", settings.flower_port, "FACEPIPE_FLOWER_PORT")
        programs = services(settings, self._pools)
        for port in open_ports(settings):
            require_free_port(settings.host, port, "FACEPIPE_COMPAT_PORT_OFFSET")
        with ExitStack() as held:
            frames = settings.frames.directory.absolute()
            if "directory" not in settings.frames.model_fields_set:
                frames = held.enter_context(self._home.frames(settings.frames.capacity_bytes))
            held.callback(self._stop)
            self._start(frames, programs)
            while True:
                time.sleep(_TICK_S)
                self._supervisor.tend()

    def _start(self, frames: Path, programs: Sequence[Service]) -> None:
        began = time.monotonic()
        settings = self._settings
        self._say(f"facepipe in {self._home.path}")
        database_url = settings.database_url or self._start_database()
        redis_url = settings.redis_url or self._start_redis()
        workers = self._open_database(database_url)
        _check_redis(redis_url)
        env = _environment(self._home, frames, database_url, redis_url)
        for service in programs:
            self._supervisor.start(Program(service, env=env, log=self._home.log(service.name), workers=workers))
        self._wait_until_ready()
        self._home.announce(RunningStack(os.getpid(), api_url(settings), flower_url(settings), database_url, redis_url))
        self._say(
            f"Ready after {time.monotonic() - began:.1f} s. Logs: {self._home.path / 'logs'}."
            " Ctrl-C stops every process and loses nothing."
        )

    def _start_database(self) -> str:
        server = EmbeddedPostgres(self._home.path / "postgres", log=self._home.log("database"))
        self._servers.append(server)
        self._supervisor.start(DatabaseUnit(server))
        self._supervisor.all_ready()
        return server.url()

    def _start_redis(self) -> str:
        server = EmbeddedRedis(self._home.path / "redis", log=self._home.log("redis"))
        self._servers.append(server)
        self._supervisor.start(RedisUnit(server))
        self._supervisor.all_ready()
        return server.url()

    def _open_database(self, url: str) -> Workers:
        database = Database(url, size=1, application="facepipe launcher")
        try:
            applied = migrate(database)
        except psycopg2.Error as error:
            raise ConfigurationError(
                f"The database cannot be migrated: {str(error).strip()} It needs PostgreSQL with pgvector (0.7 or"
                " newer), and a user who may create extensions or a database that has `vector` already."
            ) from error
        self._say(f"  {'migrations':<13} {'applied ' + ', '.join(applied) if applied else 'up to date'}")
        return Workers(database)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        url = f"{api_url(self._settings)}/readyz"
        while not (self._supervisor.all_ready() and answers_ok(url)):
            if (ended := self._supervisor.ended()) is not None:
                raise ConfigurationError(
                    f"{ended.unit.name} {describe_end(ended.child.returncode())} while it started. Its last lines"
                    f" ({ended.child.log}):\n" + "\n".join(f"    {line}" for line in ended.child.last_lines())
                )
            if time.monotonic() > deadline:
                raise ConfigurationError(self._describe_delay(url))
            time.sleep(_TICK_S)

    def _describe_delay(self, url: str) -> str:
        missing = self._supervisor.not_ready()
        if not missing:
            return f"Everything runs, but {url} does not answer 200 within {_START_TIMEOUT_S:.0f} s."
        lines = [f"Not ready within {_START_TIMEOUT_S:.0f} s:"]
        for watched in missing:
            lines.append(f"  {watched.unit.name} ({watched.child.log}), last lines:")
            lines += [f"    {line}" for line in watched.child.last_lines()]
        return "\n".join(lines)

    def _stop(self) -> None:
        if self._signals:
            self._say(f"Stopping; steps under way get {GRACE_S:.0f} s to finish. Once more Ctrl-C stops at once.")
        killed = self._supervisor.stop(grace_s=GRACE_S, is_urgent=lambda: self._signals > 1)
        for server in self._servers:
            server.stop()
        kill_orphans()
        if killed:
            self._say(f"Cut off: {', '.join(killed)}; unfinished steps are sent again at the next start.")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            raise _StopRequested


def _environment(home: Home, frames: Path, database_url: str, redis_url: str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {name: "1" for name in _ONE_THREAD if name not in env}
    return env | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "FACEPIPE_HOME": str(home.path),
        "FACEPIPE_FRAMES__DIRECTORY": str(frames),
        "FACEPIPE_DATABASE_URL": database_url,
        "FACEPIPE_REDIS_URL": redis_url,
    }


def _check_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except (redis.exceptions.RedisError, ValueError) as error:
        raise ConfigurationError(f"Redis cannot be used: {error}. Check FACEPIPE_REDIS_URL.") from error


def parse_pool(text: str) -> tuple[str, list[str]]:
    """`detect=cuda:0,cuda:1` to a stage and a device for each of its processes."""
    stage, _, devices = text.partition("=")
    if stage not in POOLS or not devices:
        raise argparse.ArgumentTypeError(f"{text!r} is not STAGE=DEVICE,…; stages are {', '.join(POOLS)}")
    for device in devices.split(","):
        if not re.fullmatch(r"cpu|(cuda|tensorrt):\d+", device):
            raise argparse.ArgumentTypeError(f"{device!r} is no device; write cpu, cuda:0 or tensorrt:0")
    return stage, devices.split(",")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after a stop on request, 1 when it could not be started, 2 when asked wrongly."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.up",
        description="Run the whole stack on this machine, in the foreground. Ctrl-C stops every process it started.",
        epilog="Everything else is set by FACEPIPE_… variables: see docs/reference/settings.md.",
    )
    parser.add_argument(
        "--pool",
        metavar="STAGE=DEVICE,…",
        type=parse_pool,
        action="append",
        default=[],
        help="run one process per device named, such as detect=cuda:0,cuda:1 or decode=cpu,cpu",
    )
    parser.add_argument(
        "--with-parent", type=int, metavar="PID", help="stop when that program, which started this, ends"
    )
    options = parser.parse_args(argv)
    if options.with_parent is not None and not end_with_parent(options.with_parent):
        return 0
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "FACEPIPE_" + "__".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        return 2
    try:
        return Launcher(settings, dict(options.pool), _print_line).run()
    except (FacepipeError, OSError) as error:
        print(f"facepipe cannot start: {error}", file=sys.stderr)
        return 1


def _print_line(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # nobody reads any more; the stack goes on
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the rest of the process


if __name__ == "__main__":
    sys.exit(main())
