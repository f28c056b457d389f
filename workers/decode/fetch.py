"""Downloading media from a URL that a stranger gave."""

import http.client
import ssl
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urljoin

from common.errors import BadInputError, TransientError
from common.media_url import check_url
from common.outbound import Connection, Deadline

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_CHUNK_BYTES: Final = 1 << 18
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
    deadline = Deadline(timeout_s, check)
    for _ in range(_MAX_REDIRECTS + 1):
        check()
        checked = check_url(url, allow)
        connection = Connection(checked, deadline)
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
