"""Where a face was ever seen: an exact search of every track of every finished job, enrolled or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from common.errors import NotFoundError
from common.store.database import Database, vector_literal
from common.store.paging import Row
from common.types import Float32s

_WHO: Final = "partition by t.job_id, t.subject_id, t.person_id, case when t.person_id is null then t.stranger end"

#: Common tables that join tracks to stretches of time, `runs`, as appearances are made. They need a common table `hits`
#: with job_id, track and similarity before them. Tracks of one job and one person (a subject, or a stranger) that
#: overlap or follow each other closely are one stretch; the parameter `max_gap_ms` says how closely, and not less than
#: one and a half sampling periods.
RUNS: Final = (
    "seen as (select t.job_id, t.track, t.start_ms, t.end_ms, t.detections, t.quality, t.subject_id, t.person_id,"  # noqa: S608 - a constant
    "  t.stranger, h.similarity, j.created_at, j.gallery_id,"
    f"  max(t.end_ms) over ({_WHO} order by t.start_ms, t.track rows between unbounded preceding and 1 preceding)"
    "   as last_ms, greatest(%(max_gap_ms)s, floor(1500 / nullif((j.options->>'sample_fps')::float8, 0))::bigint)"
    "   as gap_ms from hits h join tracks t using (job_id, track) join jobs j on j.id = t.job_id),"
    " marked as (select *, count(*) filter (where last_ms is null or start_ms - last_ms > gap_ms)"
    f"  over ({_WHO} order by t.start_ms, t.track) as run from seen t),"
    " runs as (select r.job_id, r.created_at, r.gallery_id, r.subject_id, r.person_id, min(r.stranger) as stranger,"
    "  min(r.start_ms) as start_ms, max(r.end_ms) as end_ms, max(r.similarity) as similarity,"
    "  sum(r.detections)::bigint as detections, min(r.track) as first_track,"
    "  (array_agg(r.track order by r.similarity desc, r.quality desc, r.track))[1] as best_track,"
    "  coalesce(s.name, 'unknown ' || min(r.stranger), 'unknown') as name"
    "  from marked r left join subjects s on s.id = r.subject_id"
    "  group by r.job_id, r.created_at, r.gallery_id, r.subject_id, r.person_id,"
    "   case when r.person_id is null then r.stranger end, r.run, s.name)"
)


@dataclass(frozen=True, slots=True)
class FootageFilter:
    """Which footage is searched.

    Attributes:
        since, until: only jobs made in this time, both inclusive; None: no bound.
        gallery_id: only jobs that searched this gallery; None: all.
    """

    since: datetime | None = None
    until: datetime | None = None
    gallery_id: str | None = None


class Footage:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(
        self,
        probe: Float32s,
        model_id: str,
        *,
        min_similarity: float,
        max_gap_ms: int,
        only: FootageFilter,
        limit: int,
    ) -> tuple[list[Row], int]:
        """Every stretch of time in which a face like the probe is seen.

        Args:
            probe: (dim,) float32, unit length, of `model_id`.
            min_similarity: cosine lower bound, inclusive, to a track's fused embedding.
            max_gap_ms: an absence up to this long, or one and a half sampling periods, does not end a stretch.
            limit: stretches at most.

        Returns:
            The stretches with their best similarity, best first and then by job age, newest first, and start; and how
            many there are without the limit.
        """
        with self._database.statement() as cursor:
            cursor.execute(
                "with hits as materialized ("  # noqa: S608 - constants
                " select near.job_id, near.track, near.similarity from ("
                "  select c.job_id, c.track, round(c.cosine::numeric, 6)::float8 as similarity from ("
                "   select e.job_id, e.track, 1 - (e.embedding <=> %(probe)s::halfvec) as cosine"
                "   from track_embeddings e where e.model_id = %(model)s offset 0) c"
                "  where c.cosine >= %(bound)s - 1e-6) near where near.similarity >= %(bound)s),"
                f" {RUNS}"
                " select *, count(*) over () as found from runs"
                " where (%(since)s::timestamptz is null or created_at >= %(since)s)"
                " and (%(until)s::timestamptz is null or created_at <= %(until)s)"
                " and (%(gallery)s::uuid is null or gallery_id = %(gallery)s)"
                " order by similarity desc, created_at desc, job_id, start_ms, first_track limit %(limit)s",
                {
                    "probe": vector_literal(probe),
                    "model": model_id,
                    "bound": float(min_similarity),
                    "max_gap_ms": max_gap_ms,
                    "since": only.since,
                    "until": only.until,
                    "gallery": only.gallery_id,
                    "limit": limit,
                },
            )
            rows = list(cursor.fetchall())
        return rows, rows[0]["found"] if rows else 0

    def probe_of(self, job_id: str, track: int, model_id: str) -> list[float]:
        """The fused embedding of a track, (dim,). Raises NotFoundError."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select embedding::real[] as embedding from track_embeddings"
                " where job_id = %s and track = %s and model_id = %s",
                (job_id, track, model_id),
            )
            row = cursor.fetchone()
        if row is None:
            raise NotFoundError(
                f"There is no track {track} of job {job_id} with an embedding of model {model_id}.", field="track"
            )
        embedding: list[float] = row["embedding"]
        return embedding
