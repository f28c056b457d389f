"""What `deploy.doctor` looks at: each check answers with a finding and never raises."""

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from api.compat import open_ports
from common.contracts import PICTURE_STAGES
from common.errors import FacepipeError
from common.ffmpeg import find_ffmpeg
from common.packs import find_pack, verify
from common.picture_pools import picture_pack, picture_stages
from common.settings import Settings
from common.store.database import Database
from common.store.migrate import MIGRATIONS
from deploy.embedded.postgres import find_binaries
from deploy.embedded.redis import find_redis_server
from deploy.home import Home
from deploy.ports import is_port_free
from deploy.stack import ROOT
from deploy.units import answers_ok

_CODECS = ("h264", "hevc", "vp9", "av1")
_LOW_DISK_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        name: what was looked at.
        status: `fail` means that facepipe cannot work so.
        found: what was seen.
        advice: what to do about it; empty when nothing is.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check, in an order in which the first failure is likely the cause of later ones."""
    checks: dict[str, Callable[[Settings], Finding]] = {
        "packages": check_packages,
        "ffmpeg": check_ffmpeg,
        "database": check_database,
        "redis": check_redis,
        "models": check_models,
        "devices": check_devices,
        "ports": check_ports,
        "disk": check_disk,
        "shared memory": check_shared_memory,
        "stack": check_stack,
    }
    for name, check in checks.items():
        try:
            yield check(settings)
        except FacepipeError as error:
            yield Finding(name, "fail", str(error))


def check_packages(_settings: Settings) -> Finding:
    """Are the locked Python packages installed in the locked versions?"""
    locked = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", (ROOT / "locks" / "app.txt").read_text(), re.MULTILINE)
    installed = {
        each.metadata["Name"].lower().replace("_", "-"): each.version for each in importlib.metadata.distributions()
    }
    if "onnxruntime-gpu" in installed:
        locked = [(name, version) for name, version in locked if name != "onnxruntime"]
    missing = [name for name, _ in locked if name.lower().replace("_", "-") not in installed]
    other = [
        f"{name} {installed[name.lower()]} (locked {version})"
        for name, version in locked
        if installed.get(name.lower(), version) != version
    ]
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "Run `make setup`.")
    if other:
        return Finding("packages", "warn", f"other than locked: {', '.join(other)}", "Run `make setup`.")
    return Finding("packages", "ok", f"{len(locked)} as locked")


def check_ffmpeg(settings: Settings) -> Finding:
    """Is there an ffmpeg that decodes what cameras and phones write?"""
    path = find_ffmpeg(settings.ffmpeg)
    version = _output(path, "-hide_banner", "-version").split("\n", 1)[0].split(" Copyright")[0]
    decoders = _output(path, "-hide_banner", "-decoders")
    missing = [codec for codec in _CODECS if not re.search(rf"^ V\S+ \S*{codec}\S*", decoders, re.MULTILINE)]
    if missing:
        return Finding(
            "ffmpeg",
            "warn",
            f"{version} at {path} cannot decode {', '.join(missing)}",
            "Install a full build, or unset FACEPIPE_FFMPEG to use the one of imageio-ffmpeg.",
        )
    return Finding("ffmpeg", "ok", f"{version} at {path}")


def check_database(settings: Settings) -> Finding:
    """Is the database reachable, with pgvector and the schema of this version?"""
    running = Home(settings.home).running()
    url = settings.database_url or (running.database_url if running else "")
    if not url:
        return Finding("database", "ok", f"embedded PostgreSQL at {find_binaries()}; starts with the stack")
    with Database(url, size=1, application="facepipe doctor").transaction() as cursor:
        cursor.execute(
            "select current_setting('server_version') as version,"
            " to_regclass('schema_migrations') is not null as migrated,"
            " (select max(default_version) from pg_available_extensions where name = 'vector') as vector"
        )
        row = cursor.fetchone()
        cursor.execute("select name from schema_migrations" if row["migrated"] else "select null as name where false")
        applied = {each["name"] for each in cursor.fetchall()}
    if row["vector"] is None:
        return Finding("database", "fail", f"PostgreSQL {row['version']} without pgvector", "Install pgvector there.")
    pending = sorted({file.stem for file in MIGRATIONS.glob("[0-9]*.sql")} - applied)
    found = f"PostgreSQL {row['version']}, pgvector {row['vector']}"
    if pending:
        return Finding(
            "database",
            "warn",
            f"{found}, not migrated: {', '.join(pending)}",
            "`make up` or `python -m deploy.run migrate` does it.",
        )
    return Finding("database", "ok", f"{found}, schema up to date")


def check_redis(settings: Settings) -> Finding:
    """Is Redis reachable?"""
    running = Home(settings.home).running()
    url = settings.redis_url or (running.redis_url if running else "")
    if not url:
        return Finding("redis", "ok", f"embedded {find_redis_server()}; starts with the stack")
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            version = client.info("server")["redis_version"]
            policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except (redis.exceptions.RedisError, ValueError) as error:
        return Finding("redis", "fail", str(error), "Check FACEPIPE_REDIS_URL, and that the server runs.")
    if policy != "noeviction":
        return Finding(
            "redis",
            "warn",
            f"{version}, maxmemory-policy {policy} may drop queued work",
            "Set maxmemory-policy noeviction.",
        )
    return Finding("redis", "ok", version)


def check_models(settings: Settings) -> Finding:
    """Are the active pack, and those of the pools for pictures, complete and unaltered?"""
    pack = find_pack(settings.model_pack, settings.packs_path)
    verify(pack)
    found = f"{pack.name}: {pack.model_id}, verified; {pack.manifest.licence.name}"
    for stage in PICTURE_STAGES:
        if (pictures := picture_pack(settings, stage)) is not None:
            verify(pictures)
            found += f"; {stage}: {pictures.name}, verified"
    if pack.embedder.provisional and settings.match.min_similarity is None:
        advice = "Run `facepipe calibrate` on people of your own, or set FACEPIPE_MATCH__MIN_SIMILARITY."
        return Finding("models", "warn", f"{found}; its min_similarity is provisional", advice)
    return Finding("models", "ok", found)


def check_devices(settings: Settings) -> Finding:
    """Can onnxruntime use the devices that are asked for?"""
    import onnxruntime  # noqa: PLC0415 - slow to load; no other check needs it

    asked = sorted({settings.stage_device(stage) for stage in ("detect", "embed", *picture_stages(settings))})
    providers = onnxruntime.get_available_providers()
    found = f"{', '.join(asked)} asked for; onnxruntime {onnxruntime.__version__} offers {', '.join(providers)}"
    needed = {
        provider
        for kind, provider in (("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider"))
        if any(device.startswith(kind) for device in asked)
    }
    if needed:
        if not needed <= set(providers):
            return Finding("devices", "fail", found, "Install locks/gpu.txt in place of onnxruntime, or ask for cpu.")
        if shutil.which("nvidia-smi") is None:
            return Finding("devices", "warn", f"{found}; no nvidia-smi", "Check that the NVIDIA driver is installed.")
    return Finding("devices", "ok", found)


def check_ports(settings: Settings) -> Finding:
    """Are the ports free, or in use by our own stack?"""
    if Home(settings.home).running() is not None:
        return Finding("ports", "ok", "in use by the running stack")
    wanted = (
        ("FACEPIPE_PORT", settings.host, settings.port),
        ("FACEPIPE_FLOWER_PORT", "127.0.0.1", settings.flower_port),
        *(("FACEPIPE_COMPAT_PORT_OFFSET", settings.host, port) for port in open_ports(settings)),
    )
    taken = [f"{port} ({variable})" for variable, host, port in wanted if not is_port_free(host, port)]
    if taken:
        return Finding("ports", "warn", f"taken: {', '.join(taken)}", "Set other ports, or stop what uses them.")
    return Finding("ports", "ok", f"{', '.join(str(port) for _, _, port in wanted)} are free")


def check_disk(settings: Settings) -> Finding:
    """Can the home be written, and is there room?"""
    home = settings.home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("disk", "fail", f"{place} is not writable", "Choose another FACEPIPE_HOME.")
    free = shutil.disk_usage(place).free
    if free < _LOW_DISK_BYTES:
        return Finding(
            "disk", "warn", f"{_gibibytes(free)} free for {home}", "Make room, or choose another FACEPIPE_HOME."
        )
    return Finding("disk", "ok", f"{_gibibytes(free)} free for {home}")


def check_shared_memory(settings: Settings) -> Finding:
    """Does the frame store fit where it will lie?"""
    folder, needed = Path("/dev/shm"), settings.frames.capacity_bytes  # noqa: S108 - looked at, not written
    if Home(settings.home).running() is not None:
        return Finding("shared memory", "ok", "in use by the running stack")
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    if free < needed:
        return Finding(
            "shared memory",
            "warn",
            f"{_gibibytes(free)} free, {_gibibytes(needed)} wanted",
            "Frames will lie on disk, which is slower; or lower FACEPIPE_FRAMES__CAPACITY_BYTES.",
        )
    return Finding("shared memory", "ok", f"{_gibibytes(free)} free, {_gibibytes(needed)} wanted")


def check_stack(settings: Settings) -> Finding:
    """Does the stack of this home run, and is it ready?"""
    running = Home(settings.home).running()
    if running is None:
        return Finding("stack", "ok", "not running")
    if not answers_ok(f"{running.api_url}/readyz", timeout_s=10):
        return Finding(
            "stack",
            "fail",
            f"process {running.pid} runs, but {running.api_url}/readyz is not 200",
            f"See what {running.api_url}/readyz says, and the logs in {settings.home / 'logs'}.",
        )
    return Finding("stack", "ok", f"ready at {running.api_url}")


def _output(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout


def _gibibytes(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
