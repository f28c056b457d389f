"""Results of jobs: detections, tracks and appearances."""

from collections.abc import Iterator
from typing import Final

from common.errors import NotFoundError
from common.store.database import Cursor, Database
from common.store.paging import Page, Row, a_number, a_time, an_id, make_page, read_cursor

_NAME: Final = "coalesce(s.name, 'unknown ' || a.stranger, 'unknown') as name"
_PAGE: Final = 1000


class Results:
    """See the module. Tracks exist once a job has finished; until then its detections belong to none.

    Whoever was erased after a job leaves `subject_id` null and the name "unknown"; strangers are "unknown 1", and so
    on, within their job. Every method that takes a job's id raises NotFoundError for an unknown one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def detections(self, job_id: str, *, cursor: str | None, limit: int) -> Page:
        """Faces in the order of media time, frame and score.

        Frames are numbered in the order of their media time, so (frame_index, face), which the primary key has,
        is that order.
        """
        after = read_cursor(cursor, [a_number, a_number]) if cursor else (-1, -1)
        with self._database.transaction() as db:
            _check_job(db, job_id)
            db.execute(
                "select d.frame_index, d.face, d.media_time_ms, d.box, d.landmarks, d.det_score, t.track as track_id,"
                " k.subject_id, k.candidates from detections d"
                " left join tracklets t using (job_id, ordinal, tracklet)"
                " left join tracks k on k.job_id = d.job_id and k.track = t.track"
                " where d.job_id = %s and (d.frame_index, d.face) > (%s, %s)"
                " order by d.frame_index, d.face limit %s",
                (job_id, *after, limit + 1),
            )
            return make_page(db.fetchall(), limit, ["frame_index", "face"])

    def all_detections(self, job_id: str, *, cursor: str | None) -> Iterator[Row]:
        """The same without end of page, a thousand rows in memory at a time and no connection held between."""
        page = self.detections(job_id, cursor=cursor, limit=_PAGE)
        while True:
            yield from page.items
            if page.next_cursor is None:
                return
            page = self.detections(job_id, cursor=page.next_cursor, limit=_PAGE)

    def tracks(self, job_id: str, *, cursor: str | None, limit: int) -> Page:
        """Tracks in the order of their numbers."""
        after = read_cursor(cursor, [a_number])[0] if cursor else -1
        with self._database.transaction() as db:
            _check_job(db, job_id)
            db.execute(
                f"select a.track, a.start_ms, a.end_ms, a.detections, a.quality, a.subject_id, {_NAME}, a.similarity,"  # noqa: S608 - a constant
                " a.person_id, a.candidates, a.crops, a.age, a.female_score"
                " from tracks a left join subjects s on s.id = a.subject_id"
                " where a.job_id = %s and a.track > %s order by a.track limit %s",
                (job_id, after, limit + 1),
            )
            return make_page(db.fetchall(), limit, ["track"])

    def appearances(self, job_id: str) -> list[Row]:
        """Who appears when: by start, then by name."""
        with self._database.transaction() as cursor:
            _check_job(cursor, job_id)
            cursor.execute(
                f"select a.*, {_NAME}, k.person_id from appearances a"  # noqa: S608 - a constant
                " left join subjects s on s.id = a.subject_id"
                " left join tracks k on k.job_id = a.job_id and k.track = a.best_track"
                " where a.job_id = %s order by a.start_ms, name, a.appearance",
                (job_id,),
            )
            return list(cursor.fetchall())

    def appearances_of(self, subject_id: str, *, cursor: str | None, limit: int) -> Page:
        """Where a subject appears over all jobs, newest job first, and within a job the latest first.

        Nothing for an unknown subject.
        """
        after = read_cursor(cursor, [a_time, an_id, a_number]) if cursor else (None, None, None)
        with self._database.statement() as db:
            db.execute(
                f"select a.*, {_NAME}, j.created_at, null as person_id from appearances a"  # noqa: S608 - a constant
                " join jobs j on j.id = a.job_id"
                " join subjects s on s.id = a.subject_id where a.subject_id = %(subject)s and (%(job)s::uuid is null"
                " or (j.created_at, a.job_id, a.appearance) < (%(time)s::timestamptz, %(job)s::uuid, %(nr)s))"
                " order by j.created_at desc, a.job_id desc, a.appearance desc limit %(limit)s",
                {"subject": subject_id, "time": after[0], "job": after[1], "nr": after[2], "limit": limit + 1},
            )
            return make_page(db.fetchall(), limit, ["created_at", "job_id", "appearance"])


def _check_job(cursor: Cursor, job_id: str) -> None:
    cursor.execute("select 1 from jobs where id = %s", (job_id,))
    if cursor.fetchone() is None:
        raise NotFoundError(f"There is no job {job_id}.")
