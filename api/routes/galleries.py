"""Galleries, subjects and samples."""

import uuid
from typing import Any

from flask import Response

from api.documents.galleries import (
    AddedSamples,
    EnrolledSubject,
    Gallery,
    GalleryPage,
    Sample,
    SamplePage,
    Subject,
    SubjectPage,
)
from api.documents.results import SubjectAppearance, SubjectAppearancePage
from api.documents.shapes import page_of
from api.enrolment import enrol
from api.operations import Audited, Body, Routes
from api.routes.pictures import jpeg
from api.schemas import EnrolForm, NewGallery, NoFields, PageQuery, SubjectChanges, SubjectsQuery
from api.services import services
from api.uploads import FilePart, Upload
from common.store.galleries import NewSample, NewSubject

routes = Routes("galleries")

_GALLERY = "/v1/galleries/{gallery}"
_SUBJECT = _GALLERY + "/subjects/{subject}"
_SAMPLE = _SUBJECT + "/samples/{sample}"
_IMAGES = FilePart("images", "Pictures of one person, one face each.", many=True)
_ENROL_ERRORS = (
    *("not_found", "conflict", "too_large", "unsupported_media_type", "no_face", "unavailable"),
    "deadline_exceeded",
)


@routes.post(
    "/v1/galleries",
    body=Body(json=NewGallery),
    answer=Gallery,
    status=201,
    errors=("conflict", "model_mismatch", "too_large", "unsupported_media_type"),
    audit=Audited("create_gallery"),
)
def create_gallery(body: NewGallery) -> tuple[Gallery, dict[str, str]]:
    """Create a gallery, which is of one embedding model."""
    here = services()
    model_id = here.model_id if body.model is None else here.models.choose(body.model).model_id
    row = here.galleries.create(str(uuid.uuid4()), body.name, model_id, body.min_similarity)
    return Gallery(**row), {"Location": f"/v1/galleries/{body.name}"}


@routes.get("/v1/galleries", query=PageQuery, answer=GalleryPage)
def list_galleries(query: PageQuery) -> GalleryPage:
    """List galleries by name."""
    page = services().galleries.list(cursor=query.cursor, limit=query.limit)
    return GalleryPage(**page_of(page, lambda row: Gallery(**row)))


@routes.get(_GALLERY, answer=Gallery, errors=("not_found",))
def get_gallery(gallery: str) -> Gallery:
    """Look at a gallery."""
    return Gallery(**services().galleries.describe(gallery))


@routes.delete(_GALLERY, status=204, errors=("not_found",), audit=Audited("delete_gallery"))
def delete_gallery(gallery: str) -> None:
    """Erase a gallery with everybody in it, embeddings and crops included."""
    here = services()
    gallery_id = here.galleries.delete(gallery)
    here.blobs.delete(f"galleries/{gallery_id}")


@routes.post(
    _GALLERY + "/subjects",
    body=Body(form=EnrolForm, files=(_IMAGES,)),
    answer=EnrolledSubject,
    status=201,
    errors=_ENROL_ERRORS,
    audit=Audited("enroll"),
)
def enrol_subject(
    gallery: str, body: EnrolForm, files: dict[str, list[Upload]]
) -> tuple[EnrolledSubject, dict[str, str]]:
    """Enrol somebody with one or more pictures.

    Each picture must show exactly one face, large and sharp enough. Pictures that do not are named in `rejected`; when
    none does, nothing is stored and the answer is 422 with the same list.
    """
    here = services()
    row = here.galleries.get(gallery)
    person = NewSubject(str(uuid.uuid4()), body.name, body.external_id, body.metadata)
    stored: dict[str, Any] = {}

    def store(samples: list[NewSample]) -> set[str]:
        stored.update(here.galleries.add_subject(gallery, row["model_id"], person, samples))
        return {sample.sample_id for sample in samples}

    added = enrol(here, row, person.subject_id, files["images"], store)
    location = f"/v1/galleries/{gallery}/subjects/{person.subject_id}"
    return EnrolledSubject(**stored, **dict(added)), {"Location": location}


@routes.get(_GALLERY + "/subjects", query=SubjectsQuery, answer=SubjectPage, errors=("not_found",))
def list_subjects(gallery: str, query: SubjectsQuery) -> SubjectPage:
    """List the subjects of a gallery."""
    page = services().galleries.list_subjects(
        gallery, external_id=query.external_id, name=query.name, cursor=query.cursor, limit=query.limit
    )
    return SubjectPage(**page_of(page, lambda row: Subject(**row)))


@routes.get(_SUBJECT, answer=Subject, errors=("not_found",))
def get_subject(gallery: str, subject: str) -> Subject:
    """Look at a subject."""
    return Subject(**services().galleries.subject(gallery, subject))


@routes.patch(
    _SUBJECT,
    body=Body(json=SubjectChanges),
    answer=Subject,
    errors=("not_found", "conflict", "too_large", "unsupported_media_type"),
    audit=Audited("change_subject"),
)
def change_subject(gallery: str, subject: str, body: SubjectChanges) -> Subject:
    """Change name, external id or metadata."""
    changes = body.model_dump(include=body.model_fields_set)
    return Subject(**services().galleries.update_subject(gallery, subject, changes))


@routes.delete(_SUBJECT, status=204, errors=("not_found",), audit=Audited("delete_subject"))
def delete_subject(gallery: str, subject: str) -> None:
    """Erase a subject with embeddings and crops; its appearances become nobody's."""
    here = services()
    gallery_id = here.galleries.delete_subject(gallery, subject)
    here.blobs.delete(f"galleries/{gallery_id}/{subject}")


@routes.get(_SUBJECT + "/appearances", query=PageQuery, answer=SubjectAppearancePage, errors=("not_found",))
def list_subject_appearances(gallery: str, subject: str, query: PageQuery) -> SubjectAppearancePage:
    """Every appearance of a subject in any job, newest job first."""
    here = services()
    here.galleries.subject(gallery, subject)
    page = here.results.appearances_of(subject, cursor=query.cursor, limit=query.limit)
    return SubjectAppearancePage(**page_of(page, SubjectAppearance.from_row))


@routes.post(
    _SUBJECT + "/samples",
    body=Body(form=NoFields, files=(_IMAGES,)),
    answer=AddedSamples,
    status=201,
    errors=_ENROL_ERRORS,
    audit=Audited("enroll"),
)
def add_samples(gallery: str, subject: str, body: NoFields, files: dict[str, list[Upload]]) -> AddedSamples:  # noqa: ARG001
    """Enrol more pictures of a subject, by the same rules.

    A file that the subject has already, to the byte, is not enrolled again but named in `duplicates`: sending twice
    does no harm.
    """
    here = services()
    row = here.galleries.get(gallery)
    here.galleries.subject(gallery, subject)
    return enrol(
        here,
        row,
        subject,
        files["images"],
        lambda added: here.galleries.add_samples(gallery, subject, row["model_id"], added),
    )


@routes.get(_SUBJECT + "/samples", query=PageQuery, answer=SamplePage, errors=("not_found",))
def list_samples(gallery: str, subject: str, query: PageQuery) -> SamplePage:
    """List the samples of a subject."""
    page = services().galleries.list_samples(gallery, subject, cursor=query.cursor, limit=query.limit)
    return SamplePage(**page_of(page, lambda row: Sample.from_row(row, gallery, subject)))


@routes.delete(_SAMPLE, status=204, errors=("not_found",), audit=Audited("delete_sample"))
def delete_sample(gallery: str, subject: str, sample: str) -> None:
    """Erase one sample with its crop."""
    here = services()
    here.blobs.delete(here.galleries.delete_sample(gallery, subject, sample))


@routes.get(_SAMPLE + "/crop.jpg", media_types=("image/jpeg",), errors=("not_found",))
def get_sample_crop(gallery: str, subject: str, sample: str) -> Response:
    """The aligned crop that a sample was made of."""
    here = services()
    return jpeg(here.blobs, here.galleries.sample(gallery, subject, sample)["crop_key"])
