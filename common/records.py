"""Records of what the database keeps, for the pure code that works on them."""

from dataclasses import dataclass
from typing import Any

from common.contracts import Options
from common.types import Candidate, Float32s, Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """One stretch of sampled frames.

    Attributes:
        ordinal: position in the job, from 0.
        start_ms, end_ms: half-open range of media time.
        frame_indices: (frames,) int64, position of each frame in the media.
        frame_times_ms: (frames,) int64, media time of each frame.
    """

    ordinal: int
    start_ms: int
    end_ms: int
    frame_indices: Int64s
    frame_times_ms: Int64s


@dataclass(frozen=True, slots=True)
class Attributes:
    """A guess at somebody, averaged over crops.

    Attributes:
        age: years.
        female_score: in [0, 1], above one half where the guess is female.
    """

    age: float
    female_score: float

    def describe(self) -> dict[str, Any]:
        """As it is shown; a gender score is that of the gender named, hence at least one half."""
        is_female = self.female_score >= 0.5
        score = self.female_score if is_female else 1 - self.female_score
        return {
            "age": round(self.age, 1),
            "gender": "female" if is_female else "male",
            "gender_score": round(score, 4),
        }


@dataclass(frozen=True, slots=True, eq=False)
class StoredTracklet:
    """A tracklet as the finish step reads it, see the table `tracklets`.

    Attributes:
        first_box, last_box: (4,) float32.
        embedding: (dim,) float32, unit length.
        crop_embeddings: (crops, dim) float32, unit length.
        attributes: None unless asked for.
    """

    ordinal: int
    tracklet: int
    start_ms: int
    end_ms: int
    detections: int
    first_box: Float32s
    last_box: Float32s
    quality: float
    embedding: Float32s
    crop_embeddings: Float32s
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One person over neighbouring frames of the whole media.

    Attributes:
        members: positions of its tracklets in the list that the finish step read.
        embedding: (dim,) float32, unit length, fused.
        stranger: number of the unknown person within the job, from 1; None when the subject is known.
        similarity: to `subject_id`, or to the closest candidate when unknown; None without candidates.
        attributes: None unless asked for.
    """

    track: int
    start_ms: int
    end_ms: int
    detections: int
    quality: float
    members: tuple[int, ...]
    embedding: Float32s
    subject_id: str | None
    stranger: int | None
    similarity: float | None
    candidates: tuple[Candidate, ...]
    crops: int
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class Appearance:
    """A stretch of time in which a person is seen; `best_track` shows it best."""

    appearance: int
    subject_id: str | None
    stranger: int | None
    start_ms: int
    end_ms: int
    best_similarity: float | None
    detections: int
    best_track: int
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """What the finish step needs to know of its job.

    Attributes:
        failures: (start_ms, end_ms, error document) of each segment that failed, in order.
        segments_done: segments that were processed.
    """

    options: Options
    model_id: str
    media: dict[str, Any]
    blob_key: str
    failures: tuple[tuple[int, int, dict[str, Any]], ...]
    segments_done: int


@dataclass(frozen=True, slots=True)
class ClosestPerson:
    """The person that a stranger is closest to.

    Attributes:
        person_id: who.
        similarity: of the stranger and that person.
        next_similarity: of the stranger and the person after that; None without one.
        alike: similarity of these two people; None without a second one.
    """

    person_id: str
    similarity: float
    next_similarity: float | None = None
    alike: float | None = None
