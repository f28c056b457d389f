"""What the supervisor runs: the programs of `deploy.stack` and the two embedded servers."""

import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from common.contracts import LIVE
from common.errors import TransientError
from common.settings import worker_host
from common.store.workers import Workers
from deploy.child import Child
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.redis import EmbeddedRedis
from deploy.stack import ROOT, Service


class Program:
    """A service of the stack.

    Args:
        service: what to run.
        env: environment that all programs share.
        log: its log file.
        workers: where pools say that they live.
    """

    is_server = False

    def __init__(self, service: Service, *, env: Mapping[str, str], log: Path, workers: Workers) -> None:
        self.name = service.name
        self._service = service
        self._env = {**env, **service.env}
        self._log = log
        self._workers = workers

    def start(self) -> Child:
        """See `Unit`."""
        return Child(self._service.argv, log=self._log, env=self._env, cwd=ROOT)

    def probe(self, child: Child) -> str | None:
        """See `Unit`."""
        if self._service.ready_url:
            return self._service.address if answers_ok(self._service.ready_url) else None
        return self._probe_worker(child)

    def stop(self, child: Child, *, urgent: bool) -> None:
        """See `Unit`."""
        if urgent:
            child.kill_group()
        else:
            child.send(signal.SIGTERM)

    def _probe_worker(self, child: Child) -> str | None:
        """Workers are named `<stage>@<host>.<process id>`."""
        try:
            alive = self._workers.alive()
        except TransientError:
            return None
        suffix = f"@{worker_host()}.{child.pid}"
        for rows in alive.values():
            for row in rows:
                if row["name"].endswith(suffix):
                    return _describe_worker(row)
        return None


class DatabaseUnit:
    """The embedded PostgreSQL."""

    name = "database"
    is_server = True

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server

    def start(self) -> Child:
        """See `Unit`; returns once the server answers."""
        return self._server.start()

    def probe(self, child: Child) -> str | None:
        """See `Unit`."""
        return f"PostgreSQL in {self._server.data}" if child.returncode() is None else None

    def stop(self, child: Child, *, urgent: bool) -> None:
        """See `Unit`: the fast shutdown, or the immediate one, which costs a recovery at the next start."""
        child.send(signal.SIGQUIT if urgent else signal.SIGINT)


class RedisUnit:
    """The embedded Redis."""

    name = "redis"
    is_server = True

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server

    def start(self) -> Child:
        """See `Unit`; returns once the server answers."""
        return self._server.start()

    def probe(self, child: Child) -> str | None:
        """See `Unit`."""
        return f"Redis on {self._server.address}" if child.returncode() is None else None

    def stop(self, child: Child, *, urgent: bool) -> None:
        """See `Unit`."""
        child.send(signal.SIGKILL if urgent else signal.SIGTERM)


def answers_ok(url: str, *, timeout_s: float = 2.0) -> bool:
    """Whether an HTTP GET is answered with 200, without any proxy."""
    # whether it answers is asked, not who it is: its certificate names the host that clients know, not loopback
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def _describe_worker(row: Mapping[str, object]) -> str:
    if row["stage"] == "housekeeping":
        return "schedules and sweeps"
    if row["stage"] == LIVE:
        return f"WebRTC for up to {row['threads']} streams"
    threads = f"{row['threads']} thread{'s' if row['threads'] != 1 else ''}"
    return f"{threads} on {row['device']}"
