"""Fetching a file of known size and SHA-256: goes on where it stopped, and keeps only the right bytes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from common.errors import ConfigurationError, FacepipeError, TransientError
from common.packs import sha256_of
from deploy.models.catalogue import Download

#: Called with the bytes that are there and the bytes there will be.
Watch = Callable[[int, int], None]

#: Times that one address may fail without a byte more before the next one is tried.
ATTEMPTS: Final = 4

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_AGENT: Final = "facepipe-models"


def fetch(download: Download, folder: Path, *, watch: Watch, pause: Callable[[float], None] = time.sleep) -> Path:
    """Fetch a file, or what is still missing of it, into a folder.

    Bytes that came are kept in `<name>.<digest>.part` whatever happens, and the next call asks the server for the rest
    only. A file whose size or SHA-256 is not as published is removed.

    Args:
        download: what.
        folder: where to; made when missing.
        watch: told how far it is.
        pause: waits between attempts, seconds.

    Returns:
        The path of the verified file.

    Raises:
        TransientError: no address answers, or none to the end.
        ConfigurationError: an address answered with other bytes, and none with the right ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / download.name
    if path.is_file() and path.stat().st_size == download.bytes and sha256_of(path) == download.sha256:
        return path
    part = path.with_name(f"{path.name}.{download.sha256[:8]}.part")
    if _size(part) >= download.bytes:  # fetched, and killed before it was verified
        if sha256_of(part) == download.sha256:
            return part.replace(path)
        part.unlink()
    problems: list[FacepipeError] = []
    for url in download.urls:
        try:
            _fetch_from(url, download, part, watch=watch, pause=pause)
        except FacepipeError as error:
            problems.append(error)
            continue
        return part.replace(path)
    kind = next((type(error) for error in problems if isinstance(error, ConfigurationError)), TransientError)
    raise kind("; ".join(error.message for error in problems))


def _fetch_from(url: str, download: Download, part: Path, *, watch: Watch, pause: Callable[[float], None]) -> None:
    goes_on = _size(part) > 0
    _complete(url, download, part, watch=watch, pause=pause)
    digest = sha256_of(part)
    if digest != download.sha256 and goes_on:  # perhaps what was there before was at fault
        part.unlink()
        _complete(url, download, part, watch=watch, pause=pause)
        digest = sha256_of(part)
    if digest != download.sha256:
        part.unlink()
        raise ConfigurationError(f"{url} gave a file with SHA-256 {digest}; {download.sha256} was published")


def _complete(url: str, download: Download, part: Path, *, watch: Watch, pause: Callable[[float], None]) -> None:
    failures = 0
    while True:
        before = _size(part)
        try:
            with _open(url, download, start=before) as (response, start):
                _receive(response, download, part, start=start, watch=watch)
            return
        except httpx.ConnectError as error:
            raise TransientError(f"{url}: {httpx.URL(url).host} cannot be reached ({_reason(error)})") from error
        except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
            raise TransientError(f"{url}: {_reason(error)}") from error
        except (httpx.TransportError, _TryAgainError) as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= ATTEMPTS:
                raise TransientError(f"{url}: {_reason(error)}") from error
            pause(min(2.0**failures, 10.0))


class _TryAgainError(Exception):
    """The server could not answer now, or the answer ended early."""


@contextmanager
def _open(url: str, download: Download, *, start: int) -> Iterator[tuple[httpx.Response, int]]:
    """Ask for the bytes from `start` on; gives the answer, and where it really begins."""
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            raise _TryAgainError(f"the server answered {response.status_code}")
        if response.status_code == 416:  # the part is longer than what is there now
            raise ConfigurationError(f"{url} is not the published file: it has fewer than {start + 1} bytes")
        if response.status_code not in (200, 206):
            raise TransientError(f"{url}: the server answered {response.status_code}")
        begins = start if response.status_code == 206 else 0
        if response.status_code == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise TransientError(f"{url}: the server sent another range than it was asked for")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and begins + int(length) != download.bytes:
            raise ConfigurationError(
                f"{url} is not the published file: it has {begins + int(length)} bytes, not {download.bytes}"
            )
        yield response, begins


def _receive(response: httpx.Response, download: Download, part: Path, *, start: int, watch: Watch) -> None:
    with part.open("r+b" if start else "wb") as stream:
        stream.seek(start)
        stream.truncate()
        done = start
        watch(done, download.bytes)
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > download.bytes:
                raise ConfigurationError(
                    f"{response.url} is not the published file: it has more than {download.bytes} bytes"
                )
            stream.write(chunk)
            watch(done, download.bytes)
        stream.flush()
        os.fsync(stream.fileno())
    if done < download.bytes:
        raise _TryAgainError(f"the file ended after {done} of {download.bytes} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
