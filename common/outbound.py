"""Connections to servers that a stranger named: only to an address that was checked, and never longer than allowed."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from common.media_url import CheckedUrl

_BUFFER_BYTES: Final = 1 << 18
_CONNECT_S: Final = 10.0
_TICK_S: Final = 1.0


class Deadline:
    """How long an exchange may still take, and whether anybody still wants it.

    Args:
        timeout_s: for everything together.
        check: called with every chunk and every second; raises to stop.
    """

    def __init__(self, timeout_s: float, check: Callable[[], None] = lambda: None) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._check = check

    def left_s(self) -> float:
        """Seconds left, > 0. Raises what `check` raises, or TimeoutError when none are left."""
        self._check()
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"it took longer than {self._timeout_s:g} s")
        return left_s


class Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, for the host that the URL names.

    Raises what `http.client` raises; a silent or slow server ends in TimeoutError at the deadline.
    """

    def __init__(self, checked: CheckedUrl, deadline: Deadline) -> None:
        super().__init__(checked.host, checked.port)
        self.default_port = 443 if checked.scheme == "https" else 80
        self._checked = checked
        self._deadline = deadline
        self._raw: socket.socket | None = None

    def connect(self) -> None:
        """See `http.client`; addresses are tried in turn."""
        self._raw = self._open()
        self.sock = _GuardedSocket(self._raw, self._deadline)

    def hang_up(self) -> None:
        """Really close; `close` is what `http.client` calls as soon as it has handed the answer out."""
        if self._raw is not None:
            self._raw.close()

    def _open(self) -> socket.socket:
        refusal: OSError = OSError("no address")
        for address in self._checked.addresses:
            timeout_s = min(_CONNECT_S, self._deadline.left_s())
            try:
                plain = socket.create_connection((address, self._checked.port), timeout_s)
            except OSError as error:
                refusal = error
                continue
            if self._checked.scheme == "http":
                return plain
            try:
                return _tls().wrap_socket(plain, server_hostname=self._checked.host)
            except BaseException:
                plain.close()
                raise
        raise refusal


class _GuardedSocket:
    """A socket, as `http.client` uses one, that heeds the deadline whenever it waits."""

    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """See `socket`."""
        self._raw.settimeout(min(_CONNECT_S, self._deadline.left_s()))
        self._raw.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """See `socket`; always for reading bytes."""
        return io.BufferedReader(_Reader(self._raw, self._deadline), _BUFFER_BYTES)

    def close(self) -> None:
        """See `Connection.hang_up`."""


class _Reader(io.RawIOBase):
    def __init__(self, raw: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._raw.settimeout(min(_TICK_S, self._deadline.left_s()))
            try:
                return self._raw.recv_into(buffer)
            except TimeoutError:
                continue


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
