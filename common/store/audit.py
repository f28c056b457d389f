"""The audit: who enrolled, searched, exported, erased whom, and when. Rows are added, never changed or removed.

A call that is audited runs inside `auditing`. A store method with an effect calls `record` in its own transaction, so
that there is no effect without its line and no line without its effect; a call without an effect has its line written
before the answer is given.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg2.extras

from common.store.database import Cursor, Database
from common.store.paging import Page, a_number, make_page, read_cursor

#: Subjects that one line names at most; `counts` says how many there were.
MAX_SUBJECTS: Final = 1000


@dataclass(slots=True)
class Entry:
    """Who asks for what.

    Attributes:
        action: such as `search`.
        key_id: id of the API key, empty where none is needed.
        request_id: as in the log.
        gallery: name of the gallery, if the call names one.
        subject_id: the subject that the call names, if it does.
        is_recorded: whether a line was written.
    """

    action: str
    key_id: str
    request_id: str
    gallery: str | None = None
    subject_id: str | None = None
    is_recorded: bool = False


_current: ContextVar[Entry | None] = ContextVar("facepipe_audit", default=None)


@contextmanager
def auditing(entry: Entry) -> Iterator[None]:
    """Inside the `with`, what this thread records is by `entry`."""
    token = _current.set(entry)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Entry | None:
    """The entry of the call under way, if it is audited."""
    return _current.get()


def record(
    cursor: Cursor,
    *,
    gallery: str | None = None,
    subject_ids: Iterable[str] = (),
    counts: Mapping[str, int] | None = None,
    job_id: str | None = None,
    receipt: Mapping[str, Any] | None = None,
) -> None:
    """Write a line for the call under way in the transaction of `cursor`; nothing when it is not audited.

    Args:
        gallery: its name; default: the one that the call names.
        subject_ids: of those concerned; default: the one that the call names.
        counts: what was done, in numbers.
        job_id: the job that the call made or changed.
        receipt: of an erasure.
    """
    entry = _current.get()
    if entry is None:
        return
    ids = list(dict.fromkeys(subject_ids)) or ([entry.subject_id] if entry.subject_id else [])
    told = dict(counts or {})
    if len(ids) > MAX_SUBJECTS:
        told["subjects"] = len(ids)
    cursor.execute(
        "insert into audit (action, key_id, request_id, gallery, subject_ids, job_id, counts, receipt)"
        " values (%s, %s, %s, %s, %s::uuid[], %s, %s, %s)",
        (
            entry.action,
            entry.key_id,
            entry.request_id,
            gallery or entry.gallery,
            ids[:MAX_SUBJECTS],
            job_id,
            psycopg2.extras.Json(told),
            None if receipt is None else psycopg2.extras.Json(dict(receipt)),
        ),
    )
    entry.is_recorded = True


class Audit:
    """Reading the audit, and lines of calls that have no effect of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, *, subject_ids: Iterable[str] = (), counts: Mapping[str, int] | None = None, job_id: str | None = None
    ) -> None:
        """`record` in a transaction of its own. Raises TransientError, and then the call must not be answered."""
        with self._database.transaction() as cursor:
            record(cursor, subject_ids=subject_ids, counts=counts, job_id=job_id)

    def list(
        self,
        *,
        action: str | None = None,
        gallery: str | None = None,
        subject_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None,
        limit: int,
    ) -> Page:
        """Lines, newest first.

        Args:
            action, gallery, subject_id: only lines of these.
            since, until: only lines of this time, `until` exclusive.
        """
        before = read_cursor(cursor, [a_number])[0] if cursor else None
        wanted = {
            "id < %(before)s": before,
            "action = %(action)s": action,
            "gallery = %(gallery)s": gallery,
            "subject_ids @> array[%(subject)s]::uuid[]": subject_id,
            "at >= %(since)s": since,
            "at < %(until)s": until,
        }
        where = " and ".join(["true", *(condition for condition, value in wanted.items() if value is not None)])
        with self._database.statement() as db:
            db.execute(
                f"select * from audit where {where} order by id desc limit %(limit)s",  # noqa: S608 - from the table above
                {
                    "before": before,
                    "action": action,
                    "gallery": gallery,
                    "subject": subject_id,
                    "since": since,
                    "until": until,
                    "limit": limit + 1,
                },
            )
            return make_page(db.fetchall(), limit, ["id"])
