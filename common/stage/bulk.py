"""Runs the steps of bulk jobs: what a kind of job does is behind `BulkKind`, what becomes of its steps is here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.contracts import TASK_CHUNK, TASK_CONCLUDE, TASK_SURVEY, JobState, Stage, StepRef
from common.errors import FacepipeError
from common.stage.runner import Attempt, Handler, make_handler
from common.stage.runtime import Runtime
from common.store.bulk import Bulk, BulkJob, Chunk, Effect, Work
from common.store.database import Cursor

Check = Callable[[], None]
"""Cheap; long work calls it between batches. It raises when the work is no longer wanted."""

ChunkBody = Callable[[BulkJob, Work, Check], Effect]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of a bulk job.

    Attributes:
        report: the answer, a JSON object.
        error: code and message of what is missing; makes the job `partial`.
        write: what is changed in the transaction that ends the job.
    """

    report: Work
    error: Mapping[str, Any] | None = None
    write: Callable[[Cursor], None] | None = None


@dataclass(frozen=True, slots=True)
class MoreChunks:
    """Not the end yet: these chunks first, then another conclusion. `report` is kept for it."""

    chunks: Sequence[Chunk]
    report: Work | None = None


class BulkKind(Protocol):
    """What one kind of bulk job does. No method but `write` of its answers changes anything."""

    def survey(self, job: BulkJob, check: Check) -> Sequence[Chunk]:
        """What is to be done, in pieces; none is fine. Raises FacepipeError, which fails the job."""

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:
        """One piece; may run again after a death. Raises FacepipeError, which makes the job `partial`."""

    def conclude(self, job: BulkJob, check: Check) -> Conclusion | MoreChunks:
        """Once no chunk is open any more, some of which may have failed."""


def make_bulk_tasks(runtime: Runtime, kinds: Mapping[str, BulkKind]) -> dict[str, Handler]:
    """The match pool's tasks for bulk jobs.

    Args:
        kinds: `jobs.kind` to what it does.
    """
    bulk = Bulk(runtime.database)

    def survey(attempt: Attempt) -> None:
        ref = _step(attempt)
        job = bulk.read(ref)
        bulk.surveyed(ref, job.kind, _kind(kinds, job).survey(job, attempt.check))

    def conclude(attempt: Attempt) -> None:
        ref = _step(attempt)
        job = bulk.read(ref)
        answer = _kind(kinds, job).conclude(job, attempt.check)
        if isinstance(answer, MoreChunks):
            bulk.extended(ref, job.kind, answer.chunks, answer.report)
            return
        state, error = _outcome(bulk, ref.job_id)
        if answer.error is not None and error is None:
            state, error = JobState.PARTIAL, dict(answer.error)
        bulk.concluded(ref, state=state, report=answer.report, error=error, write=answer.write)

    return {
        TASK_SURVEY: make_handler(runtime, survey),
        TASK_CONCLUDE: make_handler(runtime, conclude),
        TASK_CHUNK: make_chunk_task(
            runtime, lambda job, work, check: _kind(kinds, job).chunk(job, work, check), stage="match"
        ),
    }


def make_chunk_task(runtime: Runtime, body: ChunkBody, *, stage: Stage) -> Handler:
    """The task of a pool that works on chunks."""
    bulk = Bulk(runtime.database)

    def chunk(attempt: Attempt) -> None:
        ref = _step(attempt)
        job = bulk.read(ref)
        bulk.chunk_done(ref, body(job, bulk.work(ref), attempt.check))

    return make_handler(runtime, chunk, stage)


def _outcome(bulk: Bulk, job_id: str) -> tuple[JobState, dict[str, Any] | None]:
    """State and error document from the fate of the chunks."""
    failed: list[dict[str, Any]] = []
    done = 0
    for chunk in bulk.chunks(job_id):
        if chunk.error is None:
            done += 1
        else:
            failed.append(chunk.error)
    if not failed:
        return JobState.SUCCEEDED, None
    share = f"{len(failed)} of {len(failed) + done} chunks failed; `facepipe jobs retry {job_id}` runs them again"
    state = JobState.PARTIAL if done else JobState.FAILED
    return state, {"code": failed[0]["code"], "message": f"{share}: {failed[0]['message']}"}


def _kind(kinds: Mapping[str, BulkKind], job: BulkJob) -> BulkKind:
    try:
        return kinds[job.kind]
    except KeyError:
        raise FacepipeError(f"No pool of this version knows jobs of kind {job.kind!r}; upgrade them.") from None


def _step(attempt: Attempt) -> StepRef:
    if not isinstance(attempt.message.ref, StepRef):
        raise TypeError("only jobs have bulk steps")
    return attempt.message.ref
