"""Deciding anew who the tracks of finished jobs are: what is read for it, and how the new answers replace the old."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2.extras

from common.contracts import Options, Priority
from common.errors import NotFoundError, TransientError
from common.records import Appearance, Attributes, Track
from common.store.bulk import Work, create_bulk_job
from common.store.database import Cursor, Database, read_vector
from common.store.paging import Row
from common.store.people import ChoosePerson, assign_people, lock_people
from common.store.recording import insert_appearances, read_options
from common.types import Candidate

_FINISHED = "j.kind = 'media' and j.state in ('succeeded', 'partial')"


@dataclass(frozen=True, slots=True, eq=False)
class DecidedJob:
    """A finished job with its tracks as they were decided.

    Attributes:
        revision: of its row; a write for another one is refused.
        model_id: embedding model that it was decided with.
        options: as it was accepted.
        asked_min_similarity: what its caller asked for; None: the default of that time.
        tracks: in order of their numbers; those without an embedding of the model asked for are missing.
        track_count: how many there are with and without.
    """

    job_id: str
    revision: int
    model_id: str
    options: Options
    asked_min_similarity: float | None
    tracks: tuple[Track, ...]
    track_count: int


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """New answers for a job."""

    job: DecidedJob
    tracks: Sequence[Track]
    appearances: Sequence[Appearance]


class Rematch:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        gallery: Row,
        *,
        options: Work,
        owner: str = "",
        webhook_url: str | None = None,
        priority: Priority = Priority.LOW,
    ) -> Row:
        """Accept a re-match against a gallery.

        Args:
            gallery: its row.
            options: of the job, see `workers.match.rematch`.

        Returns:
            The job's row.
        Raises:
            NotFoundError: a job that is named is not there, or is no finished media job.
        """
        job_ids = set(options.get("job_ids") or ())
        known = {job_id for job_id, _ in self.jobs_to_decide(None, job_ids=job_ids)} if job_ids else set()
        if missing := sorted(job_ids - known):
            raise NotFoundError(
                f"There is no finished media job {missing[0]}; a job can be matched again once it has succeeded or is"
                " partial.",
                field="jobs",
            )
        with self._database.transaction() as cursor:
            return create_bulk_job(
                cursor,
                kind="rematch",
                model_id=gallery["model_id"],
                options={**options, "gallery": gallery["name"]},
                gallery_id=str(gallery["id"]),
                owner=owner,
                webhook_url=webhook_url,
                priority=priority,
            )

    def gallery(self, gallery_id: str | None) -> Row:
        """Row of the gallery that is matched against. Raises NotFoundError when it was deleted."""
        with self._database.statement() as cursor:
            cursor.execute("select * from galleries where id = %s", (gallery_id,))
            row: Row | None = cursor.fetchone()
        if row is None:
            raise NotFoundError("The gallery was deleted; there is nobody to match against.")
        return row

    def jobs_to_decide(
        self,
        gallery_id: str | None,
        *,
        job_ids: Collection[str] = (),
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> list[tuple[str, int]]:
        """Finished media jobs with how many tracks each has, oldest first.

        Args:
            gallery_id: jobs of this gallery.
            job_ids: these jobs instead, whatever gallery they have.
            since, until: only jobs made at or after, and before.
        """
        with self._database.statement() as cursor:
            cursor.execute(
                f"select j.id, (select count(*) from tracks t where t.job_id = j.id) as tracks from jobs j"  # noqa: S608
                f" where {_FINISHED} and (case when %(named)s then j.id = any(%(jobs)s::uuid[])"
                "  else j.gallery_id = %(gallery)s end)"
                " and (%(since)s::timestamptz is null or j.created_at >= %(since)s)"
                " and (%(until)s::timestamptz is null or j.created_at < %(until)s)"
                " order by j.created_at, j.id",
                {
                    "named": bool(job_ids),
                    "jobs": list(job_ids),
                    "gallery": gallery_id,
                    "since": since,
                    "until": until,
                },
            )
            return [(str(row["id"]), row["tracks"]) for row in cursor.fetchall()]

    def read(self, job_ids: Collection[str], model_id: str) -> list[DecidedJob]:
        """Those of the jobs that are still there and finished, in order of their ids."""
        found = []
        with self._database.transaction() as cursor:
            cursor.execute(
                f"select j.id, j.revision, j.model_id, j.options from jobs j where {_FINISHED}"  # noqa: S608 - ours
                " and j.id = any(%s::uuid[]) order by j.id",
                (list(job_ids),),
            )
            for row in cursor.fetchall():
                cursor.execute(
                    "select t.*, e.embedding::text as embedding from tracks t left join track_embeddings e"
                    " on e.job_id = t.job_id and e.track = t.track and e.model_id = %s"
                    " where t.job_id = %s order by t.track",
                    (model_id, row["id"]),
                )
                tracks = cursor.fetchall()
                found.append(
                    DecidedJob(
                        job_id=str(row["id"]),
                        revision=row["revision"],
                        model_id=row["model_id"],
                        options=read_options(row["options"]),
                        asked_min_similarity=row["options"].get("asked_min_similarity"),
                        tracks=tuple(_track(track) for track in tracks if track["embedding"] is not None),
                        track_count=len(tracks),
                    )
                )
        return found


def replace_decisions(
    cursor: Cursor,
    decided: Decisions,
    *,
    gallery: Row,
    model_id: str,
    min_similarity: float,
    report: Mapping[str, Any] | None,
    choose_person: ChoosePerson,
) -> None:
    """Give a job its new answers, in the caller's transaction; of several jobs in order of their ids.

    Args:
        gallery: row of the gallery that was matched against; the job belongs to it from now on.
        min_similarity: the bound that was used.
        report: what changed, for the job's document and its webhook, which is promised once more; None: nothing.

    Raises:
        TransientError: the job was changed since it was read; read it again.
    """
    job_id = decided.job.job_id
    cursor.execute("select revision from jobs where id = %s for update", (job_id,))
    row = cursor.fetchone()
    if row is None:
        return  # erased meanwhile
    if row["revision"] != decided.job.revision:
        raise TransientError(f"Job {job_id} changed while it was matched again.")
    options = {"gallery": gallery["name"], "gallery_id": str(gallery["id"]), "min_similarity": min_similarity}
    cursor.execute(
        "update jobs set gallery_id = %s, model_id = %s, options = options || %s, report = coalesce(%s, report)"
        " where id = %s",
        (
            gallery["id"],
            model_id,
            psycopg2.extras.Json(options),
            None if report is None else psycopg2.extras.Json(dict(report)),
            job_id,
        ),
    )
    lock_people(cursor, model_id)
    psycopg2.extras.execute_values(
        cursor,
        "update tracks t set subject_id = (select id from subjects where id = new.subject_id), stranger = new.stranger,"
        " similarity = new.similarity, candidates = new.candidates"
        " from (values %s) as new (job_id, track, subject_id, stranger, similarity, candidates)"
        " where t.job_id = new.job_id and t.track = new.track",
        [
            (
                job_id,
                track.track,
                track.subject_id,
                track.stranger,
                track.similarity,
                psycopg2.extras.Json(
                    [{"subject_id": one.subject_id, "similarity": one.similarity} for one in track.candidates]
                ),
            )
            for track in decided.tracks
        ],
        template="(%s::uuid, %s, %s::uuid, %s::int, %s::real, %s::jsonb)",
        page_size=1000,
    )
    cursor.execute("delete from appearances where job_id = %s", (job_id,))
    insert_appearances(cursor, job_id, decided.appearances)
    assign_people(cursor, job_id, model_id, choose_person)
    if report is not None:
        cursor.execute(
            "insert into webhooks (job_id, url, job) select id, webhook_url, to_jsonb(jobs) from jobs"
            " where id = %s and webhook_url is not null returning pg_notify('facepipe_webhooks', '')",
            (job_id,),
        )


def _track(row: Any) -> Track:
    return Track(
        track=row["track"],
        start_ms=row["start_ms"],
        end_ms=row["end_ms"],
        detections=row["detections"],
        quality=row["quality"],
        members=(),
        embedding=read_vector(row["embedding"]),
        subject_id=None if row["subject_id"] is None else str(row["subject_id"]),
        stranger=row["stranger"],
        similarity=row["similarity"],
        candidates=tuple(Candidate(one["subject_id"], one["similarity"]) for one in row["candidates"]),
        crops=row["crops"],
        attributes=None if row["age"] is None else Attributes(row["age"], row["female_score"]),
    )
