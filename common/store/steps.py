"""Steps as the workers see them: begin, keep alive, hand over, settle.

Every statement names the attempt, so whatever an older attempt still tries changes nothing and is told so. That covers
a server that crashes, too: what moves a step on does not wait for the disk, since a step whose row tells of an earlier
moment is run again when its lease ends. What a step found, and that it is settled, does wait.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import psycopg2.extras

from common.contracts import JobState, Stage, StepKind, StepRef, StepState
from common.errors import CancelledError, FacepipeError
from common.records import Segment
from common.settings import LeaseSettings
from common.store.database import Cursor, Database

#: Longest pause before a failed step is tried again.
MAX_PAUSE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class StartedSegment:
    """A segment whose lease the caller now holds."""

    ref: StepRef
    segment: Segment


class Steps:
    """See the module.

    Args:
        database: where the truth lies.
        lease: how long leases last.
    """

    def __init__(self, database: Database, lease: LeaseSettings) -> None:
        self._database = database
        self._lease = lease

    def begin(self, ref: StepRef, stage: Stage, worker: str) -> bool:
        """Take the lease of a sent step; False: superseded, cancelled or already begun, so drop the message."""
        with self._database.statement() as cursor:
            return len(self._begin(cursor, [ref], stage, worker)) == 1

    def begin_segments(self, refs: Sequence[StepRef], worker: str) -> tuple[list[StartedSegment], dict[str, Any]]:
        """Take the leases of a decoder run.

        Returns:
            The segments that are still wanted, in order, and the job's `media` document.
        """
        with self._database.transaction() as cursor:
            taken = self._begin(cursor, refs, "decode", worker)
            if not taken:
                return [], {}
            cursor.execute("select media from jobs where id = %s", (refs[0].job_id,))
            media = cursor.fetchone()["media"]
        by_ordinal = {row["ordinal"]: row for row in taken}
        started = [StartedSegment(ref, _segment(by_ordinal[ref.ordinal])) for ref in refs if ref.ordinal in by_ordinal]
        return started, media

    def media_url(self, ref: StepRef) -> str | None:
        """Where the job's media is to be fetched from; None for an upload. Raises CancelledError when it is gone."""
        with self._database.statement() as cursor:
            cursor.execute("select media_url from jobs where id = %s", (ref.job_id,))
            row = cursor.fetchone()
        if row is None:
            raise superseded(ref)
        url: str | None = row["media_url"]
        return url

    def give_back(self, refs: Sequence[StepRef]) -> None:
        """Steps of a decoder run that it did not get to: pending again, nothing is held against them."""
        with self._database.transaction() as cursor:
            for ref in refs:
                cursor.execute(
                    "update steps set state = 'pending', worker = null, waiting = false where job_id = %s and kind = %s"
                    " and ordinal = %s and attempt = %s and state = 'running'",
                    _identity(ref),
                )

    def reach(self, ref: StepRef) -> None:
        """The decoder run now works on `ref`: a death from here on counts against it."""
        with self._database.statement() as cursor:
            cursor.execute(
                "set local synchronous_commit to off;"
                " update steps set waiting = false where job_id = %s and kind = %s and ordinal = %s and attempt = %s",
                _identity(ref),
            )

    def keep_alive(self, refs: Sequence[StepRef]) -> set[StepRef]:
        """Extend the leases of running steps; returns those that are still ours."""
        if not refs:
            return set()
        with self._database.statement() as cursor:
            rows = psycopg2.extras.execute_values(
                cursor,
                "set local synchronous_commit to off;"
                " update steps s set lease_until = now() + make_interval(secs => mine.lease_s)"
                " from (values %s) as mine (job_id, kind, ordinal, attempt, lease_s)"
                " where s.job_id = mine.job_id and s.kind = mine.kind and s.ordinal = mine.ordinal"
                " and s.attempt = mine.attempt and s.state = 'running'"
                " returning s.job_id, s.kind, s.ordinal, s.attempt",
                [(*_identity(ref), self._lease.lease_s) for ref in refs],
                template="(%s::uuid, %s, %s, %s, %s)",
                fetch=True,
            )
        return {StepRef(str(row["job_id"]), StepKind(row["kind"]), row["ordinal"], row["attempt"]) for row in rows}

    def hand_over(self, ref: StepRef, stage: Stage) -> None:
        """Pass the step on to `stage`; send its message right after.

        Raises:
            CancelledError: the step is no longer ours.
        """
        with self._database.statement() as cursor:
            cursor.execute(
                "set local synchronous_commit to off;"
                " update steps set state = 'sent', stage = %s, worker = null, lease_until = now() + %s"
                " where job_id = %s and kind = %s and ordinal = %s and attempt = %s and state = 'running'",
                (stage, timedelta(seconds=self._lease.handover_s), *_identity(ref)),
            )
            if cursor.rowcount == 0:
                raise superseded(ref)

    def planned(self, ref: StepRef, media: dict[str, Any], segments: Sequence[Segment]) -> None:
        """Store what the plan step found, with one pending step a segment; all or nothing.

        Raises:
            CancelledError: the step is no longer ours.
        """
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs set state = 'running', started_at = coalesce(started_at, now()), media = %s,"
                " frames_total = %s where id = %s and state in ('queued', 'running')",
                (psycopg2.extras.Json(media), sum(len(segment.frame_indices) for segment in segments), ref.job_id),
            )
            settle(cursor, ref, StepState.DONE)
            psycopg2.extras.execute_values(
                cursor,
                "insert into steps (job_id, kind, ordinal, frame_indices, frame_times_ms, start_ms, end_ms)"
                " values %s on conflict do nothing",
                [
                    (
                        ref.job_id,
                        "segment",
                        segment.ordinal,
                        segment.frame_indices.tolist(),
                        segment.frame_times_ms.tolist(),
                        segment.start_ms,
                        segment.end_ms,
                    )
                    for segment in segments
                ],
            )

    def retry(self, ref: StepRef, error: FacepipeError, delay_s: float) -> None:
        """Run the step again after `delay_s`, or fail it when it has had its attempts. Superseded: nothing happens."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "update steps set state = 'pending', worker = null, failures = failures + 1, not_before = now() + %s"
                " where job_id = %s and kind = %s and ordinal = %s and attempt = %s and state in ('sent', 'running')"
                " and failures + 1 < %s",
                (timedelta(seconds=delay_s), *_identity(ref), self._lease.max_attempts),
            )
            if cursor.rowcount == 0:
                _fail(cursor, ref, StepState.FAILED, error)

    def fail(self, ref: StepRef, error: FacepipeError) -> None:
        """The step's error is final; the job goes on without it. Superseded: nothing happens."""
        with self._database.transaction() as cursor:
            _fail(cursor, ref, StepState.FAILED, error)

    def _begin(self, cursor: Cursor, refs: Sequence[StepRef], stage: Stage, worker: str) -> list[Any]:
        rows: list[Any] = psycopg2.extras.execute_values(
            cursor,
            "set local synchronous_commit to off;"
            " update steps s set state = 'running', worker = mine.worker, waiting = mine.waiting,"
            " lease_until = now() + make_interval(secs => mine.lease_s)"
            " from (values %s) as mine (job_id, kind, ordinal, attempt, stage, worker, waiting, lease_s)"
            " where s.job_id = mine.job_id and s.kind = mine.kind and s.ordinal = mine.ordinal"
            " and s.attempt = mine.attempt and s.stage = mine.stage and s.state = 'sent'"
            " returning s.*",
            [(*_identity(ref), stage, worker, position > 0, self._lease.lease_s) for position, ref in enumerate(refs)],
            template="(%s::uuid, %s, %s, %s, %s, %s, %s, %s)",
            fetch=True,
        )
        return rows


def settle(cursor: Cursor, ref: StepRef, state: StepState) -> None:
    """Give a running step its last state, in the caller's transaction.

    Raises:
        CancelledError: the step is no longer ours; the caller's transaction is rolled back by it.
    """
    cursor.execute(
        "update steps set state = %s, worker = null, lease_until = null, error = null, frame_indices = null,"
        " frame_times_ms = null"
        " where job_id = %s and kind = %s and ordinal = %s and attempt = %s and state = 'running'",
        (str(state), *_identity(ref)),
    )
    if cursor.rowcount == 0:
        raise superseded(ref)


def add_finish_if_last(cursor: Cursor, job_id: str) -> None:
    """When no segment is open any more, promise the finish step; of a job that is tried again, once more.

    The caller holds the lock on the job's row, so of two segments that end together the second one sees both.
    """
    cursor.execute(
        "insert into steps (job_id, kind, ordinal) select %s, 'finish', 0 where not exists ("
        " select 1 from steps where job_id = %s and kind in ('plan', 'segment')"
        " and state in ('pending', 'sent', 'running'))"
        " on conflict (job_id, kind, ordinal) do update set state = 'pending', deaths = 0, failures = 0, error = null,"
        " not_before = '-infinity' where steps.state in ('done', 'failed', 'quarantined')",
        (job_id, job_id),
    )


def add_conclude_if_last(cursor: Cursor, job_id: str) -> None:
    """The same for bulk jobs: when no survey or chunk is open any more, promise the conclusion."""
    cursor.execute(
        "insert into steps (job_id, kind, ordinal, stage) select %s, 'conclude', 0, 'match' where not exists ("
        " select 1 from steps where job_id = %s and kind in ('survey', 'chunk')"
        " and state in ('pending', 'sent', 'running'))"
        " on conflict (job_id, kind, ordinal) do update set state = 'pending', deaths = 0, failures = 0, error = null,"
        " not_before = '-infinity' where steps.state in ('done', 'failed', 'quarantined')",
        (job_id, job_id),
    )


def fail_in(cursor: Cursor, refs: Iterable[StepRef], state: StepState, error: FacepipeError) -> None:
    """Settle steps as failed or quarantined and let their jobs go on or end; in the caller's transaction."""
    for ref in refs:
        _fail(cursor, ref, state, error)


def superseded(ref: StepRef) -> CancelledError:
    """The error for work that is no longer ours."""
    return CancelledError(f"{ref.key} was cancelled or is done by a newer attempt.")


def _fail(cursor: Cursor, ref: StepRef, state: StepState, error: FacepipeError) -> None:
    document = psycopg2.extras.Json(error.to_wire())
    cursor.execute("select state from jobs where id = %s for update", (ref.job_id,))
    cursor.execute(
        "update steps set state = %s, worker = null, lease_until = null, error = %s"
        " where job_id = %s and kind = %s and ordinal = %s and attempt = %s and state in ('sent', 'running')",
        (str(state), document, *_identity(ref)),
    )
    if cursor.rowcount == 0:
        return
    if ref.kind is StepKind.SEGMENT:
        add_finish_if_last(cursor, ref.job_id)
    elif ref.kind is StepKind.CHUNK:
        add_conclude_if_last(cursor, ref.job_id)
    else:
        cursor.execute(
            "update jobs set state = %s, error = %s, finished_at = now() where id = %s and state in"
            " ('queued', 'running')",
            (str(JobState.FAILED), document, ref.job_id),
        )


def _segment(row: Any) -> Segment:
    return Segment(
        row["ordinal"],
        row["start_ms"],
        row["end_ms"],
        np.array(row["frame_indices"], np.int64),
        np.array(row["frame_times_ms"], np.int64),
    )


def _identity(ref: StepRef) -> tuple[str, str, int, int]:
    return (ref.job_id, str(ref.kind), ref.ordinal, ref.attempt)
