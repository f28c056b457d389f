"""The error tree, sorted by what the receiver can do about it.

Stages and adapters only raise; the stage runner and the API map these to retries, states and status codes.
`CODES` is the closed list of codes a client may see; docs/reference/errors.md is checked against it.
"""

from collections.abc import Mapping
from typing import Any, Final

CODES: Final[Mapping[str, str]] = {
    "bad_input": "A parameter is missing, malformed or out of range.",
    "bad_media": "The file is not an image or video that can be decoded.",
    "empty_file": "The file has no bytes.",
    "no_video_stream": "The file holds no video (audio only, or cover art).",
    "truncated_media": "The file ends before its own index says it should.",
    "too_large": "The upload, picture or video exceeds a limit of this server.",
    "no_face": "No face was found.",
    "several_faces": "More than one face was found where exactly one is needed.",
    "face_too_small": "The face has too few pixels to be enrolled.",
    "face_too_blurred": "The face is too blurred to be enrolled.",
    "face_turned_away": "The face is seen too much from the side, above or below to be enrolled.",
    "forbidden_url": "The media URL points to an address that this server may not fetch from.",
    "fetch_failed": "The media URL could not be downloaded.",
    "unauthorized": "A bearer API key is needed, or the one given is unknown or revoked.",
    "not_found": "There is no such thing.",
    "method_not_allowed": "This path does not answer that method.",
    "not_acceptable": "None of the media types asked for can be produced.",
    "unsupported_media_type": "The request body has the wrong content type.",
    "conflict": "The request contradicts what is stored.",
    "model_mismatch": "The gallery was made with another embedding model.",
    "no_attribute_model": "The active model pack has no network that guesses attributes.",
    "idempotency_mismatch": "The Idempotency-Key was used before with another request.",
    "overloaded": "The server is full; try again after Retry-After seconds.",
    "unavailable": "A part of the server is away; try again after Retry-After seconds.",
    "deadline_exceeded": "The pools did not answer in time.",
    "worker_lost": "The item killed its worker again and again and was quarantined.",
    "cancelled": "The job was cancelled.",
    "internal": "A defect in facepipe; the log has the trace.",
}


class FacepipeError(Exception):
    """Root of all errors that facepipe raises on purpose.

    Args:
        message: one sentence for the person who caused or meets it, saying what to do.
        code: one of `CODES`.
        field: the request field at fault, if one is.
    """

    default_code = "internal"

    def __init__(self, message: str, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message, code, field)
        self.message = message
        self.code = code or self.default_code
        self.field = field
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}")

    def __str__(self) -> str:
        return self.message

    def to_wire(self) -> dict[str, Any]:
        """The `error` object of the API and of a job row."""
        document: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            document["field"] = self.field
        return document


class BadInputError(FacepipeError):
    """The caller's bytes or parameters are at fault: never retried."""

    default_code = "bad_input"


class NotFoundError(FacepipeError):
    """The thing named does not exist."""

    default_code = "not_found"


class ConflictError(FacepipeError):
    """The request contradicts what is stored."""

    default_code = "conflict"


class OverloadedError(FacepipeError):
    """The house is full; bring it again after `retry_after_s`."""

    default_code = "overloaded"

    def __init__(self, message: str, code: str | None = None, field: str | None = None, retry_after_s: int = 5) -> None:
        super().__init__(message, code, field)
        self.retry_after_s = retry_after_s


class TransientError(FacepipeError):
    """A driver or a neighbour is away: retried with backoff, up to a cap."""

    default_code = "unavailable"


class CancelledError(FacepipeError):
    """The work was cancelled or superseded while it ran; drop it silently."""

    default_code = "cancelled"


class ConfigurationError(FacepipeError):
    """The installation is wrong (a missing binary, a bad setting, a broken pack): a person must act."""

    default_code = "internal"
