"""Unknown people: strangers of different jobs who look like one person, to be named later.

A person is made when a job finishes and lives as long as a track belongs to it. Tracks that leave (their job is erased,
or decided anew) are taken off by triggers; tracks that join are counted here. Whoever changes people holds the lock of
their model, taken after any row of `jobs`.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from common.errors import BadInputError, ConflictError, NotFoundError
from common.records import ClosestPerson
from common.store.database import Cursor, Database
from common.store.footage import RUNS
from common.store.paging import Page, Row, a_number, a_time, an_id, make_page, read_cursor

Order = Literal["most_seen", "last_seen"]

_PERSON: Final = (
    "select p.id, p.number, p.model_id, p.subject_id, p.tracks, p.jobs, p.first_seen_at, p.last_seen_at,"
    " coalesce(s.name, 'unknown ' || p.number) as name, g.name as gallery, best.job_id, best.track"
    " from people p left join subjects s on s.id = p.subject_id left join galleries g on g.id = s.gallery_id"
    " cross join lateral (select t.job_id, t.track from tracks t where t.person_id = p.id"
    " order by t.quality desc, t.job_id, t.track limit 1) best"
)


ChoosePerson = Callable[[ClosestPerson], str | None]
"""Says who a stranger is; None: somebody new."""


@dataclass(frozen=True, slots=True)
class PersonTrack:
    """A track from which a person can be enrolled.

    Attributes:
        crop_key: its best aligned crop in the blob store.
        det_score: the best of its detections.
        embedding: (dim,) fused, unit length.
    """

    job_id: str
    track: int
    quality: float
    det_score: float
    crop_key: str
    embedding: Sequence[float]


def lock_people(cursor: Cursor, model_id: str) -> None:
    """Keep everybody else from changing the people of a model until the transaction ends.

    Take it after the rows of `jobs` that the transaction needs, and before any of `tracks`.
    """
    cursor.execute("select lock_people(array[%s])", (model_id,))


def assign_people(cursor: Cursor, job_id: str, model_id: str, choose: ChoosePerson) -> None:
    """Give every stranger of a job to the person that it is, or to a new one; in the caller's transaction.

    A stranger is taken as a whole: what is compared is the mean of its tracks, weighted by their quality. Strangers of
    one job are only compared with people who were known before; they were found to differ from each other already.
    Tracks that belong to a person keep it, so that doing it twice changes nothing.

    Args:
        model_id: of the embeddings that are compared.
    """
    lock_people(cursor, model_id)
    cursor.execute(
        "with strangers as ("
        " select t.stranger, min(t.track) as first, array_agg(t.track) as tracks,"
        "  l2_normalize(sum(weighted_embedding(t.quality, e.embedding)))::halfvec as embedding"
        " from tracks t join track_embeddings e on e.job_id = t.job_id and e.track = t.track and e.model_id = %(model)s"
        " where t.job_id = %(job)s and t.subject_id is null and t.stranger is not null and t.person_id is null"
        " group by t.stranger)"
        " select s.tracks, c.* from strangers s left join lateral ("
        "  select one.id, one.similarity, lead(one.similarity) over by_rank as next_similarity,"
        "   1 - (one.embedding <=> lead(one.embedding) over by_rank) as alike, row_number() over by_rank as rank"
        "  from (select p.id, p.embedding, 1 - (p.embedding <=> s.embedding) as similarity from people p"
        "   where p.model_id = %(model)s order by p.embedding <=> s.embedding, p.number limit 2) one"
        "  window by_rank as (order by one.similarity desc, one.id)) c on c.rank = 1"
        " order by s.first",
        {"job": job_id, "model": model_id},
    )
    for row in cursor.fetchall():
        person_id = None
        if row["id"] is not None:
            closest = ClosestPerson(str(row["id"]), row["similarity"], row["next_similarity"], row["alike"])
            person_id = choose(closest)
        _join(cursor, job_id, row["tracks"], model_id, person_id)


class People:
    """The unknown people, for those who look at them.

    Every method that takes a person's id raises NotFoundError for somebody who is not, or no longer, there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, order: Order, min_jobs: int, cursor: str | None, limit: int) -> Page:
        """People: those seen in most jobs first, or those seen last first.

        Args:
            min_jobs: only people seen in so many jobs.
        """
        wanted = {"jobs": min_jobs, "limit": limit + 1}
        if order == "last_seen":
            after = read_cursor(cursor, [a_time, an_id]) if cursor else (None, None)
            keys = ["last_seen_at", "id"]
            where = "(p.last_seen_at, p.id) < (%(time)s::timestamptz, %(id)s::uuid)"
            wanted |= {"time": after[0], "id": after[1]}
        else:
            after = read_cursor(cursor, [a_number, a_number, an_id]) if cursor else (None, None, None)
            keys = ["jobs", "tracks", "id"]
            where = "(p.jobs, p.tracks, p.id) < (%(seen)s, %(tracks)s, %(id)s::uuid)"
            wanted |= {"seen": after[0], "tracks": after[1], "id": after[2]}
        with self._database.statement() as db:
            db.execute(
                f"{_PERSON} where p.jobs >= %(jobs)s and (%(id)s::uuid is null or {where})"
                f" order by {', '.join(f'p.{key} desc' for key in keys)} limit %(limit)s",
                wanted,
            )
            return make_page(db.fetchall(), limit, keys)

    def get(self, person_id: str) -> Row:
        """One person."""
        with self._database.transaction() as cursor:
            return _person(cursor, person_id)

    def appearances(self, person_id: str, *, max_gap_ms: int, cursor: str | None, limit: int) -> Page:
        """Where a person appears over all jobs, newest job first, and within a job the latest first.

        Args:
            max_gap_ms: an absence up to this long does not end an appearance.
        """
        after = read_cursor(cursor, [a_time, an_id, a_number]) if cursor else (None, None, None)
        with self._database.transaction() as db:
            _person(db, person_id)
            db.execute(
                "with hits as materialized (select t.job_id, t.track, 1 - (e.embedding <=> p.embedding) as similarity"  # noqa: S608 - constants
                " from tracks t join people p on p.id = t.person_id left join track_embeddings e"
                "  on e.job_id = t.job_id and e.track = t.track and e.model_id = p.model_id"
                f" where p.id = %(person)s), {RUNS}"
                " select * from runs where (%(job)s::uuid is null"
                "  or (created_at, job_id, first_track) < (%(time)s::timestamptz, %(job)s::uuid, %(nr)s))"
                " order by created_at desc, job_id desc, first_track desc limit %(limit)s",
                {
                    "person": person_id,
                    "max_gap_ms": max_gap_ms,
                    "time": after[0],
                    "job": after[1],
                    "nr": after[2],
                    "limit": limit + 1,
                },
            )
            return make_page(db.fetchall(), limit, ["created_at", "job_id", "first_track"])

    def best_tracks(self, person_id: str, *, limit: int) -> Sequence[PersonTrack]:
        """The tracks that show a person best, from as many jobs as there are; those without a crop are left out."""
        with self._database.transaction() as cursor:
            _person(cursor, person_id)
            cursor.execute(
                "select ranked.job_id, ranked.track, ranked.quality, e.embedding::real[] as embedding,"
                " coalesce((select max(d.det_score) from tracklets k"
                "  join detections d using (job_id, ordinal, tracklet)"
                "  where k.job_id = ranked.job_id and k.track = ranked.track), 0) as det_score"
                " from (select t.job_id, t.track, t.quality, p.model_id,"
                "  row_number() over (partition by t.job_id order by t.quality desc, t.track) as place"
                "  from tracks t join people p on p.id = t.person_id where p.id = %s and t.crops > 0) ranked"
                " join track_embeddings e on e.job_id = ranked.job_id and e.track = ranked.track"
                "  and e.model_id = ranked.model_id"
                " order by place, quality desc, ranked.job_id limit %s",
                (person_id, limit),
            )
            return [
                PersonTrack(
                    str(row["job_id"]),
                    row["track"],
                    row["quality"],
                    row["det_score"],
                    f"jobs/{row['job_id']}/tracks/{row['track']}.0.jpg",
                    row["embedding"],
                )
                for row in cursor.fetchall()
            ]

    def merge(self, person_id: str, into: str) -> Row:
        """Give all tracks of one person to another, who is the same; returns the latter.

        Raises:
            BadInputError: they are one already.
            ConflictError: of two models, or both are named, and differently.
        """
        if person_id == into:
            raise BadInputError("A person cannot be merged into itself.", field="into")
        with self._database.transaction() as cursor:
            _lock_with_jobs(cursor, [person_id])
            gone, kept = _person(cursor, person_id), _person(cursor, into, "into")
            if gone["model_id"] != kept["model_id"]:
                raise ConflictError(
                    "The two were seen with different models, whose embeddings are never compared.",
                    "model_mismatch",
                    "into",
                )
            if gone["subject_id"] and kept["subject_id"] and gone["subject_id"] != kept["subject_id"]:
                raise ConflictError(
                    f"One is named {gone['name']!r}, the other {kept['name']!r}; erase the wrong subject first.",
                    field="into",
                )
            cursor.execute("update tracks set person_id = %s where person_id = %s", (into, person_id))
            cursor.execute(
                "update people set subject_id = coalesce(subject_id, %s) where id = %s", (gone["subject_id"], into)
            )
            cursor.execute("select recount_people(array[%s::uuid])", (into,))
            return _person(cursor, into)

    def split(self, person_id: str, job_id: str, track: int) -> Row:
        """Take a track that shows somebody else out of a person; it becomes a new person, which is returned.

        Raises:
            NotFoundError: the track is none of this person's.
            ConflictError: it is the only one.
        """
        with self._database.transaction() as cursor:
            _lock_with_jobs(cursor, [person_id])
            person = _person(cursor, person_id)
            cursor.execute(
                "select 1 from tracks where person_id = %s and job_id = %s and track = %s", (person_id, job_id, track)
            )
            if cursor.fetchone() is None:
                raise NotFoundError(f"Track {track} of job {job_id} is none of this person's.")
            if person["tracks"] == 1:
                raise ConflictError("It is the only track of this person; merge the person into the right one instead.")
            cursor.execute("update tracks set person_id = null where job_id = %s and track = %s", (job_id, track))
            return _person(cursor, _join(cursor, job_id, [track], person["model_id"], None))

    def name(
        self, person_id: str, subject_id: str, gallery_id: str, enrol: Callable[[Cursor, Sequence[str]], Row]
    ) -> tuple[Row, Row]:
        """Say which subject a person is, in one transaction with its enrolment.

        Args:
            subject_id: of the subject that `enrol` makes.
            gallery_id: its gallery.
            enrol: is given the ids of the jobs that are to be decided anew: those in which the person is seen and
                that searched this gallery or none. It makes the subject and gives its row.

        Returns:
            The rows of the person and of the subject.
        Raises:
            ConflictError: the person has a name already.
        """
        with self._database.transaction() as cursor:
            _lock_with_jobs(cursor, [person_id])
            person = _person(cursor, person_id)
            if person["subject_id"] is not None:
                raise ConflictError(
                    f"This person is named {person['name']!r} already; rename that subject, or add samples to it."
                )
            cursor.execute(
                "select distinct j.id from jobs j join tracks t on t.job_id = j.id where t.person_id = %s"
                " and (j.gallery_id is null or j.gallery_id = %s) order by j.id",
                (person_id, gallery_id),
            )
            made = enrol(cursor, [str(row["id"]) for row in cursor.fetchall()])
            cursor.execute("update people set subject_id = %s where id = %s", (subject_id, person_id))
            return _person(cursor, person_id), made


def _person(cursor: Cursor, person_id: str, field: str | None = None) -> Row:
    cursor.execute(f"{_PERSON} where p.id = %s", (person_id,))
    row: Row | None = cursor.fetchone()
    if row is None:
        raise NotFoundError(
            f"There is no unknown person {person_id}; the jobs may be gone, or the person is known by now.", field=field
        )
    return row


def _lock_with_jobs(cursor: Cursor, person_ids: Sequence[str]) -> None:
    """Lock the jobs that people are seen in, then the people; an unknown person locks nothing."""
    cursor.execute(
        "select j.id from jobs j where j.id in (select job_id from tracks where person_id = any(%s::uuid[]))"
        " order by j.id for share",
        (list(person_ids),),
    )
    cursor.execute(
        "select lock_people(array_agg(model_id)) from people where id = any(%s::uuid[])", (list(person_ids),)
    )


def _join(cursor: Cursor, job_id: str, tracks: Sequence[int], model_id: str, person_id: str | None) -> str:
    """Give tracks without a person to one, or to a new one; returns whom."""
    added: Mapping[str, Any] = {"job": job_id, "tracks": list(tracks), "model": model_id}
    sums = (
        "select count(*) as tracks, sum(weighted_embedding(t.quality, e.embedding)) as total, min(j.created_at) as at"
        " from tracks t join jobs j on j.id = t.job_id join track_embeddings e"
        "  on e.job_id = t.job_id and e.track = t.track and e.model_id = %(model)s"
        " where t.job_id = %(job)s and t.track = any(%(tracks)s)"
    )
    if person_id is None:
        person_id = str(uuid.uuid4())
        cursor.execute(
            "insert into people (id, model_id, tracks, jobs, first_seen_at, last_seen_at, total)"  # noqa: S608 - constants
            f" select %(person)s, %(model)s, n.tracks, 1, n.at, n.at, n.total from ({sums}) n",
            {**added, "person": person_id},
        )
    else:
        cursor.execute(
            "update people p set tracks = p.tracks + n.tracks, first_seen_at = least(p.first_seen_at, n.at),"  # noqa: S608 - constants
            " last_seen_at = greatest(p.last_seen_at, n.at),"
            " total = case when p.tracks = 0 then n.total else p.total + n.total end, jobs = p.jobs + case when exists"
            "  (select 1 from tracks t where t.job_id = %(job)s and t.person_id = p.id) then 0 else 1 end"
            f" from ({sums}) n where p.id = %(person)s",
            {**added, "person": person_id},
        )
    cursor.execute(
        "update tracks set person_id = %(person)s where job_id = %(job)s and track = any(%(tracks)s)",
        {**added, "person": person_id},
    )
    return person_id
