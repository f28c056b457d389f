"""Which programs make up a one-machine stack: data alone, nothing is started here.

The embedded database and Redis are no part of this list; `deploy.embedded` has them.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from api.compat import HEALTH_PATH, open_ports, switched_on
from api.compat.reach import check_reach
from common.contracts import LIVE, PICTURE_STAGES, STAGES
from common.errors import ConfigurationError
from common.picture_pools import HOW_TO_INSTALL, picture_stages
from common.settings import Settings

ROOT: Final = Path(__file__).parent.parent
"""The checkout: working directory and import path of every program."""

Pools = Mapping[str, Sequence[str]]
"""Stage to the device of each of its processes; a stage that is absent has one process on its configured device."""

_GUNICORN_GRACE_S = 5
_COMPAT_THREADS = 16
"""Of the older routes. A body of theirs may be 64 MiB of text and lies in memory while it is read."""


@dataclass(frozen=True, slots=True)
class Service:
    """One program of the stack.

    Attributes:
        name: unique; also the name of its log file.
        argv: program and arguments.
        env: what it needs on top of the environment that all share.
        ready_url: answers 200 once the program is ready; empty: it is ready when its row in `workers` is fresh.
        address: what to tell people, for those that have an address.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""
    address: str = ""


def api_url(settings: Settings) -> str:
    """Where a client on this machine reaches the API."""
    return f"http://{_bracketed(_reachable(settings.host))}:{settings.port}"


def compat_url(settings: Settings) -> str:
    """Where a client on this machine reaches the routes of older projects: the first of their ports."""
    scheme = "https" if settings.compat_certificate else "http"
    return f"{scheme}://{_bracketed(_reachable(settings.host))}:{open_ports(settings)[0]}"


def flower_url(settings: Settings) -> str:
    """Where Flower is; always on loopback, because it shows everything to everybody."""
    return f"http://127.0.0.1:{settings.flower_port}"


def services(settings: Settings, pools: Pools) -> tuple[Service, ...]:
    """Every program of the stack; they may be started in any order once the database is migrated."""
    return (
        _housekeeping(),
        *_workers(settings, pools),
        _flower(settings),
        _api(settings),
        *_compat(settings),
        *_live(settings),
    )


def _housekeeping() -> Service:
    return Service("housekeeping", (sys.executable, "-m", "workers.housekeeping"))


def _workers(settings: Settings, pools: Pools) -> list[Service]:
    """The four pools of every job, and those for pictures whose networks are installed.

    Raises:
        ConfigurationError: a pool is asked for that has no pack.
    """
    found = []
    pictures = picture_stages(settings)
    for stage in PICTURE_STAGES:
        if stage in pools and stage not in pictures:
            raise ConfigurationError(f"No installed pack has networks for the {stage} pool: {HOW_TO_INSTALL}.")
    for stage in (*STAGES, *pictures):
        devices = list(pools.get(stage) or [settings.stage_device(stage)])
        for number, device in enumerate(devices, start=1):
            name = f"{stage}-{number}" if number > 1 else str(stage)
            env: dict[str, str] = {"FACEPIPE_STAGE": stage}
            if hasattr(getattr(settings, stage), "device"):
                env |= _device_env(settings, stage, device, sharing=devices.count(device))
            found.append(Service(name, worker_argv(stage, name, settings.stage_concurrency(stage)), env))
    return found


def _device_env(settings: Settings, stage: str, device: str, *, sharing: int) -> dict[str, str]:
    """Pins a process to its device; those of one pool that share a GPU share the memory that one would have."""
    prefix = f"FACEPIPE_{stage.upper()}__"
    limit_bytes = getattr(settings, stage).memory_limit_bytes
    if device == "cpu" or sharing == 1 or limit_bytes == 0:
        return {f"{prefix}DEVICE": device}
    return {f"{prefix}DEVICE": device, f"{prefix}MEMORY_LIMIT_BYTES": str(limit_bytes // sharing)}


def worker_argv(stage: str, name: str, threads: int) -> tuple[str, ...]:
    """Command line of one worker process."""
    celery = (sys.executable, "-m", "celery", "-A", "workers.app", "--quiet", "worker")
    options = ("-P", "threads", "-c", str(threads), "-Q", stage, "-n", f"{name}@%h", "-E")
    return (*celery, *options, "--without-gossip", "--without-mingle")


def _flower(settings: Settings) -> Service:
    url = flower_url(settings)
    argv = (
        *(sys.executable, "-m", "celery", "-A", "workers.app", "--quiet", "flower"),
        *("--address=127.0.0.1", f"--port={settings.flower_port}"),
        *("--read_only=True", "--persistent=False", "--purge_offline_workers=60"),
    )
    return Service("flower", argv, ready_url=f"{url}/healthcheck", address=url)


def _api(settings: Settings) -> Service:
    url = api_url(settings)
    argv = (
        *(sys.executable, "-m", "gunicorn", "api.wsgi:app"),
        *("--bind", f"{_bracketed(settings.host)}:{settings.port}"),
        *("--worker-class", "gthread", "--workers", str(settings.api.workers), "--threads", str(settings.api.threads)),
        *("--graceful-timeout", str(_GUNICORN_GRACE_S), "--timeout", "60", "--keep-alive", "30"),
        # its default path is one for all stacks of a user
        "--no-control-socket",
    )
    return Service("api", argv, ready_url=f"{url}/healthz", address=f"{url} (documentation at {url}/docs)")


def _compat(settings: Settings) -> list[Service]:
    """One process for all older projects that are switched on, listening on each of their ports.

    Raises:
        ConfigurationError: an unknown project, or strangers could reach routes that know no API keys.
    """
    ports = open_ports(settings)
    if not ports:
        return []
    check_reach(settings)
    binds = [part for port in ports for part in ("--bind", f"{_bracketed(settings.host)}:{port}")]
    argv = (
        *(sys.executable, "-m", "gunicorn", "api.compat.wsgi:app", *binds, *_certificate(settings)),
        *("--worker-class", "gthread", "--workers", "1", "--threads", str(_COMPAT_THREADS)),
        *("--graceful-timeout", str(_GUNICORN_GRACE_S), "--timeout", "60", "--keep-alive", "30"),
        "--no-control-socket",
    )
    address = f"older projects on {settings.host}, ports {', '.join(map(str, ports))}"
    return [Service("compat", argv, ready_url=f"{compat_url(settings)}{HEALTH_PATH}", address=address)]


def _certificate(settings: Settings) -> list[str]:
    """What makes gunicorn speak TLS; nothing where no certificate is set.

    Raises:
        ConfigurationError: a file is missing, or one of the two is not set.
    """
    files = {
        "FACEPIPE_COMPAT_CERTIFICATE": settings.compat_certificate,
        "FACEPIPE_COMPAT_CERTIFICATE_KEY": settings.compat_certificate_key,
    }
    if not any(files.values()):
        return []
    found = []
    for name, file in files.items():
        if file is None or not file.is_file():
            raise ConfigurationError(f"{name} must name a PEM file, and there is none: {file}.")
        found.append(str(file.absolute()))  # programs run in the checkout
    return ["--certfile", found[0], "--keyfile", found[1]]


def _live(settings: Settings) -> list[Service]:
    """The process of live streams, where an older project that has them is switched on and WebRTC is installed."""
    is_wanted = "001" in switched_on(settings) and find_spec("aiortc") is not None
    return [Service(LIVE, (sys.executable, "-m", "workers.live"))] if is_wanted else []


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
