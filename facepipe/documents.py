"""What the server answers, as frozen dataclasses.

Boxes are `(x1, y1, x2, y2)` in pixels of the upright original, landmarks five `(x, y)` points: the two eyes, the nose,
the two mouth corners, image-left first. Media time is in ms, wall time is aware UTC. Similarity is the cosine: larger
is more alike. Fields that this version does not know are ignored, so that a newer server can be read.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Self

from facepipe.errors import ProtocolError

Box = tuple[float, float, float, float]
Wire = Mapping[str, Any]

FINAL_STATES: Final = frozenset({"succeeded", "partial", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Document:
    """Something that the server describes."""

    @classmethod
    def from_wire(cls, wire: Wire) -> Self:
        """Read the server's form.

        Raises:
            ProtocolError: a field that must be there is not, or holds something else.
        """
        try:
            known = {entry.name: wire[entry.name] for entry in fields(cls) if entry.name in wire}
            return cls(**cls._convert(known))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ProtocolError("protocol", f"The server's {cls.__name__} cannot be read: {error}.") from error

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        """Turn the plain values into those of the fields."""
        return known

    def to_json(self) -> dict[str, Any]:
        """A form that `json.dumps` takes."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


@dataclass(frozen=True, slots=True)
class Gallery(Document):
    """A collection of subjects that is searched."""

    name: str
    model_id: str
    subject_count: int
    sample_count: int
    created_at: datetime
    min_similarity: float | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "created_at")


@dataclass(frozen=True, slots=True)
class Sample(Document):
    """One enrolled image of a subject; `quality` is in [0, 1]."""

    id: str
    det_score: float
    quality: float
    crop_url: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedImage(Document):
    """An image that was not enrolled, and why."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Subject(Document):
    """A person in a gallery."""

    id: str
    name: str
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sample_count: int | None = None
    created_at: datetime | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "created_at")


@dataclass(frozen=True, slots=True)
class AddedSamples(Document):
    """What became of images that were sent for somebody."""

    samples: tuple[Sample, ...]
    rejected: tuple[RejectedImage, ...]

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        known["samples"] = tuple(Sample.from_wire(sample) for sample in known["samples"])
        known["rejected"] = tuple(RejectedImage.from_wire(image) for image in known.get("rejected", ()))
        return known


@dataclass(frozen=True, slots=True)
class Enrolment(AddedSamples):
    """A new subject, and what became of the images."""

    id: str
    name: str
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate(Document):
    """A subject who may be the one in a probe."""

    subject_id: str
    similarity: float
    name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Face(Document):
    """A face in an image; `candidates` are filled by a search, `embedding` (unit length) by `embeddings`."""

    box: Box
    det_score: float
    landmarks: tuple[tuple[float, float], ...]
    candidates: tuple[Candidate, ...] = ()
    embedding: tuple[float, ...] | None = None
    quality: float | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        known = _geometry(known)
        known["candidates"] = tuple(Candidate.from_wire(one) for one in known.get("candidates") or ())
        if known.get("embedding") is not None:
            known["embedding"] = tuple(known["embedding"])
        return known


@dataclass(frozen=True, slots=True)
class Faces(Document):
    """The faces of an image by falling score; `model_id` names the space of embeddings, None after a mere `detect`."""

    faces: tuple[Face, ...]
    width_px: int | None = None
    height_px: int | None = None
    model_id: str | None = None
    min_similarity: float | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return known | {"faces": tuple(Face.from_wire(face) for face in known["faces"])}


@dataclass(frozen=True, slots=True)
class Comparison(Document):
    """Whether the largest faces of two images show the same person."""

    similarity: float
    matched: bool
    min_similarity: float
    source: Face
    target: Face
    model_id: str | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return known | {"source": Face.from_wire(known["source"]), "target": Face.from_wire(known["target"])}


@dataclass(frozen=True, slots=True)
class Progress(Document):
    """How far a job is; `frames_total` is None until the media was probed."""

    fraction: float
    frames_done: int = 0
    frames_total: int | None = None
    faces: int = 0


@dataclass(frozen=True, slots=True)
class Job(Document):
    """One image or video to be worked on, and how that went.

    Attributes:
        state: queued, running, succeeded, partial, failed or cancelled; the last four are final.
        media: kind, width_px, height_px, fps, duration_s once known.
        options: as the server resolved them.
        error: code and message; `ranges` of a partial job names what failed, by start_ms and end_ms.
    """

    id: str
    state: str
    progress: Progress = field(default_factory=lambda: Progress(0.0))
    media: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    model_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to the job any more."""
        return self.state in FINAL_STATES

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        if "progress" in known:
            known["progress"] = Progress.from_wire(known["progress"])
        return _times(known, "created_at", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job: `progress` with the job as it is now, or `end` with its last form."""

    id: str
    kind: str
    job: Job


@dataclass(frozen=True, slots=True)
class Webhook(Document):
    """The delivery of a job's final document to its `webhook_url`; pending, delivered or failed."""

    id: str
    job_id: str
    url: str
    state: str
    attempts: int = 0
    next_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime | None = None
    delivered_at: datetime | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "next_at", "created_at", "delivered_at")


@dataclass(frozen=True, slots=True)
class Detection(Document):
    """A face in a frame; the subject is that of its track, None while unknown or undecided."""

    frame_index: int
    media_time_ms: int
    box: Box
    det_score: float
    landmarks: tuple[tuple[float, float], ...]
    track_id: int | None = None
    subject_id: str | None = None
    candidates: tuple[Candidate, ...] = ()

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        known = _geometry(known)
        known["candidates"] = tuple(Candidate.from_wire(one) for one in known.get("candidates") or ())
        return known


@dataclass(frozen=True, slots=True)
class Appearance(Document):
    """Somebody, from when to when; `subject_id` is None for a stranger, whose `name` is "unknown" and a number."""

    subject_id: str | None
    name: str
    start_ms: int
    end_ms: int
    best_similarity: float | None
    detections: int
    thumbnail_url: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Track(Document):
    """One face followed over frames, and who it is; `similarity` is to the subject, or to the closest one."""

    track_id: int
    start_ms: int
    end_ms: int
    detections: int
    quality: float
    subject_id: str | None
    name: str
    similarity: float | None
    candidates: tuple[Candidate, ...] = ()
    thumbnail_url: str | None = None
    crop_urls: tuple[str, ...] = ()

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        candidates = tuple(Candidate.from_wire(one) for one in known.get("candidates") or ())
        return known | {"candidates": candidates, "crop_urls": tuple(known.get("crop_urls") or ())}


def _geometry(known: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = known["box"]
    points = tuple((float(x), float(y)) for x, y in known["landmarks"])
    return known | {"box": (float(x1), float(y1), float(x2), float(y2)), "landmarks": points}


def _times(known: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if known.get(name) is not None:
            known[name] = datetime.fromisoformat(known[name])
    return known


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
