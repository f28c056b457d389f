"""Uploads: the file parts of a request go straight into the blob store, and nowhere else.

Whatever a view does not commit is thrown away at the end of the request, however that ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeVar, cast

import flask
from flask.globals import request
from pydantic import BaseModel
from werkzeug.formparser import FormDataParser

from api.schemas import validate
from common.errors import BadInputError
from common.ports import BlobStore, BlobWriter
from common.settings import ApiSettings

Form = TypeVar("Form", bound=BaseModel)

_FIELDS_BYTES = 1 << 20
"""Room for text fields and part headers beside the files."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file part that a call takes.

    Attributes:
        name: of the part.
        holds: `image` and `media` differ in their size limit.
        many: whether it may come more than once.
    """

    name: str
    description: str
    holds: Literal["image", "media"] = "image"
    many: bool = False


class Upload:
    """A received file, not yet stored. While it comes in, Werkzeug writes to it as to a file.

    Attributes:
        filename: what the client calls it; never used as a path.
        part: name of the part it came in, known once the request is parsed.
    """

    def __init__(self, writer: BlobWriter, filename: str, max_bytes: int) -> None:
        self._writer = writer
        self._max_bytes = max_bytes
        self.filename = filename
        self.part = ""

    def write(self, data: bytes) -> int:
        """Append. Raises BadInputError beyond the limit."""
        if self._writer.size + len(data) > self._max_bytes:
            raise BadInputError(f"The file is larger than {self._max_bytes} bytes.", "too_large")
        return self._writer.write(data)

    def seek(self, _offset: int, _whence: int = 0) -> int:
        """Werkzeug rewinds what it has received; nobody reads it here."""
        return 0

    def close(self) -> None:
        """Werkzeug closes what it has received; the request discards it."""

    def commit(self, key: str) -> None:
        """Store it durably under `key`."""
        self._writer.commit(key)

    def discard(self) -> None:
        """Throw it away unless it was committed."""
        self._writer.discard()

    @property
    def size(self) -> int:
        """Bytes received."""
        return self._writer.size

    @property
    def sha256(self) -> str:
        """Hex digest."""
        return self._writer.sha256


class UploadRequest(flask.Request):
    """A request whose file parts become `Upload`s; limits are set before the body is read."""

    blobs: BlobStore
    max_file_bytes = 0
    max_files = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._uploads: list[Upload] = []

    def make_form_data_parser(self) -> FormDataParser:
        """Werkzeug's, but a broken body is an error rather than an empty form."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002 - Werkzeug's signature
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        if len(self._uploads) == self.max_files:
            raise BadInputError(f"There are more than {self.max_files} files in the request.", "too_large")
        upload = Upload(self.blobs.incoming(), filename or "", self.max_file_bytes)
        self._uploads.append(upload)
        return cast(IO[bytes], upload)

    def close(self) -> None:
        """Called by Flask when the request has ended."""
        super().close()
        for upload in self._uploads:
            upload.discard()


def upload_request_class(blobs: BlobStore) -> type[UploadRequest]:
    """The request class of an app whose uploads go to `blobs`."""
    return type("UploadRequest", (UploadRequest,), {"blobs": blobs})


def read_multipart(
    form: type[Form], parts: Sequence[FilePart], limits: ApiSettings
) -> tuple[Form, dict[str, list[Upload]]]:
    """Receive the current request.

    Returns:
        Its checked text fields, and its files by part; a part that may not repeat has exactly one, and it is not empty.
    Raises:
        BadInputError: not multipart, broken, unknown or missing parts, text where a file is wanted, too large.
    """
    incoming = cast(UploadRequest, request)
    if incoming.mimetype != "multipart/form-data":
        raise BadInputError(
            f"Send multipart/form-data, with the file part {' and '.join(repr(part.name) for part in parts)}.",
            "unsupported_media_type",
        )
    holds_media = any(part.holds == "media" for part in parts)
    incoming.max_file_bytes = limits.max_media_bytes if holds_media else limits.max_image_bytes
    # one file more than wanted is let through, so that the answer can name the part that is wrong
    incoming.max_files = limits.max_images if any(part.many for part in parts) else len(parts) + 1
    incoming.max_content_length = incoming.max_file_bytes * incoming.max_files + _FIELDS_BYTES
    try:
        fields, files = incoming.form, incoming.files
    except ValueError as error:
        raise BadInputError(f"The multipart body is broken: {error}.") from error
    by_name = {part.name: part for part in parts}
    for name in files:
        if name not in by_name:
            raise BadInputError(
                f"Unknown file part {name!r}; this call takes {', '.join(map(repr, by_name))}.", field=str(name)
            )
    received = {
        part.name: _pick(part, [cast(Upload, file.stream) for file in files.getlist(part.name)], fields)
        for part in parts
    }
    for name in fields:
        if len(fields.getlist(name)) > 1:
            raise BadInputError(f"The field {name!r} was given more than once.", field=name)
    return validate(form, fields.to_dict()), received


def _pick(part: FilePart, uploads: list[Upload], fields: Mapping[str, str]) -> list[Upload]:
    if part.name in fields:
        raise BadInputError(
            f"{part.name!r} came as text; send it as a file part, with a filename (curl: -F {part.name}=@FILE).",
            field=part.name,
        )
    chosen = [upload for upload in uploads if upload.filename or upload.size]
    if not chosen:
        raise BadInputError(f"The file part {part.name!r} is missing.", field=part.name)
    if not part.many and len(chosen) > 1:
        raise BadInputError(f"The file part {part.name!r} was given more than once.", field=part.name)
    if not part.many and chosen[0].size == 0:
        raise BadInputError("The file has no bytes.", "empty_file", part.name)
    for upload in chosen:
        upload.part = part.name
    return chosen
