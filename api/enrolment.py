"""Enrolment: which images may become samples, and storing those that may.

The aligned crop is stored before the rows that name it, so that no sample is without its crop; crops whose rows were
refused are deleted again.
"""

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.documents.galleries import AddedSamples, Rejected, Sample
from api.errors import NoUsableFaceError
from api.services import Services
from api.uploads import Upload
from common.calls import Answer
from common.contracts import Options
from common.errors import BadInputError, ConflictError, OverloadedError, TransientError
from common.settings import EmbedSettings
from common.store.galleries import NewSample
from common.store.paging import Row


def usable_face(answer: Answer, gate: EmbedSettings) -> dict[str, Any]:
    """The one face of an image.

    Args:
        answer: of the embed stage.
        gate: least size, sharpness and frontality, inclusive.

    Raises:
        BadInputError: `no_face`, `several_faces`, `face_too_small`, `face_too_blurred` or `face_turned_away`.
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
    if face["frontality"] is None or face["frontality"] < gate.min_enrol_frontality:
        raise BadInputError("The face is turned away; use a picture taken from the front.", "face_turned_away")
    return face


def check_model(services: Services, gallery: Row) -> str:
    """The embedding model of a gallery. Raises ConflictError when no installed pack has it; says what to do."""
    model_id: str = gallery["model_id"]
    try:
        services.models.pack(model_id)
    except ConflictError as error:
        message = f"The gallery {gallery['name']!r} needs another model. {error.message}"
        raise ConflictError(message, error.code, "gallery") from error
    return model_id


def enrol(
    services: Services,
    gallery: Row,
    subject_id: str,
    uploads: Sequence[Upload],
    store: Callable[[list[NewSample]], set[str]],
) -> AddedSamples:
    """Measure the images, keep the crops of those that may be enrolled, and `store` them.

    An image that the subject has already, to the byte, is not measured again and is no reason to refuse.

    Args:
        store: gives the ids of those stored; of the others somebody else was faster.

    Raises:
        NoUsableFaceError: none may be enrolled; `store` is not called.
    """
    model_id = check_model(services, gallery)
    uploads, duplicates = _without_known(services, subject_id, uploads)
    answers = services.pools.ask(uploads, until="embed", options=Options(model_id=model_id)) if uploads else []
    accepted: list[tuple[NewSample, bytes]] = []
    rejected: list[Rejected] = []
    files: dict[str, str] = {}
    for number, (upload, answer) in enumerate(zip(uploads, answers, strict=True), start=1):
        file = upload.filename or f"image {number}"
        try:
            if isinstance(answer, BadInputError):
                raise answer
            accepted.append(
                make_sample(usable_face(answer, services.settings.embed), gallery, subject_id, upload.sha256)
            )
            files[accepted[-1][0].sample_id] = file
        except BadInputError as error:
            rejected.append(Rejected(file=file, code=error.code, message=error.message))
    if not accepted and not duplicates:
        raise _nothing_usable(rejected)
    samples = [sample for sample, _ in accepted]
    try:
        for sample, crop in accepted:
            services.blobs.put(sample.crop_key, crop)
        stored = store(samples) if samples else set()
    except TransientError:  # the rows may be there although the answer was lost: their crops must stay
        raise
    except Exception as error:
        for sample in samples:
            services.blobs.delete(sample.crop_key)
        if isinstance(error, ConflictError) and error.code == "model_mismatch":
            raise OverloadedError(
                f"The gallery {gallery['name']!r} went over to another model while these images were measured; send"
                " them again.",
                "unavailable",
                retry_after_s=1,
            ) from error
        raise
    for sample in samples:
        if sample.sample_id not in stored:
            services.blobs.delete(sample.crop_key)
            duplicates.append(files[sample.sample_id])
    shown = [
        Sample.from_row(
            {
                "id": sample.sample_id,
                "det_score": sample.det_score,
                "quality": sample.quality,
                "image_sha256": sample.image_sha256,
            },
            gallery["name"],
            subject_id,
        )
        for sample in samples
        if sample.sample_id in stored
    ]
    return AddedSamples(samples=shown, rejected=rejected, duplicates=duplicates)


def _without_known(
    services: Services, subject_id: str, uploads: Sequence[Upload]
) -> tuple[Sequence[Upload], list[str]]:
    """The images that the subject does not have, each once, and the names of the others."""
    seen = services.galleries.images_of(subject_id, [upload.sha256 for upload in uploads])
    new: list[Upload] = []
    duplicates: list[str] = []
    for number, upload in enumerate(uploads, start=1):
        if upload.size and upload.sha256 in seen:
            duplicates.append(upload.filename or f"image {number}")
        else:
            seen.add(upload.sha256)
            new.append(upload)
    return new, duplicates


def make_sample(
    face: Mapping[str, Any], gallery: Row, subject_id: str, image_sha256: str | None
) -> tuple[NewSample, bytes]:
    """A sample of a face that the embed stage answered, and its crop, which is to be stored under `crop_key`."""
    sample_id = str(uuid.uuid4())
    sample = NewSample(
        sample_id=sample_id,
        det_score=face["det_score"],
        quality=face["quality"],
        crop_key=f"galleries/{gallery['id']}/{subject_id}/{sample_id}.jpg",
        embedding=face["embedding"],
        image_sha256=image_sha256,
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
