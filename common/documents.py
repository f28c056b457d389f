"""Documents that both the API and the webhooks give: the base of every answer, and a job."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from common.contracts import FINAL_STATES, JOB_PRIORITIES, JobKind, JobState
from common.store.paging import Row

Id = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, UUID) else value)]
Time = Annotated[datetime, AfterValidator(lambda time: time.astimezone(UTC))]

_PRIORITY_NAMES = {int(priority): name for name, priority in JOB_PRIORITIES.items()}


class Document(BaseModel):
    """Base of every answer; rows may carry more columns than are shown."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FailedRange(Document):
    """A stretch of media time that was not processed, and why."""

    start_ms: int
    end_ms: int
    code: str
    message: str


class JobError(Document):
    """Why a job failed, wholly or in part."""

    code: str
    message: str
    ranges: list[FailedRange] = Field(default=[], description="Of a partial job: what is missing.")


class Progress(Document):
    """How far a job is."""

    fraction: float = Field(description="0 to 1; 1 only when the job has ended well.")
    frames_done: int
    frames_total: int | None = Field(description="null until the media was probed.")
    faces: int


class BulkProgress(Document):
    """How far a bulk job is."""

    fraction: float = Field(description="0 to 1; 1 only when the job has ended well.")
    items_done: int
    items_total: int | None = Field(description="null until the job was surveyed.")
    eta_s: float | None = Field(description="Time left at the rate so far; null when nothing was done yet.")


class Media(Document):
    """What the job's file holds."""

    kind: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    duration_s: float | None = None
    detector_input_px: tuple[int, int] | None = Field(
        default=None,
        description="Width and height to which frames were scaled for the detector, chosen by their size; null until"
        " the first were looked at.",
    )


class JobOptions(Document):
    """The options of a job, as resolved when it was accepted."""

    gallery: str | None
    sample_fps: float | None
    min_similarity: float | None
    min_margin: float
    limit: int
    attributes: bool = False
    priority: str
    webhook_url: str | None = Field(description="Where the final document is posted.")


class BulkOptions(Document):
    """The options of a bulk job; beside these, whatever its kind knows."""

    model_config = ConfigDict(frozen=True, extra="allow")

    gallery: str | None
    priority: str
    webhook_url: str | None = Field(description="Where the final document is posted.")


class JobLinks(Document):
    """Where the rest of a job is."""

    self: str
    events: str
    detections: str
    tracks: str
    appearances: str
    cancel: str

    @classmethod
    def of(cls, job_id: str) -> Self:
        """Links of one job."""
        url = f"/v1/jobs/{job_id}"
        return cls(
            self=url,
            events=f"{url}/events",
            detections=f"{url}/detections",
            tracks=f"{url}/tracks",
            appearances=f"{url}/appearances",
            cancel=f"{url}/cancel",
        )


class Job(Document):
    """A job as it is now."""

    id: Id
    kind: JobKind = Field(description="media, or the kind of a bulk job.")
    state: JobState
    progress: Progress | BulkProgress
    media: Media | None = Field(description="null until the file was probed.")
    model_id: str
    options: JobOptions | BulkOptions
    report: dict[str, Any] | None = Field(
        description="What a bulk job found; of a media job, what a re-match changed last."
    )
    error: JobError | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    links: JobLinks

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """From a row of `jobs`, or from one that was kept as JSON."""
        kind = row.get("kind", "media")  # a webhook promised by an older version has none
        given = {
            **row["options"],
            "priority": _PRIORITY_NAMES.get(row["priority"], "normal"),
            "webhook_url": row["webhook_url"],
        }
        options = JobOptions(**given) if kind == "media" else BulkOptions(**given)
        progress = _progress(row) if kind == "media" else _bulk_progress(row)
        changed = {"kind": kind, "report": row.get("report"), "progress": progress, "options": options}
        return cls.model_validate({**row, **changed, "links": JobLinks.of(str(row["id"]))})


def _progress(row: Row) -> Progress:
    return Progress(
        fraction=_fraction(row), frames_done=row["frames_done"], frames_total=row["frames_total"], faces=row["faces"]
    )


def _bulk_progress(row: Row) -> BulkProgress:
    done, total, eta_s = row["frames_done"], row["frames_total"], None
    if row["state"] == JobState.RUNNING and done and total is not None:
        passed_s = (datetime.now(UTC) - row["started_at"]).total_seconds()
        eta_s = round(max(0.0, passed_s * (total - done) / done), 1)
    return BulkProgress(fraction=_fraction(row), items_done=done, items_total=total, eta_s=eta_s)


def _fraction(row: Row) -> float:
    state, total = row["state"], row["frames_total"]
    if state in {JobState.SUCCEEDED, JobState.PARTIAL}:
        return 1.0
    fraction = row["frames_done"] / total if total else 0.0
    return round(min(fraction, 1.0 if state in FINAL_STATES else 0.999), 4)
