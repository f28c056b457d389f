"""Enrolment: which images may become samples, and storing those that may.

The aligned crop is stored before the rows that name it, so that no sample is without its crop; crops whose rows were
refused are deleted again.
"""

import base64
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from api.documents.galleries import Rejected, Sample
from api.errors import NoUsableFaceError
from api.services import Services
from api.uploads import Upload
from common.calls import Answer
from common.contracts import Options
from common.errors import BadInputError, ConflictError, TransientError
from common.settings import EmbedSettings
from common.store.galleries import NewSample
from common.store.paging import Row


def usable_face(answer: Answer, gate: EmbedSettings) -> dict[str, Any]:
    """The one face of an image.

    Args:
        answer: of the embed stage.
        gate: least size and sharpness, inclusive.

    Raises:
        BadInputError: `no_face`, `several_faces`, `face_too_small` or `face_too_blurred`.
    """
    faces: list[dict[str, Any]] = answer["faces"]
    if not faces:
        raise BadInputError("No face was found; use a picture that shows the face from the front.", "no_face")
    if len(faces) > 1:
        raise BadInputError(f"{len(faces)} faces were found; crop the picture to one person.", "several_faces")
    face = faces[0]
    x1, y1, x2, y2 = face["box"]
    side_px = min(x2 - x1, y2 - y1)
    if side_px < gate.min_enrol_side_px:
        raise BadInputError(
            f"The face is {side_px:.0f} px wide or high; at least {gate.min_enrol_side_px:.0f} px are needed.",
            "face_too_small",
        )
    if face["sharpness"] is None or face["sharpness"] < gate.min_enrol_sharpness:
        raise BadInputError("The face is too blurred; use a sharper picture.", "face_too_blurred")
    return face


def check_model(gallery: Row, model_id: str) -> None:
    """Raises ConflictError when the gallery belongs to another model than the one this server runs."""
    if gallery["model_id"] != model_id:
        raise ConflictError(
            f"The gallery {gallery['name']!r} was made with model {gallery['model_id']}, this server runs {model_id}:"
            " embeddings of two models are never compared.",
            "model_mismatch",
            "gallery",
        )


def enrol(
    services: Services,
    gallery: Row,
    subject_id: str,
    uploads: Sequence[Upload],
    store: Callable[[list[NewSample]], None],
) -> tuple[list[Sample], list[Rejected]]:
    """Measure the images, keep the crops of those that may be enrolled, and `store` them.

    Raises:
        NoUsableFaceError: none may be enrolled; `store` is not called.
    """
    check_model(gallery, services.model_id)
    answers = services.pools.ask(uploads, until="embed", options=Options())
    accepted: list[tuple[NewSample, bytes]] = []
    rejected: list[Rejected] = []
    for number, (upload, answer) in enumerate(zip(uploads, answers, strict=True), start=1):
        try:
            if isinstance(answer, BadInputError):
                raise answer
            accepted.append(_sample(usable_face(answer, services.settings.embed), gallery, subject_id))
        except BadInputError as error:
            file = upload.filename or f"image {number}"
            rejected.append(Rejected(file=file, code=error.code, message=error.message))
    if not accepted:
        raise _nothing_usable(rejected)
    samples = [sample for sample, _ in accepted]
    try:
        for sample, crop in accepted:
            services.blobs.put(sample.crop_key, crop)
        store(samples)
    except TransientError:  # the rows may be there although the answer was lost: their crops must stay
        raise
    except Exception:
        for sample in samples:
            services.blobs.delete(sample.crop_key)
        raise
    shown = [
        Sample.from_row(
            {"id": sample.sample_id, "det_score": sample.det_score, "quality": sample.quality},
            gallery["name"],
            subject_id,
        )
        for sample in samples
    ]
    return shown, rejected


def _sample(face: dict[str, Any], gallery: Row, subject_id: str) -> tuple[NewSample, bytes]:
    sample_id = str(uuid.uuid4())
    sample = NewSample(
        sample_id=sample_id,
        det_score=face["det_score"],
        quality=face["quality"],
        crop_key=f"galleries/{gallery['id']}/{subject_id}/{sample_id}.jpg",
        embedding=face["embedding"],
    )
    return sample, base64.b64decode(face["crop"])


def _nothing_usable(rejected: Sequence[Rejected]) -> NoUsableFaceError:
    codes = {one.code for one in rejected}
    if len(rejected) == 1:
        message = rejected[0].message
    else:
        message = f"None of the {len(rejected)} images can be enrolled; `rejected` says why."
    return NoUsableFaceError(
        message, codes.pop() if len(codes) == 1 else "no_face", [one.model_dump() for one in rejected]
    )
