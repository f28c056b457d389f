"""Downloading media from a URL that a stranger gave."""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urljoin

from common.errors import BadInputError, TransientError
from common.media_url import CheckedUrl, check_url

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_CHUNK_BYTES: Final = 1 << 18
_CONNECT_S: Final = 10.0
_TICK_S: Final = 1.0
_FIELD: Final = "media_url"


class Sink(Protocol):
    """Where the bytes go; a `BlobWriter` is one."""

    def write(self, data: bytes) -> int:
        """Append."""


def fetch(
    url: str,
    into: Sink,
    *,
    max_bytes: int,
    timeout_s: float,
    allow: frozenset[str],
    check: Callable[[], None],
) -> None:
    """Download `url` into `into`.

    Each hop of a redirect is checked like the first URL, and the connection goes to the very address that was checked.

    Args:
        max_bytes: refuse more.
        timeout_s: for everything together.
        allow: see `check_url`.
        check: called with every chunk and every second; raises to stop.

    Raises:
        BadInputError: `forbidden_url`, `too_large`, or `fetch_failed` where trying again cannot help.
        TransientError: `fetch_failed` where it may: no connection, a busy server, a timeout, a broken transfer.
    """
    deadline = _Deadline(timeout_s, check)
    for _ in range(_MAX_REDIRECTS + 1):
        deadline.left_s()
        checked = check_url(url, allow)
        connection = _Connection(checked, deadline)
        try:
            connection.request("GET", checked.target, headers={"Accept": "*/*", "Accept-Encoding": "identity"})
            response = connection.getresponse()
            if response.status not in _REDIRECTS:
                _receive(response, into, max_bytes)
                return
            location = response.getheader("Location")
            if not location:
                raise BadInputError("The server of media_url redirects to nowhere.", "fetch_failed", _FIELD)
            url = urljoin(url, location)
        except ssl.SSLCertVerificationError as error:
            text = f"The certificate of {checked.host} is not valid: {error.verify_message}."
            raise BadInputError(text, "fetch_failed", _FIELD) from error
        except (OSError, http.client.HTTPException) as error:
            text = f"The download from {checked.host} failed: {str(error) or type(error).__name__}."
            raise TransientError(text, "fetch_failed", _FIELD) from error
        finally:
            connection.hang_up()
    raise BadInputError(f"media_url redirects more than {_MAX_REDIRECTS} times.", "fetch_failed", _FIELD)


def _receive(response: http.client.HTTPResponse, into: Sink, max_bytes: int) -> None:
    status = response.status
    if status != http.HTTPStatus.OK:
        text = f"The server of media_url answered {status}."
        if status >= 500 or status in {http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS}:
            raise TransientError(text, "fetch_failed", _FIELD)
        raise BadInputError(text, "fetch_failed", _FIELD)
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise BadInputError("The server of media_url compresses what it was asked not to.", "fetch_failed", _FIELD)
    expected = response.length
    if expected is not None and expected > max_bytes:
        raise _too_large(max_bytes)
    received = 0
    while chunk := response.read(_CHUNK_BYTES):
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        into.write(chunk)
    if expected is not None and received < expected:
        raise TransientError(f"The download broke off after {received} of {expected} bytes.", "fetch_failed", _FIELD)


def _too_large(max_bytes: int) -> BadInputError:
    return BadInputError(f"The file behind media_url is larger than {max_bytes} bytes, the limit.", "too_large", _FIELD)


class _Deadline:
    """How long the download may still take, and whether anybody still wants it."""

    def __init__(self, timeout_s: float, check: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._end = time.monotonic() + timeout_s
        self._check = check

    def left_s(self) -> float:
        """Seconds left, > 0. Raises what `check` raises, or TransientError when none are left."""
        self._check()
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            text = f"The download took longer than {self._timeout_s:g} s."
            raise TransientError(text, "fetch_failed", _FIELD)
        return left_s


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was checked, for the host that the URL names."""

    def __init__(self, checked: CheckedUrl, deadline: _Deadline) -> None:
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

    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
        self._raw = raw
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """See `socket`."""
        self._raw.settimeout(min(_CONNECT_S, self._deadline.left_s()))
        self._raw.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """See `socket`; always for reading bytes."""
        return io.BufferedReader(_Reader(self._raw, self._deadline), _CHUNK_BYTES)

    def close(self) -> None:
        """See `_Connection.hang_up`."""


class _Reader(io.RawIOBase):
    def __init__(self, raw: socket.socket, deadline: _Deadline) -> None:
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
