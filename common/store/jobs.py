"""Jobs as their callers see them: accepted, looked at, cancelled, tried again, erased."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2.errors
import psycopg2.extras

from common.contracts import FINAL_STATES, JobKind, JobState, Priority
from common.errors import ConflictError, NotFoundError, OverloadedError
from common.store.database import Cursor, Database
from common.store.paging import Page, Row, a_time, an_id, make_page, read_cursor
from common.store.steps import add_conclude_if_last, add_finish_if_last

CHANNEL = "facepipe_job"
"""Every change of a job notifies its id here."""

_RETRIED_STATES = frozenset({JobState.PARTIAL, JobState.FAILED})


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to accept.

    Attributes:
        options: `common.contracts.Options` as a document, plus the gallery's name.
        blob_key: where the media lies, or will lie once `media_url` is fetched.
        webhook_url: where the final document is posted.
        fingerprint: hash of the request; two requests with one idempotency key must have the same.
    """

    job_id: str
    priority: Priority
    gallery_id: str | None
    options: Mapping[str, Any]
    model_id: str
    blob_key: str
    media_url: str | None = None
    media_sha256: str | None = None
    webhook_url: str | None = None
    owner: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None


class Jobs:
    """See the module. Every method that takes a job's id raises NotFoundError for an unknown one.

    Args:
        max_open: jobs not yet final before `create` refuses.
        max_open_per_owner: the same for the jobs of one API key; jobs made without a key have no such limit.
    """

    def __init__(self, database: Database, *, max_open: int, max_open_per_owner: int | None = None) -> None:
        self._database = database
        self._max_open = max_open
        self._max_open_per_owner = max_open_per_owner

    def check_room(self, owner: str = "") -> None:
        """Raises OverloadedError when there are too many open jobs; ask before receiving a large upload."""
        with self._database.transaction() as cursor:
            self._check_room(cursor, owner)

    def create(self, job: NewJob) -> tuple[Row, bool]:
        """Accept a job and promise its first message, in one transaction.

        Several requests at once may exceed the limit of open jobs by one each.

        Returns:
            The job's row, and whether it is new; False: the idempotency key was used before for the same request.
        Raises:
            ConflictError: the idempotency key was used for another request.
            OverloadedError: too many open jobs, altogether or of this owner.
            NotFoundError: the gallery was deleted meanwhile.
        """
        with self._database.transaction() as cursor:
            earlier = _earlier(cursor, job)
            if earlier is not None:
                return earlier, False
            self._check_room(cursor, job.owner)
            try:
                row = _insert(cursor, job)
            except psycopg2.errors.ForeignKeyViolation as error:
                raise NotFoundError("The gallery was deleted meanwhile.", field="gallery") from error
            if row is not None:
                cursor.execute("insert into steps (job_id, kind, ordinal) values (%s, 'plan', 0)", (job.job_id,))
                return row, True
            earlier = _earlier(cursor, job)  # a twin of this request was faster
            if earlier is None:
                raise ConflictError("A request with this Idempotency-Key is under way; try again.")
            return earlier, False

    def get(self, job_id: str) -> Row:
        """One job."""
        with self._database.statement() as cursor:
            return _job(cursor, job_id)

    def list(self, *, state: JobState | None, kind: JobKind | None = None, cursor: str | None, limit: int) -> Page:
        """Jobs, newest first; all of them, or those in one state or of one kind."""
        after = read_cursor(cursor, [a_time, an_id]) if cursor else (None, None)
        with self._database.statement() as db:
            db.execute(
                "select * from jobs where (%(state)s::text is null or state = %(state)s)"
                " and (%(kind)s::text is null or kind = %(kind)s)"
                " and (%(id)s::uuid is null or (created_at, id) < (%(time)s::timestamptz, %(id)s::uuid))"
                " order by created_at desc, id desc limit %(limit)s",
                {"state": state and str(state), "kind": kind, "time": after[0], "id": after[1], "limit": limit + 1},
            )
            return make_page(db.fetchall(), limit, ["created_at", "id"])

    def cancel(self, job_id: str) -> Row:
        """Stop a job and its open steps; cancelling twice is harmless.

        Raises:
            ConflictError: the job has ended otherwise.
        """
        with self._database.transaction() as cursor:
            row = _job(cursor, job_id, lock=True)
            if row["state"] == JobState.CANCELLED:
                return row
            if row["state"] in FINAL_STATES:
                raise ConflictError(f"The job has ended already ({row['state']}); there is nothing to cancel.")
            cursor.execute(
                "update jobs set state = 'cancelled', finished_at = now() where id = %s returning *", (job_id,)
            )
            cancelled: Row = cursor.fetchone()
            cursor.execute(
                "update steps set state = 'cancelled', worker = null, lease_until = null"
                " where job_id = %s and state in ('pending', 'sent', 'running')",
                (job_id,),
            )
            return cancelled

    def retry(self, job_id: str, *, is_stored: Callable[[str], bool]) -> Row:
        """Run again what failed in a `partial` or `failed` job; segments and chunks that are done keep their results.

        Failed and quarantined steps are pending again with a clean record. Attempts count on, so that nothing an
        older attempt still tries has an effect.

        Args:
            is_stored: tells whether a blob is there.
        Raises:
            ConflictError: the job is in another state, or its media is gone.
            OverloadedError: too many open jobs.
        """
        with self._database.transaction() as cursor:
            row = _job(cursor, job_id, lock=True)
            if row["state"] not in _RETRIED_STATES:
                raise ConflictError(f"Only partial and failed jobs can be tried again; this one is {row['state']}.")
            self._check_room(cursor, row["owner"])
            cursor.execute(
                "update steps set state = 'pending', deaths = 0, failures = 0, error = null, not_before = '-infinity'"
                " where job_id = %s and kind in ('plan', 'segment', 'survey', 'chunk')"
                " and state in ('failed', 'quarantined')"
                " returning kind",
                (job_id,),
            )
            kinds = {step["kind"] for step in cursor.fetchall()}
            is_media = row["kind"] == "media"
            is_fetched_again = "plan" in kinds and row["media_url"] is not None
            if is_media and kinds and not is_fetched_again and not is_stored(row["blob_key"]):
                raise ConflictError("The media of this job is gone; submit it as a new job.")
            cursor.execute(
                "update jobs set state = %s, error = null, finished_at = null where id = %s returning *",
                (str(JobState.QUEUED if kinds & {"plan", "survey"} else JobState.RUNNING), job_id),
            )
            reopened: Row = cursor.fetchone()
            if is_media:
                add_finish_if_last(cursor, job_id)
            else:
                add_conclude_if_last(cursor, job_id)
            return reopened

    def delete(self, job_id: str) -> None:
        """Erase a job with all its results, also while it runs; its blobs are the caller's to delete."""
        with self._database.transaction() as cursor:
            _job(cursor, job_id, lock=True)
            cursor.execute("delete from jobs where id = %s", (job_id,))
            cursor.execute("select pg_notify(%s, %s)", (CHANNEL, job_id))

    def _check_room(self, cursor: Cursor, owner: str) -> None:
        cursor.execute(
            "select count(*) as open, count(*) filter (where owner = %s) as mine"
            " from (select owner from jobs where state in ('queued', 'running') limit %s) o",
            (owner, self._max_open),
        )
        row = cursor.fetchone()
        if row["open"] >= self._max_open:
            raise OverloadedError(
                f"{self._max_open} jobs are waiting or running already; try again later.", retry_after_s=30
            )
        if owner and self._max_open_per_owner is not None and row["mine"] >= self._max_open_per_owner:
            raise OverloadedError(
                f"This API key has {row['mine']} jobs waiting or running, and may have {self._max_open_per_owner}"
                " (max_open_jobs_per_key); try again when one has ended.",
                retry_after_s=30,
            )


def _job(cursor: Cursor, job_id: str, *, lock: bool = False) -> Row:
    query = "select * from jobs where id = %s for update" if lock else "select * from jobs where id = %s"
    cursor.execute(query, (job_id,))
    row: Row | None = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return row


def _insert(cursor: Cursor, job: NewJob) -> Row | None:
    cursor.execute(
        "insert into jobs (id, priority, gallery_id, options, model_id, blob_key, media_url, media_sha256,"
        " webhook_url, owner, idempotency_key, fingerprint) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " on conflict (owner, idempotency_key) do nothing returning *",
        (
            job.job_id,
            int(job.priority),
            job.gallery_id,
            psycopg2.extras.Json(dict(job.options)),
            job.model_id,
            job.blob_key,
            job.media_url,
            job.media_sha256,
            job.webhook_url,
            job.owner,
            job.idempotency_key,
            job.fingerprint,
        ),
    )
    row: Row | None = cursor.fetchone()
    return row


def _earlier(cursor: Cursor, job: NewJob) -> Row | None:
    """The job that the same request made before, if one did."""
    if job.idempotency_key is None:
        return None
    cursor.execute("select * from jobs where owner = %s and idempotency_key = %s", (job.owner, job.idempotency_key))
    row: Row | None = cursor.fetchone()
    if row is not None and row["fingerprint"] != job.fingerprint:
        raise ConflictError(
            "This Idempotency-Key was used before with another file or other options; use a new key.",
            "idempotency_mismatch",
            "Idempotency-Key",
        )
    return row
