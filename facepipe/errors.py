"""What can go wrong between a program and facepipe, sorted by what the program can do about it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final


class FacepipeError(Exception):
    """Root of everything that the client raises on purpose.

    Attributes:
        code: stable, for programs; the server's codes plus those of `ServerUnreachableError` and `ProtocolError`.
        message: one sentence for people.
        status: HTTP status, None when no answer came.
        request_id: to find the request in the server's log; None when no answer came.
        field: the request field at fault, if one is.
        retry_after_s: when the server asked to wait.
        rejected: per-file refusals of an enrolment: mappings with `file`, `code` and `message`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int | None = None,
        request_id: str | None = None,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        rejected: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(code, message, status, request_id)
        self.code = code
        self.message = message
        self.status = status
        self.request_id = request_id
        self.field = field
        self.retry_after_s = retry_after_s
        self.rejected = tuple(rejected)

    def __str__(self) -> str:
        return self.message


class BadRequestError(FacepipeError):
    """The request or the file is at fault; the same request will fail again."""


class UnusableImagesError(BadRequestError):
    """No image of an enrolment has a usable face; `rejected` says why, file by file."""


class UnauthorizedError(FacepipeError):
    """An API key is needed, or the one given is unknown or revoked."""


class NotFoundError(FacepipeError):
    """There is no such thing."""


class ConflictError(FacepipeError):
    """The request contradicts what the server has: a name that is taken, another model, a job that has ended."""


class OverloadedError(FacepipeError):
    """The server is full (429); the request changed nothing and may be sent again."""


class UnavailableError(FacepipeError):
    """A part of the server is away (502, 503, 504); try again later."""


class ServerError(FacepipeError):
    """A defect in the server; its log has the trace under `request_id`."""


class ServerUnreachableError(FacepipeError):
    """No answer came: nothing listens there, or the connection broke. Code `unreachable`."""


class ProtocolError(FacepipeError):
    """The answer is none of facepipe's: probably another program listens there. Code `protocol`."""


class SignatureError(FacepipeError):
    """A webhook is not from the server, or not from now: answer it with 400 and forget it. Code `signature`."""


class WaitTimeoutError(FacepipeError):
    """The job did not end in time; it goes on. Code `wait_timeout`."""


_BY_STATUS: Final[Mapping[int, type[FacepipeError]]] = {
    401: UnauthorizedError,
    403: UnauthorizedError,
    404: NotFoundError,
    409: ConflictError,
    429: OverloadedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_from_answer(
    status: int, document: object, *, request_id: str | None, retry_after_s: float | None, text: str
) -> FacepipeError:
    """The error of an answer with a status of 400 or more.

    Args:
        document: the parsed body, or None when it is not JSON.
        text: the body, for answers that are not facepipe's.
    """
    kind = _BY_STATUS.get(status) or (BadRequestError if status < 500 else ServerError)
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(error, dict):
        said = " ".join(text.split())[:200] or "nothing"
        message = f"The server answered {status} and not in facepipe's way; it said: {said}"
        return kind("protocol", message, status, request_id, retry_after_s=retry_after_s)
    rejected = document.get("rejected") or ()
    if rejected:
        kind = UnusableImagesError
    return kind(
        str(error.get("code", "internal")),
        str(error.get("message", f"The server answered {status}.")),
        status,
        document.get("request_id") or request_id,
        field=error.get("field"),
        retry_after_s=retry_after_s,
        rejected=rejected,
    )
