"""Taking in subjects of another gallery: which crops and embeddings may be trusted, and storing them."""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from api.documents.moves import Imported
from api.schemas import MovedSampleForm, MovedSubjectForm
from api.services import Services
from api.uploads import Upload
from common.errors import BadInputError, ConfigurationError
from common.packs import find_pack, installed_packs
from common.store.imports import MovedSample, MovedSubject
from common.types import Float32s

_JPEG: Final = b"\xff\xd8"

#: How far the length of a stored half-precision embedding may be from 1.
_UNIT_SLACK: Final = 0.01


def take_in(services: Services, gallery: str, asked: MovedSubjectForm, crops: Sequence[Upload]) -> Imported:
    """Store a subject with those samples whose crops are given; what is there already stays.

    Raises:
        NotFoundError, ConflictError: see `Imports`.
        BadInputError: a crop is not the one that was exported, or is no JPEG.
    """
    place = services.imports.find_place(gallery, str(asked.id))
    given = _crops_by_sample(asked, crops)
    dim = _dims(services).get(place.model_id)
    samples: list[MovedSample] = []
    for one in asked.samples:
        sample_id = place.sample_id(str(one.id))
        if str(one.id) not in given or sample_id in place.known_samples:
            continue
        sample = MovedSample(
            sample_id=sample_id,
            det_score=one.det_score,
            quality=one.quality,
            image_sha256=one.image_sha256,
            crop_key=f"galleries/{place.gallery_id}/{place.subject_id}/{sample_id}.jpg",
            embedding=None if dim is None else trusted_embedding(one, place.model_id, dim),
        )
        # one that is not needed after all is swept: another import of the same may have stored it meanwhile
        given[str(one.id)].commit(sample.crop_key)
        with services.blobs.open(sample.crop_key) as file:
            if file.read(2) != _JPEG:
                raise BadInputError(f"The crop of sample {one.id} is no JPEG.", field="crops")
        samples.append(sample)
    subject = MovedSubject(str(asked.id), asked.name, asked.external_id, asked.metadata)
    is_new, stored = services.imports.add(gallery, place, subject, samples)
    return Imported(
        id=place.subject_id,
        is_new=is_new,
        samples=len(stored),
        missing=[
            str(one.id)
            for one in asked.samples
            if str(one.id) not in given and place.sample_id(str(one.id)) not in place.known_samples
        ],
        without_embedding=sum(sample.embedding is None for sample in samples if sample.sample_id in stored),
    )


def trusted_embedding(sample: MovedSampleForm, model_id: str, dim: int) -> Float32s | None:
    """(dim,) float32 of unit length, if the sample has one of `model_id` whose bytes are as they were exported."""
    for embedding in sample.embeddings:
        if embedding.model_id != model_id:
            continue
        try:
            data = base64.b64decode(embedding.float16, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(data) != 2 * dim or hashlib.sha256(data).hexdigest() != embedding.sha256:
            return None
        vector = np.frombuffer(data, "<f2").astype(np.float32)
        length = float(np.linalg.norm(vector))
        return vector if abs(length - 1) <= _UNIT_SLACK else None
    return None


def _crops_by_sample(asked: MovedSubjectForm, crops: Sequence[Upload]) -> Mapping[str, Upload]:
    wanted = {str(sample.id): sample for sample in asked.samples}
    given = {}
    for upload in crops:
        sample_id = upload.filename.removesuffix(".jpg")
        if sample_id not in wanted:
            raise BadInputError(f"There is no sample for the crop {upload.filename!r}.", field="crops")
        if upload.sha256 != wanted[sample_id].crop_sha256:
            raise BadInputError(
                f"The crop {upload.filename} is not the one that was exported: its SHA-256 differs.", field="crops"
            )
        given[sample_id] = upload
    return given


def _dims(services: Services) -> dict[str, int]:
    """Embedding model of every installed pack to the length of its embeddings; broken packs are left out."""
    folders = services.settings.packs_path
    found = {}
    for name in installed_packs(folders):
        try:
            embedder = find_pack(name, folders).embedder
        except ConfigurationError:
            continue
        found[embedder.model_id] = embedder.dim
    return found
