"""Unknown people, and where a face was ever seen."""

from typing import Self

from pydantic import Field

from api.documents.galleries import Subject
from api.documents.shapes import Document, Id, NextCursor, Time
from common.store.paging import Row


class Person(Document):
    """Somebody seen in one or more jobs whom no gallery knew then."""

    id: Id
    number: int
    name: str = Field(description='"unknown 12", or the name of the subject that the person turned out to be.')
    model_id: str
    subject_id: Id | None = Field(description="Who it turned out to be.")
    gallery: str | None = Field(description="That subject's.")
    tracks: int
    jobs: int
    first_seen_at: Time = Field(description="When the first of its jobs was made.")
    last_seen_at: Time
    thumbnail_url: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `People`."""
        return cls.model_validate({**row, "thumbnail_url": f"/v1/people/{row['id']}/thumbnail.jpg"})


class PersonPage(Document):
    """Unknown people."""

    items: list[Person]
    next_cursor: NextCursor


class NamedPerson(Document):
    """An unknown person who has a name now."""

    person: Person
    subject: Subject
    rematch_job_id: Id | None = Field(
        description="The job that puts the name into past answers; null when there is nothing to change."
    )


class FootageAppearance(Document):
    """A stretch of time in which a face is seen."""

    job_id: Id
    track_id: int = Field(description="The track that shows it best.")
    start_ms: int
    end_ms: int
    similarity: float | None = Field(description="Of its closest track.")
    detections: int
    subject_id: Id | None
    person_id: Id | None
    name: str
    thumbnail_url: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `Footage.search` or `People.appearances`."""
        url = f"/v1/jobs/{row['job_id']}/tracks/{row['best_track']}/thumbnail.jpg"
        return cls.model_validate({**row, "track_id": row["best_track"], "thumbnail_url": url})


class PersonAppearancePage(Document):
    """Where a person is seen, newest job first."""

    items: list[FootageAppearance]
    next_cursor: NextCursor


class FootageAppearances(Document):
    """Where a face was ever seen, best first."""

    items: list[FootageAppearance]
    found: int = Field(description="How many there are; more than `items` when `limit` cut them.")
    model_id: str
    min_similarity: float
