"""Approximate indexes of galleries that asked for one: pgvector's HNSW over the rows of one gallery and model.

They are built and dropped without a transaction, so that nobody who enrols or searches waits. The table
`approximate_indexes` says which index is wanted; whatever else has such a name is left over and removed.
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg2.sql

from common.contracts import Priority
from common.errors import ConflictError
from common.store.bulk import create_bulk_job
from common.store.database import Cursor, Database, Session
from common.store.galleries import find_gallery
from common.store.paging import Row

_PREFIX: Final = "approximate_"
#: What pgvector can index as halfvec.
_MAX_DIMENSION: Final = 4000
_POLL_S: Final = 0.5

#: Neighbours of a node, and candidates while building: more find more, and take longer.
_NEIGHBOURS: Final = 16
_BUILD_CANDIDATES: Final = 128


@dataclass(frozen=True, slots=True)
class ApproximateIndex:
    """One that is wanted.

    Attributes:
        name: of the index in PostgreSQL.
        min_recall: it is used only if it finds the best reference of so many probes, in (0, 1].
    """

    gallery_id: str
    model_id: str
    name: str
    min_recall: float


class ApproximateIndexes:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(
        self,
        gallery: str,
        *,
        min_recall: float,
        owner: str = "",
        webhook_url: str | None = None,
        priority: Priority = Priority.LOW,
    ) -> None:
        """Have an index built, by a bulk job; until it is ready the gallery is searched exactly.

        Raises:
            NotFoundError: no such gallery.
            ConflictError: one is being built, there is nothing to index, or the database cannot.
        """
        with self._database.transaction() as cursor:
            row = find_gallery(cursor, gallery, lock=True)
            _check_not_building(cursor, gallery, row)
            _check_possible(cursor, gallery, row)
            job = create_bulk_job(
                cursor,
                kind="index",
                model_id=row["model_id"],
                options={"gallery": gallery, "min_recall": min_recall},
                gallery_id=str(row["id"]),
                owner=owner,
                webhook_url=webhook_url,
                priority=priority,
            )
            cursor.execute("delete from approximate_indexes where gallery_id = %s", (row["id"],))
            cursor.execute(
                "insert into approximate_indexes (gallery_id, model_id, name, job_id, min_recall)"
                " values (%s, %s, %s, %s, %s)",
                (row["id"], row["model_id"], f"{_PREFIX}{uuid.UUID(str(job['id'])).hex}", job["id"], min_recall),
            )

    def go_back(self, gallery: str) -> None:
        """Search exactly from now on; a build that is under way gives up. Raises NotFoundError."""
        with self._database.transaction() as cursor:
            row = find_gallery(cursor, gallery, lock=True)
            cursor.execute("delete from approximate_indexes where gallery_id = %s", (row["id"],))

    def of_job(self, job_id: str) -> ApproximateIndex:
        """What a job is to build. Raises ConflictError when nobody wants it any more."""
        with self._database.statement() as cursor:
            cursor.execute("select * from approximate_indexes where job_id = %s", (job_id,))
            row = cursor.fetchone()
        if row is None:
            raise _unwanted()
        return ApproximateIndex(str(row["gallery_id"]), row["model_id"], row["name"], row["min_recall"])

    def build(self, job_id: str, check: Callable[[], None]) -> None:
        """Make the index of a job, unless it is there. What an attempt that died left of it is removed first.

        Args:
            check: called twice a second; when it raises, the build is stopped.
        Raises:
            ConflictError: nobody wants it any more.
        """
        index = self.of_job(job_id)

        def check_wanted() -> None:
            check()
            self.of_job(job_id)

        with closing(self._database.session()) as session:
            # Not a lock that is waited for: whoever waits in a statement is waited for by a concurrent build.
            while not session.try_lock(uuid.UUID(job_id).int >> 65):
                check_wanted()
                _pause(session)
            if self.size(index) is not None:
                return
            _run(session, _drop(index.name), check_wanted)
            # The server notices a client that died, and no memory beyond that of this connection is taken.
            session.execute("set client_connection_check_interval = '2s'")
            session.execute("set max_parallel_maintenance_workers = 0")
            session.execute("set maintenance_work_mem = '256MB'")
            _run(session, self._create(index), check_wanted)

    def size(self, index: ApproximateIndex) -> int | None:
        """Bytes on disk; None when the index is not there, or not whole."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select pg_relation_size(c.oid) as bytes from pg_class c join pg_index i on i.indexrelid = c.oid"
                " where c.relname = %s and c.relkind = 'i' and i.indisvalid",
                (index.name,),
            )
            row = cursor.fetchone()
        return None if row is None else int(row["bytes"])

    def some_samples(self, index: ApproximateIndex, count: int) -> list[str]:
        """Ids of at most `count` samples, as if by chance but always the same ones."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select sample_id from sample_embeddings where gallery_id = %s and model_id = %s"
                " order by md5(sample_id::text) limit %s",
                (index.gallery_id, index.model_id, count),
            )
            return [str(row["sample_id"]) for row in cursor.fetchall()]

    def drop(self, name: str) -> None:
        """Remove an index; searches and enrolments do not wait."""
        with closing(self._database.session()) as session:
            session.execute(_drop(name))

    def remove_unwanted(self) -> int:
        """Drop every index that no gallery wants any more; how many."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select c.relname as name from pg_class c join pg_index i on i.indexrelid = c.oid"
                " where i.indrelid = 'sample_embeddings'::regclass and starts_with(c.relname, %s) and not exists"
                "  (select 1 from approximate_indexes a left join jobs j on j.id = a.job_id where a.name = c.relname"
                "   and (a.state = 'ready' or a.state = 'building' and j.state <> 'cancelled'))",
                (_PREFIX,),
            )
            names = [str(row["name"]) for row in cursor.fetchall()]
        for name in names:
            self.drop(name)
        return len(names)

    def _create(self, index: ApproximateIndex) -> psycopg2.sql.Composable:
        with self._database.transaction() as cursor:
            dimension = _dimension(cursor, index.gallery_id, index.model_id)
        if dimension is None:
            raise ConflictError("The gallery has become empty: there is nothing to index.")
        return psycopg2.sql.SQL(
            "create index concurrently {} on sample_embeddings using hnsw"
            " ((embedding::halfvec({})) halfvec_cosine_ops) with (m = {}, ef_construction = {})"
            " where gallery_id = {} and model_id = {}"
        ).format(
            psycopg2.sql.Identifier(index.name),
            psycopg2.sql.Literal(dimension),
            psycopg2.sql.Literal(_NEIGHBOURS),
            psycopg2.sql.Literal(_BUILD_CANDIDATES),
            psycopg2.sql.Literal(index.gallery_id),
            psycopg2.sql.Literal(index.model_id),
        )


def record_recall(cursor: Cursor, job_id: str, *, recall: float, is_ready: bool) -> None:
    """Say in the caller's transaction what was measured, and whether the index is used from now on.

    Raises:
        ConflictError: nobody wants it any more.
    """
    cursor.execute(
        "update approximate_indexes set state = %s, recall = %s, measured_at = now() where job_id = %s",
        ("ready" if is_ready else "refused", recall, job_id),
    )
    if cursor.rowcount == 0:
        raise _unwanted()


def _run(session: Session, statement: psycopg2.sql.Composable, check: Callable[[], None]) -> None:
    """Execute something that takes long; stop it when `check` raises."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.execute, statement)
        try:
            while not wait([running], _POLL_S).done:
                check()
        except BaseException:
            session.cancel()
            raise
        running.result()


def _pause(session: Session) -> None:
    session.notifications(_POLL_S)


def _drop(name: str) -> psycopg2.sql.Composable:
    return psycopg2.sql.SQL("drop index concurrently if exists {}").format(psycopg2.sql.Identifier(name))


def _check_not_building(cursor: Cursor, gallery: str, row: Row) -> None:
    cursor.execute(
        "select j.id from approximate_indexes a join jobs j on j.id = a.job_id"
        " where a.gallery_id = %s and j.state in ('queued', 'running')",
        (row["id"],),
    )
    if job := cursor.fetchone():
        raise ConflictError(
            f"An index of the gallery {gallery!r} is being built by the job {job['id']}; wait for it, or go back to"
            " exact search first."
        )


def _check_possible(cursor: Cursor, gallery: str, row: Row) -> None:
    dimension = _dimension(cursor, str(row["id"]), row["model_id"])
    if dimension is None:
        raise ConflictError(f"The gallery {gallery!r} is empty: enrol people first, then ask for an index.")
    if dimension > _MAX_DIMENSION:
        raise ConflictError(
            f"Embeddings of {row['model_id']} have {dimension} numbers; an approximate index takes {_MAX_DIMENSION}."
        )
    cursor.execute(
        "select string_to_array(extversion, '.')::int[] >= '{0,8}' as ok from pg_extension where extname = 'vector'"
    )
    if not cursor.fetchone()["ok"]:
        raise ConflictError("An approximate index needs pgvector 0.8 or newer in the database; upgrade it.")


def _dimension(cursor: Cursor, gallery_id: str, model_id: str) -> int | None:
    cursor.execute(
        "select vector_dims(embedding::vector) as dimension from sample_embeddings"
        " where gallery_id = %s and model_id = %s limit 1",
        (gallery_id, model_id),
    )
    row = cursor.fetchone()
    return None if row is None else int(row["dimension"])


def _unwanted() -> ConflictError:
    return ConflictError("This index is not wanted any more: the gallery went back to exact search, or changed.")
