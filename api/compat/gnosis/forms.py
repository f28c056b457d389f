"""Form requests as FastAPI 0.88 takes and refuses them: a missing or wrong part is told in a 422 `detail`."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from flask.globals import request

from api.services import services
from api.uploads import Upload, UploadRequest
from common.errors import BadInputError

_FIELDS_BYTES: Final = 1 << 20
_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}

Problem = dict[str, Any]


class UnprocessableError(Exception):
    """Parts or parameters are missing or wrong.

    Args:
        problems: what `detail` lists.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the form that must be there.

    Attributes:
        name: of the part.
        holds: `files` may come several times.
    """

    name: str
    holds: Literal["text", "file", "files"]


@dataclass(frozen=True, slots=True)
class Form:
    """What came in; every part that was asked for is there."""

    texts: Mapping[str, str]
    files: Mapping[str, Sequence[Upload]]


def read_form(*parts: Part, flags: Sequence[str] = ()) -> tuple[Form, dict[str, bool]]:
    """Receive the current request. Parts and parameters that nobody asked for are passed over, as FastAPI does.

    Args:
        flags: query parameters that are true or false; false where they are absent.

    Returns:
        The parts, and the flags by name.
    Raises:
        UnprocessableError: something is missing or of another kind.
        BadInputError: the body is broken or too large.
    """
    limits = services().settings.api
    incoming = cast(UploadRequest, request)
    incoming.max_file_bytes = limits.max_image_bytes
    incoming.max_files = limits.max_images
    many = any(part.holds == "files" for part in parts)
    incoming.max_content_length = limits.max_image_bytes * (limits.max_images if many else len(parts)) + _FIELDS_BYTES
    problems: list[Problem] = []
    chosen = {flag: _read_flag(flag, problems) for flag in flags}
    try:
        fields, files = incoming.form, incoming.files
    except ValueError as error:
        raise BadInputError(f"The form cannot be read: {error}.") from error
    texts: dict[str, str] = {}
    uploads: dict[str, list[Upload]] = {}
    for part in parts:
        received = [cast(Upload, file.stream) for file in files.getlist(part.name)]
        given = [text for text in fields.getlist(part.name) if text]
        if not received and not given:
            problems.append(_problem(("body", part.name), "field required", "value_error.missing"))
        elif part.holds == "text":
            texts[part.name] = given[-1] if given else ""
            if not given:
                problems.append(_problem(("body", part.name), "str type expected", "type_error.str"))
        elif given:
            where = ("body", part.name, 0) if part.holds == "files" else ("body", part.name)
            problems.append(_problem(where, "Expected UploadFile, received: <class 'str'>", "value_error"))
        else:
            uploads[part.name] = received if part.holds == "files" else received[-1:]
    if problems:
        raise UnprocessableError(problems)
    return Form(texts, uploads), chosen


def read_upload(upload: Upload) -> bytes:
    """The bytes of an uploaded file."""
    blobs = services().blobs
    key = f"calls/{uuid.uuid4().hex}"
    try:
        upload.commit(key)
        return blobs.read(key)
    finally:
        blobs.delete(key)


def _read_flag(name: str, problems: list[Problem]) -> bool:
    texts = request.args.getlist(name)
    if not texts:
        return False
    value = _BOOLEANS.get(texts[-1].lower())
    if value is None:
        problems.append(_problem(("query", name), "value could not be parsed to a boolean", "type_error.bool"))
    return bool(value)


def _problem(where: Sequence[str | int], message: str, kind: str) -> Problem:
    return {"loc": list(where), "msg": message, "type": kind}
