"""Galleries, subjects and samples."""

from typing import Any, Self

from api.documents.shapes import Document, Id, NextCursor, Time
from common.store.paging import Row


class Gallery(Document):
    """A collection of subjects, of one embedding model."""

    name: str
    model_id: str
    min_similarity: float | None
    subject_count: int
    sample_count: int
    created_at: Time


class GalleryPage(Document):
    """Galleries by name."""

    items: list[Gallery]
    next_cursor: NextCursor


class Sample(Document):
    """One enrolled image."""

    id: Id
    det_score: float
    quality: float
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


class EnrolledSubject(Subject, AddedSamples):
    """A new subject, and what became of the images."""
