"""Who is in a picture: the closest of the table, or a stranger who gets a number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.compat.data_url import read_data_url
from api.compat.face_table.answers import INVALID, RefusedError
from api.compat.face_table.crops import Crops
from api.enrolment import check_model
from api.request_id import current_request_id
from api.schemas import resolve_min_similarity
from api.services import Services
from common.contracts import Options
from common.errors import BadInputError, OverloadedError, TransientError
from common.store.audit import Entry, auditing
from common.store.face_table import FaceRow, FaceTable, Stand, Stranger

#: Subjects that are asked for: of those equally close the one who came first is meant.
_CANDIDATES: Final = 5


def read_bound(document: Mapping[str, Any]) -> float | None:
    """`min_distance`, which is a least cosine in spite of its name, exclusive; None: the default.

    Raises:
        RefusedError: no finite number, nor the text of one.
    """
    value = document.get("min_distance", "")
    if "min_distance" not in document:
        return None
    try:
        bound = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        bound = math.nan
    if not math.isfinite(bound):
        raise RefusedError(INVALID)
    return bound


def recognise(services: Services, table: FaceTable, image: Any, bound: float | None) -> list[dict[str, str]]:
    """A candidate for every face, the face with the highest score first.

    A face that is nobody's becomes somebody new, unless strangers are not registered or the detector is not sure that
    it is a face: then it is left out.

    Args:
        image: should be a data URL.
        bound: see `read_bound`.

    Raises:
        RefusedError: no picture, or nobody in it; or the pools are away.
        ConflictError: no installed pack has the model of the gallery.
        TransientError: the database is away.
    """
    try:
        file = read_data_url(image)
    except BadInputError as error:
        raise RefusedError("Failed to detect face from the input image", 500) from error
    stand = table.stand()
    gallery = stand.gallery
    model_id = check_model(services, gallery)
    if bound is None:
        bound = resolve_min_similarity(None, gallery, services.models.min_similarity(model_id))
    registers = services.settings.compat_register_unknown
    if not registers and table.is_empty(gallery):
        raise RefusedError("There is no sample face data.", 500)
    faces = _ask(services, file, Options(gallery_id=str(gallery["id"]), model_id=model_id, limit=_CANDIDATES))
    rows = table.rows([one["subject_id"] for face in faces for one in face["candidates"]])
    known = {number: row for number, face in enumerate(faces) if (row := _closest(face, rows, bound)) is not None}
    services.audit.record(subject_ids=known.values(), counts={"faces": len(faces)})
    found = {number: rows[subject_id] for number, subject_id in known.items()}
    if registers:
        sure = services.models.active.detector.tracklet_det_score
        strangers = [i for i, face in enumerate(faces) if i not in found and face["det_score"] >= sure]
        met = _meet(services, table, stand, [faces[i] for i in strangers], bound)
        found.update(zip(strangers, met, strict=True))
    return [_candidate(faces[number]["box"], found[number]) for number in sorted(found)]


def _ask(services: Services, file: bytes, options: Options) -> list[dict[str, Any]]:
    try:
        (answer,) = services.pools.ask_files([file], until="match", options=options)
    except (OverloadedError, TransientError) as error:
        raise RefusedError("Feature extraction node is not running.", 500) from error
    if isinstance(answer, BadInputError):
        raise RefusedError("Failed to detect face from the input image", 500)
    faces: list[dict[str, Any]] = answer["faces"]
    if not faces:
        raise RefusedError("No face detected from the input image.", 500)
    return faces


def _closest(face: Mapping[str, Any], rows: Mapping[str, FaceRow], bound: float) -> str | None:
    """Id of the closest subject who is closer than `bound`; of several, the one who came first."""
    # a cosine of one is at most one, whatever the last digit says
    close = {one["subject_id"]: min(one["similarity"], 1.0) for one in face["candidates"] if one["subject_id"] in rows}
    best = max(close.values(), default=-math.inf)
    return next(one for one in rows if close.get(one) == best) if close and best > bound else None


def _meet(
    services: Services, table: FaceTable, stand: Stand, faces: Sequence[Mapping[str, Any]], bound: float
) -> list[FaceRow]:
    if not faces:
        return []
    enrolling = auditing(Entry("enroll", "", current_request_id(), table.name))
    with enrolling, Crops(services.blobs, stand.gallery) as crops:
        strangers = [Stranger(face["embedding"], crops.maker(face)) for face in faces]
        return table.meet(stand, strangers, bound=bound)


def _candidate(box: Sequence[float], row: FaceRow) -> dict[str, str]:
    x1, y1, x2, y2 = map(int, box)
    return {
        "bbox": f"{x1}, {y1}, {x2 - x1}, {y2 - y1}",
        "id": row.sample_id,
        "metadata": row.metadata,
        "name": row.name,
    }
