"""Galleries, subjects and samples."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator

from api.documents.shapes import Document, Id, NextCursor, Time
from common.store.paging import Row


class GalleryIndex(Document):
    """How a gallery is searched. In any state but `ready` it is searched exactly."""

    kind: Literal["exact", "hnsw"] = "exact"
    state: Literal["building", "ready", "refused", "failed"] = Field(
        default="ready",
        description="refused: its recall is below min_recall. failed: see the job, which can be retried.",
    )
    recall: float | None = Field(
        default=None, description="Share of probes whose best match the index found, compared with exact search."
    )
    min_recall: float | None = None
    measured_at: Time | None = None
    built: float | None = Field(default=None, description="Share of the work that is done, while it is built.")
    job_id: Id | None = Field(default=None, description="The bulk job that builds and measures it.")


class Gallery(Document):
    """A collection of subjects, of one embedding model."""

    name: str
    model_id: str
    previous_model_id: str | None = Field(
        default=None, description="Of the former index, kept for a rollback; null when there is none."
    )
    min_similarity: float | None
    subject_count: int
    sample_count: int
    index: GalleryIndex = GalleryIndex()
    created_at: Time

    @field_validator("index", mode="before")
    @classmethod
    def _exact_unless_said(cls, value: Any) -> Any:
        return GalleryIndex() if value is None else value


class GalleryPage(Document):
    """Galleries by name."""

    items: list[Gallery]
    next_cursor: NextCursor


class Sample(Document):
    """One enrolled image."""

    id: Id
    det_score: float
    quality: float
    image_sha256: str | None = Field(default=None, description="Of the file as it was sent; null when it is not known.")
    crop_url: str

    @classmethod
    def from_row(cls, row: Row, gallery: str, subject_id: str) -> Self:
        """From a row of `samples`."""
        url = f"/v1/galleries/{gallery}/subjects/{subject_id}/samples/{row['id']}/crop.jpg"
        return cls(**row, crop_url=url)


class SamplePage(Document):
    """Samples of a subject."""

    items: list[Sample]
    next_cursor: NextCursor


class Rejected(Document):
    """An image that was not enrolled, and why."""

    file: str
    code: str
    message: str


class Subject(Document):
    """A person in a gallery."""

    id: Id
    name: str
    external_id: str | None
    metadata: dict[str, Any]
    sample_count: int
    created_at: Time


class SubjectPage(Document):
    """Subjects of a gallery."""

    items: list[Subject]
    next_cursor: NextCursor


class AddedSamples(Document):
    """What became of the images."""

    samples: list[Sample]
    rejected: list[Rejected]
    duplicates: list[str] = Field(default=[], description="Files that the subject has already; enrolled once.")


class EnrolledSubject(Subject, AddedSamples):
    """A new subject, and what became of the images."""
