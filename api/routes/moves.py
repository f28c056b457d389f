"""Galleries on the move: export, import, and erasing somebody for good."""

import json
from collections.abc import Iterator

from flask import Response
from pydantic import BaseModel

from api.documents.moves import ExportedSample, ExportedSubject, ExportEnd, ExportHead, Imported
from api.documents.records import Receipt
from api.imports import take_in
from api.operations import Audited, Body, Routes
from api.schemas import ExportQuery, ImportForm
from api.services import Services, services
from api.uploads import FilePart, Upload
from common.errors import NotFoundError
from common.store.paging import Row

routes = Routes("galleries")

_GALLERY = "/v1/galleries/{gallery}"
_NDJSON = "application/x-ndjson"


@routes.get(
    _GALLERY + "/export",
    query=ExportQuery,
    media_types=(_NDJSON,),
    errors=("not_found",),
    audit=Audited("export"),
)
def export_gallery(gallery: str, query: ExportQuery) -> Response:
    """Everybody in a gallery with crops and embeddings, one JSON document a line.

    First a line of kind `gallery`, then each `subject` followed by each `sample`, last a line of kind `end`: an export
    without it was cut short. `facepipe gallery export` makes a file of it.
    """
    here = services()
    head = here.exports.begin(gallery, query.label)
    return Response(_ndjson(_lines(here, head)), mimetype=_NDJSON, headers={"Cache-Control": "no-store"})


@routes.post(
    _GALLERY + "/import",
    body=Body(
        json=ImportForm,
        form=ImportForm,
        files=(FilePart("crops", "Aligned crops, each named `<sample id>.jpg`.", many=True),),
    ),
    answer=Imported,
    errors=("not_found", "conflict", "too_large", "unsupported_media_type"),
    audit=Audited("import"),
)
def import_subject(gallery: str, body: ImportForm, files: dict[str, list[Upload]]) -> Imported:
    """Take in one subject of an export, with some or all of its samples.

    A sample whose crop is not among the file parts is looked up: `missing` names those that are not here, so that a
    JSON body says what is to be sent. What is there already stays as it is: sending twice does no harm. Embeddings
    are taken when they are of the gallery's model, that model is installed, and their checksum holds.
    """
    return take_in(services(), gallery, body.subject, files.get("crops", []))


@routes.post(
    _GALLERY + "/subjects/{subject}/erase",
    answer=Receipt,
    errors=("not_found",),
    audit=Audited("erase"),
)
def erase_subject(gallery: str, subject: str) -> Receipt:
    """Erase somebody from the gallery and from the results of every job, and give a receipt.

    Samples, crops, embeddings of every model, and the tracks that were matched to the person with their detections,
    embeddings, pictures and appearances. All or nothing. The receipt is kept in the audit and names exports that hold
    the person.
    """
    return Receipt.model_validate(services().erasure.erase(gallery, subject))


def _lines(here: Services, head: Row) -> Iterator[BaseModel]:
    yield ExportHead.from_row(head)
    subjects = samples = 0
    for subject in here.exports.subjects(head["export_id"], str(head["id"])):
        yield ExportedSubject(**subject)
        subjects += 1
        for sample in here.exports.samples(str(subject["id"])):
            yield ExportedSample.from_row(sample, str(subject["id"]), _crop(here, sample))
            samples += 1
    here.exports.end(head["export_id"])
    yield ExportEnd(subjects=subjects, samples=samples)


def _ndjson(documents: Iterator[BaseModel]) -> Iterator[str]:
    """One a line, in ASCII: a name may hold letters that some readers take for the end of a line."""
    for document in documents:
        yield json.dumps(document.model_dump(mode="json")) + "\n"


def _crop(here: Services, sample: Row) -> bytes | None:
    try:
        return here.blobs.read(sample["crop_key"])
    except NotFoundError:
        return None
