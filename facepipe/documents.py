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
class GalleryIndex(Document):
    """How a gallery is searched: exactly, unless `kind` is hnsw and `state` ready.

    Attributes:
        kind: exact or hnsw.
        state: building, ready, refused (`recall` is below `min_recall`) or failed (see the job).
        recall: share of probes whose best match the index found; None until it was measured.
        built: share of the work that is done, while it is built.
        job_id: bulk job that builds and measures it.
    """

    kind: str
    state: str
    recall: float | None = None
    min_recall: float | None = None
    measured_at: datetime | None = None
    built: float | None = None
    job_id: str | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "measured_at")


@dataclass(frozen=True, slots=True)
class Gallery(Document):
    """A collection of subjects that is searched; `index` is None with a server that only searches exactly."""

    name: str
    model_id: str
    subject_count: int
    sample_count: int
    created_at: datetime
    min_similarity: float | None = None
    previous_model_id: str | None = None
    index: GalleryIndex | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        if known.get("index") is not None:
            known["index"] = GalleryIndex.from_wire(known["index"])
        return _times(known, "created_at")


@dataclass(frozen=True, slots=True)
class Sample(Document):
    """One enrolled image of a subject; `quality` is in [0, 1], `image_sha256` of the file as it was sent."""

    id: str
    det_score: float
    quality: float
    crop_url: str | None = None
    image_sha256: str | None = None


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
    """What became of images that were sent for somebody; `duplicates` names those that the person had already."""

    samples: tuple[Sample, ...]
    rejected: tuple[RejectedImage, ...]
    duplicates: tuple[str, ...] = field(default=(), kw_only=True)

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        known["samples"] = tuple(Sample.from_wire(sample) for sample in known["samples"])
        known["rejected"] = tuple(RejectedImage.from_wire(image) for image in known.get("rejected", ()))
        known["duplicates"] = tuple(known.get("duplicates", ()))
        return known


@dataclass(frozen=True, slots=True)
class Enrolment(AddedSamples):
    """A new subject, and what became of the images."""

    id: str
    name: str
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportedSubject(Document):
    """What became of a subject that was moved in.

    Attributes:
        id: here; another than it came with where that was taken.
        is_new: whether it was not here before.
        samples: stored now.
        missing: ids, as they came, of samples that are not here; their crops are to be sent.
        without_embedding: stored now, but not searchable before a re-index.
    """

    id: str
    is_new: bool
    samples: int = 0
    missing: tuple[str, ...] = ()
    without_embedding: int = 0

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return known | {"missing": tuple(known.get("missing", ()))}


@dataclass(frozen=True, slots=True)
class Receipt(Document):
    """What the erasure of a person removed, and where the person may still be outside the server.

    Attributes:
        removed: counts; `sample_embeddings` by model.
        exports: exports that hold the person, with `id`, `label`, `key_id`, `at`.
        jobs_under_way, jobs_with_media: jobs where the face may still be.
        sha256: of the rest as JSON with sorted keys and without spaces.
    """

    version: int
    gallery: str
    subject_id: str
    erased_at: str
    key_id: str
    request_id: str
    removed: Mapping[str, Any]
    exports: tuple[Mapping[str, Any], ...]
    jobs_under_way: tuple[str, ...]
    jobs_with_media: tuple[str, ...]
    sha256: str

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        lists = ("exports", "jobs_under_way", "jobs_with_media")
        return known | {name: tuple(known[name]) for name in lists}


@dataclass(frozen=True, slots=True)
class AuditLine(Document):
    """Who did what to whom."""

    id: int
    at: datetime
    action: str
    key_id: str
    request_id: str
    gallery: str | None = None
    subject_ids: tuple[str, ...] = ()
    job_id: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    receipt: Mapping[str, Any] | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "at") | {"subject_ids": tuple(known.get("subject_ids", ()))}


@dataclass(frozen=True, slots=True)
class Candidate(Document):
    """A subject who may be the one in a probe."""

    subject_id: str
    similarity: float
    name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attributes(Document):
    """A network's guess at how somebody looks, not a fact about them.

    Attributes:
        age: years.
        gender: female or male.
        gender_score: of that guess, from 0.5 (undecided) to 1; not a calibrated probability.
    """

    age: float
    gender: str
    gender_score: float


@dataclass(frozen=True, slots=True)
class Pose(Document):
    """How a head is turned, in degrees: up, to the right of the picture, and clockwise are positive."""

    pitch: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True)
class Face(Document):
    """A face in an image.

    Attributes:
        landmarks: see the module; none where the server's detector gives none.
        candidates: filled by a search.
        embedding: unit length, filled by `embeddings`.
        attributes, pose, landmarks_106, landmarks_68: filled when `attributes` were asked for, as far as the server's
            pack has networks for them; landmarks_68 are (x, y, depth).
    """

    box: Box
    det_score: float
    landmarks: tuple[tuple[float, float], ...]
    candidates: tuple[Candidate, ...] = ()
    embedding: tuple[float, ...] | None = None
    quality: float | None = None
    attributes: Attributes | None = None
    pose: Pose | None = None
    landmarks_106: tuple[tuple[float, float], ...] | None = None
    landmarks_68: tuple[tuple[float, float, float], ...] | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        known = _geometry(known)
        known["candidates"] = tuple(Candidate.from_wire(one) for one in known.get("candidates") or ())
        if known.get("embedding") is not None:
            known["embedding"] = tuple(known["embedding"])
        for name in ("landmarks_106", "landmarks_68"):
            if known.get(name) is not None:
                known[name] = tuple(tuple(map(float, point)) for point in known[name])
        if known.get("pose") is not None:
            known["pose"] = Pose.from_wire(known["pose"])
        return _attributes(known)


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
    """How far a job is; `frames_total` is None until the media was probed.

    Of a bulk job, `items_done` of `items_total` and the time left, each None until it is known.
    """

    fraction: float
    frames_done: int = 0
    frames_total: int | None = None
    faces: int = 0
    items_done: int | None = None
    items_total: int | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Job(Document):
    """One image or video to be worked on, or a bulk job, and how that went.

    Attributes:
        kind: media, reindex, rematch, calibrate or index; all but media are bulk jobs, over what is stored.
        state: queued, running, succeeded, partial, failed or cancelled; the last four are final.
        media: kind, width_px, height_px, fps, duration_s once known.
        options: as the server resolved them.
        report: what a bulk job found; of a media job, what a re-match changed last.
        error: code and message; `ranges` of a partial job names what failed, by start_ms and end_ms.
    """

    id: str
    state: str
    progress: Progress = field(default_factory=lambda: Progress(0.0))
    media: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    model_id: str | None = None
    kind: str = "media"
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
class Person(Document):
    """Somebody seen in one or more jobs whom no gallery knew then; `subject_id` is who it turned out to be."""

    id: str
    number: int
    name: str
    model_id: str
    tracks: int
    jobs: int
    first_seen_at: datetime
    last_seen_at: datetime
    thumbnail_url: str
    subject_id: str | None = None
    gallery: str | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _times(known, "first_seen_at", "last_seen_at")


@dataclass(frozen=True, slots=True)
class NamedPerson(Document):
    """An unknown person who has a name now, and the job that puts it into past answers, if there are any."""

    person: Person
    subject: Subject
    rematch_job_id: str | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        person, subject = Person.from_wire(known["person"]), Subject.from_wire(known["subject"])
        return known | {"person": person, "subject": subject}


@dataclass(frozen=True, slots=True)
class FootageAppearance(Document):
    """A stretch of time in which a face is seen; `track_id` shows it best."""

    job_id: str
    track_id: int
    start_ms: int
    end_ms: int
    name: str
    thumbnail_url: str
    similarity: float | None = None
    detections: int = 0
    subject_id: str | None = None
    person_id: str | None = None


@dataclass(frozen=True, slots=True)
class Footage(Document):
    """Where a face was ever seen, best first; `found` counts also what a limit cut off."""

    items: tuple[FootageAppearance, ...]
    found: int
    model_id: str
    min_similarity: float

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return known | {"items": tuple(FootageAppearance.from_wire(one) for one in known["items"])}


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
    person_id: str | None = None
    attributes: Attributes | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        return _attributes(known)


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
    person_id: str | None = None
    attributes: Attributes | None = None

    @classmethod
    def _convert(cls, known: dict[str, Any]) -> dict[str, Any]:
        candidates = tuple(Candidate.from_wire(one) for one in known.get("candidates") or ())
        return _attributes(known) | {"candidates": candidates, "crop_urls": tuple(known.get("crop_urls") or ())}


def _geometry(known: dict[str, Any]) -> dict[str, Any]:
    x1, y1, x2, y2 = known["box"]
    points = tuple((float(x), float(y)) for x, y in known["landmarks"] or ())
    return known | {"box": (float(x1), float(y1), float(x2), float(y2)), "landmarks": points}


def _attributes(known: dict[str, Any]) -> dict[str, Any]:
    if known.get("attributes") is not None:
        known["attributes"] = Attributes.from_wire(known["attributes"])
    return known


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
