"""Searching everything that was ever processed for a face, enrolled or not."""

import numpy as np

from api.documents.people import FootageAppearance, FootageAppearances
from api.largest_face import largest_face
from api.operations import Audited, Body, Routes
from api.schemas import FootageForm, FootageProbe, resolve_min_similarity
from api.services import Services, services
from api.uploads import FilePart, Upload
from common.contracts import Options
from common.errors import BadInputError
from common.store.footage import FootageFilter
from common.types import Float32s

routes = Routes("footage")


@routes.post(
    "/v1/footage/search",
    body=Body(json=FootageProbe, form=FootageForm, files=(FilePart("image", "A picture; its largest face counts."),)),
    answer=FootageAppearances,
    errors=(
        *("not_found", "conflict", "model_mismatch", "no_face", "too_large", "unsupported_media_type", "unavailable"),
        "deadline_exceeded",
    ),
    audit=Audited(
        "search_footage",
        subjects=lambda found: (one.subject_id for one in found.items if one.subject_id is not None),
        counts=lambda found: {"appearances": found.found},
    ),
)
def search_footage(body: FootageForm, files: dict[str, list[Upload]]) -> FootageAppearances:
    """Find every appearance of a face in everything processed, enrolled or not.

    The face is the largest one of a picture, an embedding, or a track. Every track of every finished job is compared,
    none is missed by an index; tracks of one person that follow each other closely are one appearance.
    """
    here = services()
    gallery = None if body.gallery is None else here.galleries.get(body.gallery)
    if body.model is not None:
        model_id = here.models.choose(body.model).model_id
    else:
        model_id = here.model_id if gallery is None else gallery["model_id"]
    if gallery is not None and gallery["model_id"] == model_id:
        bound = resolve_min_similarity(body.min_similarity, gallery, here.models.min_similarity(model_id))
    else:
        bound = resolve_min_similarity(body.min_similarity, None, here.models.min_similarity(model_id))
    rows, found = here.footage.search(
        _probe(here, body, files, model_id),
        model_id,
        min_similarity=bound,
        max_gap_ms=here.settings.match.max_gap_ms,
        only=FootageFilter(body.since, body.until, None if gallery is None else str(gallery["id"])),
        limit=body.limit,
    )
    return FootageAppearances(
        items=[FootageAppearance.from_row(row) for row in rows], found=found, model_id=model_id, min_similarity=bound
    )


def _probe(here: Services, body: FootageForm, files: dict[str, list[Upload]], model_id: str) -> Float32s:
    """(dim,) float32, unit length."""
    if not isinstance(body, FootageProbe):
        options = Options(model_id=model_id)
        (answer,) = here.pools.ask_each(files["image"], until="embed", options=options)
        found = largest_face(answer["faces"], "image")["embedding"]
    elif body.embedding is not None:
        found = body.embedding
        dim = here.models.pack(model_id).embedder.dim
        if len(found) != dim:
            raise BadInputError(
                f"The embedding has {len(found)} numbers, those of model {model_id} have {dim}.", field="embedding"
            )
    else:
        found = here.footage.probe_of(str(body.job_id), body.track_id or 0, model_id)
    probe = np.asarray(found, np.float64)
    length = float(np.linalg.norm(probe))
    if not np.isfinite(length) or length == 0:
        raise BadInputError("The embedding has no direction; send numbers that are not all zero.", field="embedding")
    return np.asarray(probe / length, np.float32)
