"""Stored crops and thumbnails as answers."""

from flask import Response

from common.errors import NotFoundError
from common.ports import BlobStore


def jpeg(blobs: BlobStore, key: str) -> Response:
    """The JPEG under `key`. Raises NotFoundError."""
    try:
        data = blobs.read(key)
    except NotFoundError as error:
        raise NotFoundError("There is no such picture; a job has its pictures once it has finished.") from error
    return Response(data, mimetype="image/jpeg", headers={"Cache-Control": "private, max-age=300"})
