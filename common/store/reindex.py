"""Shadow indexes: embeddings of another model beside a gallery's live ones, the switch between them, and cleaning up.

The live index is what `galleries.model_id` names. The former one stays until it is cleaned away, so that going back is
a switch like any other, and probes that were embedded before a switch are still answered wholly by its rows.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2.extras

from common.contracts import JobKind, Priority
from common.errors import ConflictError, NotFoundError
from common.store.bulk import Work, create_bulk_job
from common.store.database import Cursor, Database, read_vector, vector_literal
from common.store.galleries import find_gallery
from common.store.paging import Row
from common.types import Float32s

_KIND: Final[JobKind] = "reindex"
_PAGE: Final = 2000


@dataclass(frozen=True, slots=True)
class SampleCrop:
    """Where the crop of a sample lies."""

    sample_id: str
    crop_key: str


@dataclass(frozen=True, slots=True)
class TrackCrops:
    """A track, and how many crops the blob store has for it."""

    job_id: str
    track: int
    crops: int

    @property
    def crop_keys(self) -> tuple[str, ...]:
        """Where they lie, best first."""
        return tuple(f"jobs/{self.job_id}/tracks/{self.track}.{number}.jpg" for number in range(self.crops))


@dataclass(frozen=True, slots=True, eq=False)
class TrackPair:
    """A track in two models; each embedding is (dim,) float32."""

    job_id: str
    track: int
    start_ms: int
    end_ms: int
    before: Float32s
    after: Float32s


class Reindex:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        gallery: str,
        *,
        model_id: str | None,
        options: Work,
        owner: str = "",
        webhook_url: str | None = None,
        priority: Priority = Priority.LOW,
    ) -> Row:
        """Accept a re-index of a gallery.

        Args:
            model_id: model to embed in; None: go back to the former one.
            options: of the job, see `workers.match.reindex`.

        Returns:
            The job's row.
        Raises:
            NotFoundError: no such gallery.
            ConflictError: another re-index of it is under way, or there is no former model.
        """
        with self._database.transaction() as cursor:
            row = find_gallery(cursor, gallery, lock=True)
            _check_alone(cursor, row)
            if model_id is None:
                model_id = row["previous_model_id"]
                if model_id is None:
                    raise ConflictError(
                        f"The gallery {gallery!r} has no former index to go back to: it was never re-indexed, or the"
                        " former index was cleaned away. Re-index it for the model that you want."
                    )
            if model_id == row["model_id"] and options.get("dry_run"):
                raise ConflictError(
                    f"The gallery {gallery!r} has the model {model_id} already: there is nothing to compare. Without"
                    " dry_run, what has no embedding yet gets one."
                )
            return create_bulk_job(
                cursor,
                kind=_KIND,
                model_id=model_id,
                options={**options, "gallery": gallery, "from_model": row["model_id"]},
                gallery_id=str(row["id"]),
                owner=owner,
                webhook_url=webhook_url,
                priority=priority,
            )

    def clean(self, gallery: str) -> dict[str, int]:
        """Remove every embedding that is not of the gallery's live model.

        Returns:
            How many of `samples` and of `tracks` were removed.
        Raises:
            NotFoundError: no such gallery.
            ConflictError: a re-index is under way, or jobs that need a former index.
        """
        with self._database.transaction() as cursor:
            row = find_gallery(cursor, gallery, lock=True)
            _check_alone(cursor, row)
            cursor.execute(
                "select count(*) as jobs from jobs where gallery_id = %s and kind = 'media' and model_id <> %s"
                " and state in ('queued', 'running')",
                (row["id"], row["model_id"]),
            )
            if waiting := cursor.fetchone()["jobs"]:
                raise ConflictError(
                    f"{waiting} jobs that began before the switch still search the former index of {gallery!r};"
                    " clean it when they have ended."
                )
            cursor.execute(
                "delete from sample_embeddings where gallery_id = %s and model_id <> %s", (row["id"], row["model_id"])
            )
            samples = cursor.rowcount
            cursor.execute(  # a track that was never embedded in the live model keeps what it has
                "delete from track_embeddings e using jobs j, track_embeddings live where j.id = e.job_id"
                " and j.gallery_id = %s and e.model_id <> %s"
                " and live.job_id = e.job_id and live.track = e.track and live.model_id = %s",
                (row["id"], row["model_id"], row["model_id"]),
            )
            tracks = cursor.rowcount
            cursor.execute(
                "update galleries set previous_model_id = null, previous_min_similarity = null where id = %s",
                (row["id"],),
            )
            return {"samples": samples, "tracks": tracks}

    def gallery(self, gallery_id: str | None) -> Row:
        """Row of a gallery. Raises NotFoundError when it was deleted."""
        with self._database.statement() as cursor:
            cursor.execute("select * from galleries where id = %s", (gallery_id,))
            row: Row | None = cursor.fetchone()
        if row is None:
            raise NotFoundError("The gallery was deleted; there is nothing to index.")
        return row

    def missing_samples(self, gallery_id: str, model_id: str) -> list[str]:
        """Samples without an embedding of `model_id`, in order of their ids."""
        with self._database.transaction() as cursor:
            return _missing_samples(cursor, gallery_id, model_id)

    def missing_tracks(self, gallery_id: str, model_id: str) -> list[tuple[str, int]]:
        """(job, track) of the gallery's finished jobs without an embedding of `model_id`, in order."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select t.job_id, t.track from tracks t join jobs j on j.id = t.job_id where j.gallery_id = %s"
                " and j.kind = 'media' and not exists (select 1 from track_embeddings e"
                "  where e.job_id = t.job_id and e.track = t.track and e.model_id = %s) order by t.job_id, t.track",
                (gallery_id, model_id),
            )
            return [(str(row["job_id"]), row["track"]) for row in cursor.fetchall()]

    def sample_crops(self, sample_ids: Collection[str]) -> list[SampleCrop]:
        """Crops of those samples that are still there."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select id, crop_key from samples where id = any(%s::uuid[]) order by id", (list(sample_ids),)
            )
            return [SampleCrop(str(row["id"]), row["crop_key"]) for row in cursor.fetchall()]

    def track_crops(self, tracks: Collection[tuple[str, int]]) -> list[TrackCrops]:
        """Crops of those tracks that are still there."""
        with self._database.transaction() as cursor:
            rows = psycopg2.extras.execute_values(
                cursor,
                "select t.job_id, t.track, t.crops from tracks t join (values %s) as mine (job_id, track)"
                " on mine.job_id = t.job_id and mine.track = t.track order by t.job_id, t.track",
                list(tracks),
                template="(%s::uuid, %s)",
                page_size=len(tracks),
                fetch=True,
            )
            return [TrackCrops(str(row["job_id"]), row["track"], row["crops"]) for row in rows]

    def track_pairs(self, gallery_id: str, before: str, after: str) -> Iterator[list[TrackPair]]:
        """The gallery's tracks that are embedded in both models, some thousand at a time."""
        last: tuple[str, int] = ("00000000-0000-0000-0000-000000000000", -1)
        while True:
            with self._database.statement() as cursor:
                cursor.execute(
                    "select t.job_id, t.track, t.start_ms, t.end_ms, a.embedding::text as before,"
                    " b.embedding::text as after from jobs j join tracks t on t.job_id = j.id"
                    " join track_embeddings a on a.job_id = t.job_id and a.track = t.track and a.model_id = %s"
                    " join track_embeddings b on b.job_id = t.job_id and b.track = t.track and b.model_id = %s"
                    " where j.gallery_id = %s and (t.job_id, t.track) > (%s::uuid, %s)"
                    " order by t.job_id, t.track limit %s",
                    (before, after, gallery_id, *last, _PAGE),
                )
                page = cursor.fetchall()
            if not page:
                return
            yield [
                TrackPair(
                    str(row["job_id"]),
                    row["track"],
                    row["start_ms"],
                    row["end_ms"],
                    read_vector(row["before"]),
                    read_vector(row["after"]),
                )
                for row in page
            ]
            last = (str(page[-1]["job_id"]), page[-1]["track"])


def lock_gallery(cursor: Cursor, gallery_id: str | None) -> Row:
    """Row of a gallery; until the transaction ends nobody enrols into it, while searches go on.

    Raises:
        NotFoundError: it was deleted.
    """
    cursor.execute("select * from galleries where id = %s for update", (gallery_id,))
    row: Row | None = cursor.fetchone()
    if row is None:
        raise NotFoundError("The gallery was deleted; there is nothing to index.")
    return row


def samples_without(cursor: Cursor, gallery_id: str, model_id: str) -> list[SampleCrop]:
    """Samples that have no embedding of a model, seen in the caller's transaction."""
    cursor.execute(
        "select id, crop_key from samples where id = any(%s::uuid[]) order by id",
        (_missing_samples(cursor, gallery_id, model_id),),
    )
    return [SampleCrop(str(row["id"]), row["crop_key"]) for row in cursor.fetchall()]


def store_samples(cursor: Cursor, model_id: str, sample_ids: Sequence[str], embeddings: Float32s) -> None:
    """Add embeddings of samples, in the caller's transaction; of samples that are gone, or have one, none.

    Args:
        embeddings: (samples, dim) float32, unit length.
    """
    psycopg2.extras.execute_values(
        cursor,
        "with new (sample_id, model_id, embedding) as (values %s), there as ("
        " select s.id, s.subject_id, p.gallery_id from samples s join subjects p on p.id = s.subject_id"
        " where s.id in (select sample_id from new) order by s.id for key share of s)"
        " insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding)"
        " select t.id, t.gallery_id, t.subject_id, new.model_id, new.embedding"
        " from new join there t on t.id = new.sample_id on conflict do nothing",
        [(sample_id, model_id, vector_literal(one)) for sample_id, one in zip(sample_ids, embeddings, strict=True)],
        template="(%s::uuid, %s, %s::halfvec)",
    )


def store_tracks(cursor: Cursor, model_id: str, tracks: Sequence[tuple[str, int]], embeddings: Float32s) -> None:
    """The same for tracks, by job and number."""
    psycopg2.extras.execute_values(
        cursor,
        "with new (job_id, track, model_id, embedding) as (values %s), there as ("
        " select t.job_id, t.track from tracks t where (t.job_id, t.track) in (select job_id, track from new)"
        " order by t.job_id, t.track for key share of t)"
        " insert into track_embeddings (job_id, track, model_id, embedding)"
        " select t.job_id, t.track, new.model_id, new.embedding"
        " from new join there t on t.job_id = new.job_id and t.track = new.track on conflict do nothing",
        [(*track, model_id, vector_literal(one)) for track, one in zip(tracks, embeddings, strict=True)],
        template="(%s::uuid, %s::int, %s, %s::halfvec)",
    )


def switch(cursor: Cursor, gallery: Row, model_id: str, min_similarity: float | None) -> None:
    """Make the index of `model_id` the live one of a gallery that the caller has locked.

    Args:
        min_similarity: the gallery's own bound from now on; None: the model's calibrated one.
    """
    cursor.execute(
        "update galleries set model_id = %s, previous_model_id = model_id, min_similarity = %s,"
        " previous_min_similarity = min_similarity where id = %s",
        (model_id, min_similarity, gallery["id"]),
    )


def drop_shadow(cursor: Cursor, gallery: Row, model_id: str) -> None:
    """Remove a shadow index, unless it is the live or the former one."""
    if model_id in (gallery["model_id"], gallery["previous_model_id"]):
        return
    cursor.execute("delete from sample_embeddings where gallery_id = %s and model_id = %s", (gallery["id"], model_id))
    cursor.execute(
        "delete from track_embeddings e using jobs j where j.id = e.job_id and j.gallery_id = %s and e.model_id = %s"
        " and j.model_id <> %s",
        (gallery["id"], model_id, model_id),
    )


def _missing_samples(cursor: Cursor, gallery_id: str, model_id: str) -> list[str]:
    cursor.execute(
        "select s.id from samples s join subjects p on p.id = s.subject_id where p.gallery_id = %s and not exists ("
        " select 1 from sample_embeddings e where e.sample_id = s.id and e.model_id = %s) order by s.id",
        (gallery_id, model_id),
    )
    return [str(row["id"]) for row in cursor.fetchall()]


def _check_alone(cursor: Cursor, gallery: Row) -> None:
    cursor.execute(
        "select id from jobs where gallery_id = %s and kind = %s and state in ('queued', 'running') limit 1",
        (gallery["id"], _KIND),
    )
    if (row := cursor.fetchone()) is not None:
        raise ConflictError(
            f"Job {row['id']} re-indexes the gallery {gallery['name']!r} already; wait for its end, or cancel it."
        )
