"""Bulk jobs: work over what is stored, in chunks, with the leases and retries of every other job.

A bulk job is one `survey` step, n `chunk` steps and one `conclude` step. What a step changes is written in the
transaction that settles it, so a step that runs twice has its effect once.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg2.extras

from common.contracts import CHUNK_STAGES, JobKind, JobState, Priority, StepRef, StepState
from common.errors import CancelledError
from common.store.database import Cursor, Database
from common.store.paging import Row
from common.store.steps import add_conclude_if_last, settle, superseded

Work = Mapping[str, Any]
"""A JSON object."""

Effect = Callable[[Cursor], Work]
"""What a chunk changes, in the transaction that settles it; gives the chunk's result, for the conclusion."""

_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class BulkJob:
    """What the steps of a bulk job need to know of it.

    Attributes:
        options: as given to `create_bulk_job`.
        gallery_id: None when the gallery was deleted, or when the job has none.
        model_id: embedding model that the job is about.
        report: what was reported so far; None before the first conclusion.
    """

    job_id: str
    kind: JobKind
    options: Work
    gallery_id: str | None
    model_id: str
    report: Work | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a bulk job, small enough for a second or so of work.

    Attributes:
        items: how many things it covers, for the progress.
        work: which ones.
    """

    items: int
    work: Work


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What became of a chunk: its result, or the error that made it fail for good."""

    ordinal: int
    work: Work
    result: Work | None
    error: dict[str, Any] | None


def create_bulk_job(
    cursor: Cursor,
    *,
    kind: JobKind,
    model_id: str,
    options: Work,
    gallery_id: str | None = None,
    owner: str = "",
    webhook_url: str | None = None,
    priority: Priority = Priority.LOW,
) -> Row:
    """Accept a bulk job in the caller's transaction, so that it comes with whatever makes it necessary.

    Args:
        options: JSON object; "gallery" is the gallery's name, the rest is for the steps of this kind.

    Returns:
        The job's row.
    """
    cursor.execute(
        "insert into jobs (id, kind, priority, gallery_id, options, model_id, blob_key, owner, webhook_url)"
        " values (%s, %s, %s, %s, %s, %s, '', %s, %s) returning *",
        (
            str(uuid.uuid4()),
            kind,
            int(priority),
            gallery_id,
            psycopg2.extras.Json({"gallery": None, **options}),
            model_id,
            owner,
            webhook_url,
        ),
    )
    row: Row = cursor.fetchone()
    cursor.execute("insert into steps (job_id, kind, ordinal, stage) values (%s, 'survey', 0, 'match')", (row["id"],))
    return row


class Bulk:
    """The steps of bulk jobs, for the pools that work on them.

    Every method that takes a step raises CancelledError when it is no longer ours; nothing is stored then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, ref: StepRef) -> BulkJob:
        """The job of a step."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select kind, options, gallery_id, model_id, report from jobs where id = %s and kind <> 'media'",
                (ref.job_id,),
            )
            row = cursor.fetchone()
        if row is None:
            raise superseded(ref)
        gallery_id = None if row["gallery_id"] is None else str(row["gallery_id"])
        return BulkJob(ref.job_id, row["kind"], row["options"], gallery_id, row["model_id"], row["report"])

    def work(self, ref: StepRef) -> Work:
        """What a chunk is to do."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select work from steps where job_id = %s and kind = %s and ordinal = %s and attempt = %s",
                (ref.job_id, str(ref.kind), ref.ordinal, ref.attempt),
            )
            row = cursor.fetchone()
        if row is None:
            raise superseded(ref)
        work: Work = row["work"]
        return work

    def surveyed(self, ref: StepRef, kind: JobKind, chunks: Sequence[Chunk]) -> None:
        """Store the chunks and settle the survey; without any chunk the conclusion is next."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs set state = 'running', started_at = coalesce(started_at, now()), frames_total = %s"
                " where id = %s and state in ('queued', 'running')",
                (sum(chunk.items for chunk in chunks), ref.job_id),
            )
            settle(cursor, ref, StepState.DONE)
            _insert_chunks(cursor, ref.job_id, kind, chunks)
            add_conclude_if_last(cursor, ref.job_id)

    def chunk_done(self, ref: StepRef, effect: Effect) -> None:
        """Apply a chunk's effect, count its progress and settle it, in one transaction."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs j set frames_done = frames_done + s.items from steps s"
                " where j.id = %s and j.state = 'running' and s.job_id = j.id and s.kind = %s and s.ordinal = %s",
                (ref.job_id, str(ref.kind), ref.ordinal),
            )
            if cursor.rowcount == 0:
                raise superseded(ref)
            settle(cursor, ref, StepState.DONE)
            result = effect(cursor)
            cursor.execute(
                "update steps set result = %s where job_id = %s and kind = %s and ordinal = %s",
                (psycopg2.extras.Json(dict(result)), ref.job_id, str(ref.kind), ref.ordinal),
            )
            add_conclude_if_last(cursor, ref.job_id)

    def extended(self, ref: StepRef, kind: JobKind, chunks: Sequence[Chunk], report: Work | None = None) -> None:
        """The conclusion found more to do: add chunks, and conclude again after them.

        Args:
            report: kept for the next conclusion.
        """
        if not chunks:
            raise ValueError("more chunks were announced and none given")
        with self._database.transaction() as cursor:
            cursor.execute(
                "update jobs set frames_total = coalesce(frames_total, 0) + %s, report = coalesce(%s, report)"
                " where id = %s and state = 'running'",
                (
                    sum(chunk.items for chunk in chunks),
                    None if report is None else psycopg2.extras.Json(dict(report)),
                    ref.job_id,
                ),
            )
            if cursor.rowcount == 0:
                raise superseded(ref)
            settle(cursor, ref, StepState.DONE)
            _insert_chunks(cursor, ref.job_id, kind, chunks)

    def concluded(
        self,
        ref: StepRef,
        *,
        state: JobState,
        report: Work,
        error: Mapping[str, Any] | None,
        write: Callable[[Cursor], None] | None = None,
    ) -> None:
        """Store the report and give the job its final state, in one transaction.

        Args:
            write: what else is changed in it.
        """
        with self._database.transaction() as cursor:
            cursor.execute("select state from jobs where id = %s for update", (ref.job_id,))
            row = cursor.fetchone()
            if row is None or row["state"] != JobState.RUNNING:
                raise CancelledError(f"Job {ref.job_id} is no longer running.")
            settle(cursor, ref, StepState.DONE)
            if write is not None:
                write(cursor)
            cursor.execute(
                "update jobs set state = %s, report = %s, error = %s, finished_at = now() where id = %s",
                (
                    str(state),
                    psycopg2.extras.Json(dict(report)),
                    None if error is None else psycopg2.extras.Json(dict(error)),
                    ref.job_id,
                ),
            )

    def chunks(self, job_id: str) -> Iterator[ChunkReport]:
        """Every chunk with what became of it, in order; a few hundred in memory at a time."""
        after = -1
        while True:
            with self._database.statement() as cursor:
                cursor.execute(
                    "select ordinal, work, result, error from steps where job_id = %s and kind = 'chunk'"
                    " and ordinal > %s order by ordinal limit %s",
                    (job_id, after, _PAGE),
                )
                rows = cursor.fetchall()
            for row in rows:
                yield ChunkReport(row["ordinal"], row["work"], row["result"], row["error"])
            if len(rows) < _PAGE:
                return
            after = rows[-1]["ordinal"]


def _insert_chunks(cursor: Cursor, job_id: str, kind: JobKind, chunks: Sequence[Chunk]) -> None:
    cursor.execute(
        "select coalesce(max(ordinal) + 1, 0) as first from steps where job_id = %s and kind = 'chunk'", (job_id,)
    )
    first = cursor.fetchone()["first"]
    psycopg2.extras.execute_values(
        cursor,
        "insert into steps (job_id, kind, ordinal, stage, items, work) values %s",
        [
            (job_id, "chunk", ordinal, CHUNK_STAGES[kind], chunk.items, psycopg2.extras.Json(dict(chunk.work)))
            for ordinal, chunk in enumerate(chunks, start=first)
        ],
    )
