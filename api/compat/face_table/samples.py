"""Samples that a client sends: read from the JSON array, measured in batches, stored one by one."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.compat.data_url import read_data_url
from api.compat.face_table.answers import INVALID, RefusedError
from api.compat.face_table.crops import Crops
from api.enrolment import check_model
from api.services import Services
from common.calls import Answer
from common.contracts import Options
from common.errors import BadInputError, ConflictError, NotFoundError, OverloadedError, TransientError
from common.store.face_table import FaceRow, FaceTable
from common.store.paging import Row

log = logging.getLogger("facepipe.compat")

#: Pictures that are before the pools at a time; each batch may take as long as one call.
BATCH: Final = 32

_FIELDS: Final = ("id", "name", "image", "metadata", "action")


@dataclass(frozen=True, slots=True)
class SentSample:
    """One element of the array.

    Attributes:
        sent_id: as it is echoed.
        row: None if no row of the table can be made of it.
        image: should be a data URL.
    """

    sent_id: Any
    row: FaceRow | None
    image: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ids as they were sent, in the order of the request."""

    success: list[Any]
    fail: list[Any]


def read_samples(document: Any) -> list[SentSample]:
    """The samples of a request. Raises RefusedError where it is no array, or an element lacks a field."""
    if not isinstance(document, list):
        raise RefusedError(INVALID)
    if not all(isinstance(one, dict) and all(field in one for field in _FIELDS) for one in document):
        raise RefusedError(INVALID)
    return [SentSample(one["id"], _row(one), one["image"]) for one in document]


def text_of(value: Any) -> str:
    """What a column holds of a value that should be a string."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def store_samples(services: Services, table: FaceTable, samples: Sequence[SentSample], *, replaces: bool) -> Outcome:
    """Enrol the best face of every picture, however many faces are in it, and however large or sharp they are.

    Args:
        replaces: a sample takes the place of what its id had, rather than joining it.

    Raises:
        ConflictError: no installed pack has the model of the gallery.
        TransientError: the database is away.
    """
    gallery = table.open()
    check_model(services, gallery)
    outcome = Outcome([], [])
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        faces = _measure(services, [_read_file(sample) for sample in batch], gallery["model_id"])
        for sample, face in zip(batch, faces, strict=True):
            is_stored = (
                face is not None
                and sample.row is not None
                and _store(services, table, gallery, sample.row, face, replaces=replaces)
            )
            (outcome.success if is_stored else outcome.fail).append(sample.sent_id)
    return outcome


@dataclass(frozen=True, slots=True)
class _Face:
    """The face of a picture that is enrolled, as the pools describe it."""

    document: Mapping[str, Any]
    image_sha256: str


def _row(sent: Mapping[str, Any]) -> FaceRow | None:
    if not isinstance(sent["id"], str | int | float):
        return None
    row = FaceRow(*(text_of(sent[field]) for field in ("id", "name", "metadata", "action")))
    return row if row.is_storable() else None


def _read_file(sample: SentSample) -> bytes | None:
    try:
        return None if sample.row is None else read_data_url(sample.image)
    except BadInputError:
        return None


def _measure(services: Services, files: Sequence[bytes | None], model_id: str) -> list[_Face | None]:
    """The face with the highest score of each picture; None where there is no picture, or no face in it."""
    there = [file for file in files if file is not None]
    try:
        answers = services.pools.ask_files(there, until="embed", options=Options(model_id=model_id)) if there else []
    except (OverloadedError, TransientError) as error:
        log.warning("%s samples were not measured: %s", len(there), error)
        return [None] * len(files)
    answer = iter(answers)
    return [None if file is None else _best(next(answer), file) for file in files]


def _best(answer: Answer | BadInputError, file: bytes) -> _Face | None:
    if isinstance(answer, BadInputError) or not answer["faces"]:
        return None
    return _Face(answer["faces"][0], hashlib.sha256(file).hexdigest())


def _store(services: Services, table: FaceTable, gallery: Row, row: FaceRow, face: _Face, *, replaces: bool) -> bool:
    """Whether the gallery was there, and of the same model still."""
    put = table.replace if replaces else table.append
    try:
        with Crops(services.blobs, gallery) as crops:
            unneeded = put(gallery["model_id"], row, crops.maker(face.document, face.image_sha256))
    except (ConflictError, NotFoundError) as error:
        log.warning("a sample was not stored: %s", error)
        return False
    for key in unneeded:
        services.blobs.delete(key)
    return True
