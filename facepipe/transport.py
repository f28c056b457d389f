"""HTTP as facepipe speaks it: keys, error documents, and trying again where that is safe."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from os import environ
from typing import Any
from urllib.parse import quote

import httpx

from facepipe.errors import BadRequestError, FacepipeError, ProtocolError, ServerUnreachableError, error_from_answer
from facepipe.uploads import Upload

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_MAX_PAUSE_S = 30.0

#: Tries after a refused connection: enough for a restart, short enough for a server that is simply not there.
_RECONNECTIONS = 2

Form = Mapping[str, str]
Query = Mapping[str, str | int | float]


def default_url() -> str:
    """`FACEPIPE_URL`, or else this machine on `FACEPIPE_PORT` (8000)."""
    return environ.get("FACEPIPE_URL") or f"http://127.0.0.1:{environ.get('FACEPIPE_PORT') or 8000}"


class Transport:
    """Requests to one server; may be shared by threads.

    Args:
        url: root of the API, without `/v1`.
        api_key: sent as a bearer token to that server alone.
        timeout_s: longest silence of the server, connecting included.
        retries: further tries after the first one.
        sleep: how to wait between tries.

    Raises:
        ValueError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout_s: float,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._root = _checked_url(url)
        self._retries = retries
        self._sleep = sleep
        headers = {"Accept": "application/json", "User-Agent": "facepipe-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            trust_env=not _is_loopback(self._root.host),  # a proxy of the environment would not find this machine
        )

    @property
    def url(self) -> str:
        """Root of the API."""
        return str(self._root)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: object = None,
        form: Form | None = None,
        upload: Upload | None = None,
        headers: Mapping[str, str] | None = None,
        is_idempotent: bool | None = None,
    ) -> Any:
        """Send a request and parse the answer, trying again where that cannot do harm.

        An idempotent request is tried again after a broken connection and after 429, 502, 503 and 504; any other only
        when it cannot have had an effect: the connection was refused, or the answer is 429. Pauses double from half a
        second, with jitter, and are at least what Retry-After asks for, up to 30 s.

        Args:
            path: below the root, beginning with a slash.
            is_idempotent: None means that GET and DELETE are, and POST and PATCH are not.

        Returns:
            The parsed JSON; None when the answer is empty.
        Raises:
            FacepipeError: see `facepipe.errors`.
        """

        def send() -> Any:
            if upload is None:
                answer = self._http.request(method, self._at(path), params=query, json=json, data=form, headers=headers)
            else:
                with upload.parts() as parts:
                    answer = self._http.request(
                        method, self._at(path), params=query, data=form, files=parts, headers=headers
                    )
            if answer.is_error:
                raise _error_of(answer)
            return _parse(answer)

        safe = is_idempotent if is_idempotent is not None else method in {"GET", "DELETE"}
        return self._with_retries(send, is_idempotent=safe)

    def fetch(self, path: str) -> bytes:
        """The bytes at a path that the server gave, such as a thumbnail.

        Raises:
            ProtocolError: the address is not on this server; the key goes nowhere else.
        """

        def send() -> bytes:
            answer = self._http.get(self._at(path), headers={"Accept": "*/*"})
            if answer.is_error:
                raise _error_of(answer)
            return answer.content

        content: bytes = self._with_retries(send, is_idempotent=True)
        return content

    def is_ok(self, path: str) -> bool:
        """Whether a path answers with success right now; one try, no error."""
        try:
            return self._http.get(self._at(path)).is_success
        except httpx.HTTPError:
            return False

    @contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str], silence_s: float) -> Iterator[Iterator[str]]:
        """Lines of an endless answer; one try.

        Args:
            silence_s: longest wait for the next byte.
        """
        timeout = httpx.Timeout(silence_s, connect=10.0)
        try:
            with self._http.stream("GET", self._at(path), headers=headers, timeout=timeout) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(answer)
                yield answer.iter_lines()
        except httpx.HTTPError as error:
            raise _unreachable(self._root, error) from error

    def _at(self, path: str) -> httpx.URL:
        is_path = path.startswith("/") and not path.startswith("//")
        url = httpx.URL(f"{self._root}{path[1:]}") if is_path else self._root.join(path)
        if (url.scheme, url.host, url.port) != (self._root.scheme, self._root.host, self._root.port):
            raise ProtocolError("protocol", f"The server points to {url.host}, which is another server.")
        return url

    def _with_retries(self, send: Callable[[], Any], *, is_idempotent: bool) -> Any:
        attempt = 0
        while True:
            tries = self._retries
            try:
                return send()
            except httpx.HTTPError as error:
                failure: FacepipeError = _unreachable(self._root, error)
                cause: Exception | None = error
                may_retry = is_idempotent
                if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
                    may_retry, tries = True, min(tries, _RECONNECTIONS)
            except FacepipeError as error:
                failure, cause = error, None
                may_retry = error.status == 429 or (is_idempotent and error.status in _RETRIED_STATUSES)
            if not may_retry or attempt >= tries:
                raise failure from cause
            self._sleep(pause_s(attempt, failure.retry_after_s))
            attempt += 1


def path_of(*segments: str) -> str:
    """`/v1/…` with every segment quoted.

    Raises:
        BadRequestError: a segment is empty or a dot, which would name something else.
    """
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise BadRequestError("bad_input", f"{segment!r} is neither a name nor an id.")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def pause_s(attempt: int, retry_after_s: float | None) -> float:
    """How long to wait after try `attempt` (from 0) failed."""
    backoff: float = 0.5 * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
    return min(max(backoff, retry_after_s or 0.0), _MAX_PAUSE_S)


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} is not a URL of a server; write one such as http://127.0.0.1:8000")
    return parsed.copy_with(path=parsed.path.rstrip("/") + "/", query=None, fragment=None)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise ProtocolError(
            "protocol", f"What listens at {answer.url.host}:{answer.url.port} is not facepipe.", answer.status_code
        ) from error


def _error_of(answer: httpx.Response) -> FacepipeError:
    try:
        document = answer.json()
    except ValueError:
        document = None
    retry_after = answer.headers.get("Retry-After", "")
    return error_from_answer(
        answer.status_code,
        document,
        request_id=answer.headers.get("X-Request-ID"),
        retry_after_s=float(retry_after) if retry_after.isdecimal() else None,
        text=answer.text,
    )


def _unreachable(root: httpx.URL, error: httpx.HTTPError) -> ServerUnreachableError:
    reason = str(error) or type(error).__name__
    return ServerUnreachableError("unreachable", f"No answer from {root}: {reason}. Is the server up? (`make up`)")
