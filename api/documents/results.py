"""Results of jobs."""

from typing import Any, Self

from pydantic import Field

from api.documents.shapes import Attributes, Box, Document, Guessed, Id, Landmarks, NextCursor
from common import records
from common.store.paging import Row


class Candidate(Document):
    """A subject that may be the one in a track."""

    subject_id: Id
    similarity: float


class Detection(Document):
    """A face in a frame. The last three are about its track, hence null until the job has finished."""

    frame_index: int
    media_time_ms: int
    box: Box
    det_score: float
    landmarks: Landmarks
    track_id: int | None
    subject_id: Id | None
    candidates: list[Candidate] | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `Results.detections`, whose landmarks are ten numbers."""
        flat = row["landmarks"]
        return cls.model_validate({**row, "landmarks": [flat[i : i + 2] for i in range(0, len(flat), 2)]})


class DetectionPage(Document):
    """Faces in the order of media time."""

    items: list[Detection]
    next_cursor: NextCursor


class Track(Document):
    """One face followed over frames, and who it is."""

    track_id: int
    start_ms: int
    end_ms: int
    detections: int
    quality: float
    subject_id: Id | None
    person_id: Id | None = Field(description="Of an unknown person, the same over all jobs; null for subjects.")
    name: str
    similarity: float | None = Field(description="To the subject, or to the closest one when unknown.")
    candidates: list[Candidate]
    attributes: Guessed[Attributes] = None
    thumbnail_url: str
    crop_urls: list[str]

    @classmethod
    def from_row(cls, row: Row, job_id: str) -> Self:
        """From a row of `Results.tracks`."""
        url = _track_url(job_id, row["track"])
        crops = [f"{url}/crops/{number}.jpg" for number in range(row["crops"])]
        shown = {"track_id": row["track"], "thumbnail_url": f"{url}/thumbnail.jpg", "crop_urls": crops}
        return cls.model_validate({**row, **shown, "attributes": _attributes(row)})


class TrackPage(Document):
    """Tracks by number."""

    items: list[Track]
    next_cursor: NextCursor


class Appearance(Document):
    """Somebody, from when to when. Strangers are "unknown 1" and so on within one job."""

    subject_id: Id | None
    person_id: Id | None = Field(description="Of an unknown person, the same over all jobs; null for subjects.")
    name: str
    start_ms: int
    end_ms: int
    best_similarity: float | None
    detections: int
    attributes: Guessed[Attributes] = None
    thumbnail_url: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `Results.appearances`."""
        url = f"{_track_url(str(row['job_id']), row['best_track'])}/thumbnail.jpg"
        return cls.model_validate({**row, "thumbnail_url": url, "attributes": _attributes(row)})


class Appearances(Document):
    """Who appears when, by start."""

    items: list[Appearance]


class SubjectAppearance(Appearance):
    """The same, with the job it is in."""

    job_id: Id


class SubjectAppearancePage(Document):
    """Where a subject appears, newest job first."""

    items: list[SubjectAppearance]
    next_cursor: NextCursor


def _attributes(row: Row) -> dict[str, Any] | None:
    return None if row["age"] is None else records.Attributes(row["age"], row["female_score"]).describe()


def _track_url(job_id: str, track: int) -> str:
    return f"/v1/jobs/{job_id}/tracks/{track}"
