"""What travels between processes: stage, queue and task names, the messages, and the options of a job or call.

Messages are JSON, carry ids and small numbers, and never pixels, names or secrets: Flower shows them to everybody.
Broker priorities follow Redis in Celery: 0 is served first, 9 last.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal, Self

WIRE_VERSION: Final = 3

Stage = Literal["decode", "detect", "embed", "match", "caption", "segment"]
#: What every job walks through, in this order.
STAGES: Final[tuple[Stage, ...]] = ("decode", "detect", "embed", "match")
#: Calls alone come here, from decode; their pools run only where a pack with such networks is installed.
PICTURE_STAGES: Final[tuple[Stage, ...]] = ("caption", "segment")
POOLS: Final[tuple[Stage, ...]] = (*STAGES, *PICTURE_STAGES)

#: The process of live streams (`python -m workers.live`), which is no pool: its lane of calls, its rows in `workers`.
LIVE: Final = "live"

#: Task names. A queue is named after its stage; planning runs in the decode pool, finishing in the match pool.
TASK_PLAN: Final = "facepipe.plan"
TASK_DECODE: Final = "facepipe.decode"
TASK_DETECT: Final = "facepipe.detect"
TASK_EMBED: Final = "facepipe.embed"
TASK_MATCH: Final = "facepipe.match"
TASK_FINISH: Final = "facepipe.finish"
TASK_SURVEY: Final = "facepipe.survey"
TASK_CHUNK: Final = "facepipe.chunk"
TASK_EMBED_CHUNK: Final = "facepipe.chunk.embed"
TASK_CONCLUDE: Final = "facepipe.conclude"
TASK_CAPTION: Final = "facepipe.caption"
TASK_SEGMENT: Final = "facepipe.segment"
STAGE_TASKS: Final[Mapping[Stage, str]] = {
    "decode": TASK_DECODE,
    "detect": TASK_DETECT,
    "embed": TASK_EMBED,
    "match": TASK_MATCH,
    "caption": TASK_CAPTION,
    "segment": TASK_SEGMENT,
}
TASK_QUEUES: Final[Mapping[str, Stage]] = {
    TASK_PLAN: "decode",
    TASK_DECODE: "decode",
    TASK_DETECT: "detect",
    TASK_EMBED: "embed",
    TASK_MATCH: "match",
    TASK_FINISH: "match",
    TASK_SURVEY: "match",
    TASK_CHUNK: "match",
    TASK_EMBED_CHUNK: "embed",
    TASK_CONCLUDE: "match",
    TASK_CAPTION: "caption",
    TASK_SEGMENT: "segment",
}

JobKind = Literal["media", "reindex", "rematch", "calibrate", "index"]
#: The pool that works on the chunks of a bulk job; its survey and conclusion are the match pool's.
CHUNK_STAGES: Final[Mapping[str, Stage]] = {
    "reindex": "embed",
    "rematch": "match",
    "calibrate": "match",
    "index": "match",
}
CHUNK_TASKS: Final[Mapping[Stage, str]] = {"embed": TASK_EMBED_CHUNK, "match": TASK_CHUNK}


class Priority(IntEnum):
    """Broker priority; smaller is served first. Calls have a lane of their own, see `common.calls`."""

    HIGH = 3
    NORMAL = 6
    LOW = 9


JOB_PRIORITIES: Final[Mapping[str, Priority]] = {
    "high": Priority.HIGH,
    "normal": Priority.NORMAL,
    "low": Priority.LOW,
}


class JobState(StrEnum):
    """States of a job; the last four are final."""

    QUEUED = "queued"  #: accepted, nothing has run
    RUNNING = "running"  #: planned, segments are being worked on
    SUCCEEDED = "succeeded"  #: every segment was processed
    PARTIAL = "partial"  #: some time ranges failed; `error` names them
    FAILED = "failed"  #: nothing usable came out; `error` says why
    CANCELLED = "cancelled"  #: stopped on request


FINAL_STATES: Final = frozenset({JobState.SUCCEEDED, JobState.PARTIAL, JobState.FAILED, JobState.CANCELLED})


class StepKind(StrEnum):
    """What a step, the unit of lease and retry, does."""

    PLAN = "plan"  #: probe the media and split it into segments; one a job
    SEGMENT = "segment"  #: decode, detect, embed and match one stretch of frames
    FINISH = "finish"  #: link tracklets into tracks, decide who they are; one a job
    SURVEY = "survey"  #: of a bulk job: look at what is to be done and cut it into chunks; one a job
    CHUNK = "chunk"  #: of a bulk job: one bounded piece of it, as `steps.work` says
    CONCLUDE = "conclude"  #: of a bulk job: report, and end it or ask for more chunks; one a job


BULK_KINDS: Final = frozenset({StepKind.SURVEY, StepKind.CHUNK, StepKind.CONCLUDE})


class StepState(StrEnum):
    """States of a step."""

    PENDING = "pending"  #: waits for the scheduler
    SENT = "sent"  #: a message for it is in a queue
    RUNNING = "running"  #: a worker holds its lease
    DONE = "done"  #: its results are stored
    FAILED = "failed"  #: its error is final
    QUARANTINED = "quarantined"  #: it killed its worker too often
    CANCELLED = "cancelled"  #: its job was cancelled


@dataclass(frozen=True, slots=True)
class StepRef:
    """One attempt at one step of a job. The attempt fences: an older one can change nothing any more."""

    job_id: str
    kind: StepKind
    ordinal: int
    attempt: int

    @property
    def key(self) -> str:
        """Name of this attempt in the frame store and in logs."""
        return f"{self.job_id}.{self.kind}.{self.ordinal}.{self.attempt}"


@dataclass(frozen=True, slots=True)
class CallRef:
    """An interactive call: nothing of it is stored, its answer goes back through the call desk.

    Attributes:
        call_id: random id; also the name of the reply list.
        until: the stage that answers.
        deadline_ms: Unix time in ms after which nobody waits any more.
    """

    call_id: str
    until: Stage
    deadline_ms: int

    @property
    def key(self) -> str:
        """Name of this call in the frame store and in logs."""
        return f"call-{self.call_id}"


WorkRef = StepRef | CallRef


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose, resolved once by the API and never looked up again.

    Attributes:
        gallery_id: gallery to search, or None to only detect and embed.
        min_similarity: cosine lower bound in [-1, 1], inclusive; None: no decision is asked for.
        min_margin: lead of the best subject over the second, cosine, >= 0.
        limit: candidates kept per face or track.
        sample_fps: frames taken per second of media; None for images.
        model_id: embedding space to embed in; None: that of the active pack.
        attributes: whether age, gender and pose are guessed too.
    """

    gallery_id: str | None = None
    min_similarity: float | None = None
    min_margin: float = 0.0
    limit: int = 5
    sample_fps: float | None = None
    model_id: str | None = None
    attributes: bool = False


@dataclass(frozen=True, slots=True)
class Extract:
    """(calls alone) Frames of a video that are wanted as pictures; see `workers.decode.extract`.

    Attributes:
        fps_max: about so many frames a second are taken, > 0.
        width_max_px, height_max_px: larger frames are made smaller to fit, at least 1.
        encoding: whole JPEG files, or RGB bytes row by row.
        max_bytes: of all pictures together.
        into: blob key under which they are put, one behind the other.
    """

    fps_max: float
    width_max_px: int
    height_max_px: int
    encoding: Literal["jpeg", "rgb"]
    max_bytes: int
    into: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """(calls alone) The picture is wanted with faces drawn in; see `workers.decode.annotate`.

    Attributes:
        faces: blob key of what is drawn, as JSON: labels are names, and messages carry none.
        into: blob key under which the JPEG file is put.
    """

    faces: str
    into: str


@dataclass(frozen=True, slots=True)
class Objects:
    """(calls alone) Which objects of a picture are wanted; see `workers.segment.segmenter`.

    Attributes:
        limit: the best so many at most, at least 1.
        min_score: lower bound of their scores, exclusive.
        nms_iou: of two objects of one class that overlap more than this, the better one is kept; None: what the
            pack says.
    """

    limit: int
    min_score: float
    nms_iou: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """(calls alone) A WebRTC connection that is offered to the process of live streams.

    Its `CallRef.until` says what is done with the frames: `detect` only finds faces, `embed` names them by the data set
    in `blob_key`.

    Attributes:
        sdp: the offer.
    """

    sdp: str


@dataclass(frozen=True, slots=True)
class Message:
    """The one shape of everything that is asked of a pool.

    In a queue it is `kwargs={"message": …}`; in the lane of calls it stands alone.

    Attributes:
        ref: whose work this is.
        options: see `Options`.
        blob_key: the media in the blob store; used by plan and decode alone.
        priority: broker priority, handed on from stage to stage.
        ordinals: (decode only) further segments, contiguous after `ref.ordinal`, that the same decoder run covers.
        attempts: attempt of each of `ordinals`.
        upright: (calls alone) whether a picture is turned as its EXIF orientation says.
        whole_picture: (calls alone) whether a picture in which no face is found counts as one face from edge to edge.
        extract: see `Extract`; decode answers with the frames, and no face is looked for.
        annotate: see `Annotate`; likewise.
        objects: see `Objects`; for the segment pool alone.
        offer: see `Offer`; for the process of live streams alone.
    """

    ref: WorkRef
    options: Options
    blob_key: str
    priority: Priority = Priority.NORMAL
    ordinals: tuple[int, ...] = ()
    attempts: tuple[int, ...] = ()
    upright: bool = True
    whole_picture: bool = False
    extract: Extract | None = None
    annotate: Annotate | None = None
    objects: Objects | None = None
    offer: Offer | None = None

    def for_step(self, ref: StepRef) -> Self:
        """The same message for one segment alone, as the later stages get it."""
        return replace(self, ref=ref, ordinals=(), attempts=())

    def span(self) -> tuple[StepRef, ...]:
        """Every segment of a decode message, `ref` first. Only for step messages."""
        if not isinstance(self.ref, StepRef):
            raise TypeError("a call has no span")
        more = zip(self.ordinals, self.attempts, strict=True)
        return (self.ref, *(replace(self.ref, ordinal=ordinal, attempt=attempt) for ordinal, attempt in more))

    @property
    def label(self) -> str:
        """What Flower shows of it: which job, which segments, which attempt."""
        if not isinstance(self.ref, StepRef):
            return f"call {self.ref.call_id}"
        more = f"-{self.ordinals[-1]}" if self.ordinals else ""
        is_part = self.ref.kind in (StepKind.SEGMENT, StepKind.CHUNK)
        part = f" {self.ref.kind} {self.ref.ordinal}{more}" if is_part else ""
        return f"job {self.ref.job_id}{part} attempt {self.ref.attempt}"

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready form."""
        ref = asdict(self.ref)
        ref["type"] = "step" if isinstance(self.ref, StepRef) else "call"
        return {
            "v": WIRE_VERSION,
            "ref": ref,
            "options": asdict(self.options),
            "blob_key": self.blob_key,
            "priority": int(self.priority),
            "ordinals": list(self.ordinals),
            "attempts": list(self.attempts),
            "upright": self.upright,
            "whole_picture": self.whole_picture,
            "extract": None if self.extract is None else asdict(self.extract),
            "annotate": None if self.annotate is None else asdict(self.annotate),
            "objects": None if self.objects is None else asdict(self.objects),
            "offer": None if self.offer is None else asdict(self.offer),
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Inverse of `to_wire`.

        Raises:
            ValueError: another wire version; a rolling upgrade sends the step again.
        """
        if wire.get("v") != WIRE_VERSION:
            raise ValueError(f"message has wire version {wire.get('v')!r}, this worker speaks {WIRE_VERSION}")
        raw = dict(wire["ref"])
        ref: WorkRef
        if raw.pop("type") == "step":
            ref = StepRef(raw["job_id"], StepKind(raw["kind"]), raw["ordinal"], raw["attempt"])
        else:
            ref = CallRef(**raw)
        return cls(
            ref=ref,
            options=Options(**wire["options"]),
            blob_key=wire["blob_key"],
            priority=Priority(wire["priority"]),
            ordinals=tuple(wire["ordinals"]),
            attempts=tuple(wire["attempts"]),
            upright=wire.get("upright", True),
            whole_picture=wire.get("whole_picture", False),
            extract=Extract(**wire["extract"]) if wire.get("extract") else None,
            annotate=Annotate(**wire["annotate"]) if wire.get("annotate") else None,
            objects=Objects(**wire["objects"]) if wire.get("objects") else None,
            offer=Offer(**wire["offer"]) if wire.get("offer") else None,
        )
