"""Interactive calls: detect, embed, compare, search. Nothing of them is stored."""

import math

from api.attributes import check_attributes
from api.documents.faces import Comparison, DetectedFaces, EmbeddedFaces, Face, SearchedFaces
from api.enrolment import check_model
from api.largest_face import largest_face
from api.operations import Audited, Body, Routes
from api.schemas import CompareForm, FacesForm, SearchForm, resolve_min_similarity
from api.services import services
from api.uploads import FilePart, Upload
from common.contracts import Options, Stage

routes = Routes("faces")


def _found(answer: SearchedFaces) -> list[str]:
    return [candidate.subject_id for face in answer.faces for candidate in face.candidates]


_IMAGE = FilePart("image", "A JPEG, PNG or WebP picture.")
_CALL_ERRORS = ("too_large", "unsupported_media_type", "unavailable", "deadline_exceeded")
_GUESS_ERRORS = (*_CALL_ERRORS, "no_attribute_model")


@routes.post("/v1/detect", body=Body(form=FacesForm, files=(_IMAGE,)), answer=DetectedFaces, errors=_GUESS_ERRORS)
def detect_faces(body: FacesForm, files: dict[str, list[Upload]]) -> DetectedFaces:
    """Find the faces in a picture."""
    here = services()
    if body.attributes:
        check_attributes(here)
    until: Stage = "embed" if body.attributes else "detect"  # what looks closer at faces lives in the embed pool
    (answer,) = here.pools.ask_each(files["image"], until=until, options=Options(attributes=body.attributes))
    return DetectedFaces(**answer)


@routes.post("/v1/embeddings", body=Body(form=FacesForm, files=(_IMAGE,)), answer=EmbeddedFaces, errors=_GUESS_ERRORS)
def embed_faces(body: FacesForm, files: dict[str, list[Upload]]) -> EmbeddedFaces:
    """Find the faces in a picture and embed each."""
    here = services()
    if body.attributes:
        check_attributes(here)
    (answer,) = here.pools.ask_each(files["image"], until="embed", options=Options(attributes=body.attributes))
    return EmbeddedFaces(**answer)


@routes.post(
    "/v1/compare",
    body=Body(
        form=CompareForm, files=(FilePart("source", "A picture."), FilePart("target", "The one to compare it with."))
    ),
    answer=Comparison,
    errors=(*_CALL_ERRORS, "no_face"),
)
def compare_faces(body: CompareForm, files: dict[str, list[Upload]]) -> Comparison:
    """Say how alike the largest faces of two pictures are."""
    here = services()
    uploads = [files["source"][0], files["target"][0]]
    source, target = (
        largest_face(answer["faces"], upload.part)
        for upload, answer in zip(uploads, here.pools.ask_each(uploads, until="embed", options=Options()), strict=True)
    )
    products = (a * b for a, b in zip(source["embedding"], target["embedding"], strict=True))
    similarity = round(math.fsum(products), 6)
    min_similarity = resolve_min_similarity(body.min_similarity, None, here.min_similarity)
    return Comparison(
        similarity=similarity,
        matched=similarity >= min_similarity,
        min_similarity=min_similarity,
        model_id=here.model_id,
        source=Face(**source),
        target=Face(**target),
    )


@routes.post(
    "/v1/galleries/{gallery}/search",
    body=Body(form=SearchForm, files=(_IMAGE,)),
    answer=SearchedFaces,
    errors=(*_GUESS_ERRORS, "not_found", "conflict"),
    audit=Audited("search", subjects=_found, counts=lambda answer: {"faces": len(answer.faces)}),
)
def search_gallery(gallery: str, body: SearchForm, files: dict[str, list[Upload]]) -> SearchedFaces:
    """Find the faces in a picture and the subjects of a gallery that they may belong to."""
    here = services()
    row = here.galleries.get(gallery)
    model_id = check_model(here, row)
    if body.attributes:
        check_attributes(here)
    bound = resolve_min_similarity(body.min_similarity, row, here.models.min_similarity(model_id))
    options = Options(
        gallery_id=str(row["id"]),
        min_similarity=bound,
        limit=body.limit,
        model_id=model_id,
        attributes=body.attributes,
    )
    (answer,) = here.pools.ask_each(files["image"], until="match", options=options)
    close = [[one for one in face["candidates"] if one["similarity"] >= bound] for face in answer["faces"]]
    subjects = here.galleries.subjects_by_ids(one["subject_id"] for candidates in close for one in candidates)
    faces = [
        {
            **face,
            "candidates": [{**subjects[one["subject_id"]], **one} for one in ones if one["subject_id"] in subjects],
        }
        for face, ones in zip(answer["faces"], close, strict=True)
    ]
    return SearchedFaces.model_validate({**answer, "faces": faces, "min_similarity": bound})
