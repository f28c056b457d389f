"""Galleries: the subjects that are searched for, and their enrolled samples."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg2.errors
import psycopg2.extras

from common.errors import ConflictError, NotFoundError
from common.store import audit
from common.store.database import Cursor, Database, vector_literal
from common.store.paging import Page, Row, an_id, make_page, read_cursor

GALLERY_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_GALLERY = (
    "select g.*, (select count(*) from subjects s where s.gallery_id = g.id) as subject_count,"
    " (select count(*) from sample_embeddings e where e.gallery_id = g.id and e.model_id = g.model_id)"
    " as sample_count, (select jsonb_build_object('kind', 'hnsw', 'job_id', a.job_id, 'min_recall', a.min_recall,"
    "  'recall', a.recall, 'measured_at', a.measured_at, 'state', case when a.state <> 'building'"
    "   or exists (select 1 from jobs j where j.id = a.job_id and j.state in ('queued', 'running'))"
    "   then a.state else 'failed' end, 'built', case when a.state = 'building' then"
    "   (select round(blocks_done::numeric / nullif(blocks_total, 0), 3) from pg_stat_progress_create_index p"
    "     join pg_class c on c.oid = p.index_relid where c.relname = a.name) end)"
    "  from approximate_indexes a where a.gallery_id = g.id) as index from galleries g"
)
_SUBJECT = (
    "select s.id, s.name, s.external_id, s.metadata, s.created_at,"
    " (select count(*) from samples where subject_id = s.id) as sample_count"
    " from subjects s join galleries g on g.id = s.gallery_id"
)
_CHANGEABLE: Final = frozenset({"name", "external_id", "metadata"})


@dataclass(frozen=True, slots=True)
class NewSample:
    """One enrolled image.

    Attributes:
        sample_id: made by the caller, because the crop is stored first.
        det_score, quality: as measured on the image.
        crop_key: the aligned crop in the blob store.
        embedding: (dim,) unit length.
        image_sha256: of the file as it was sent; the same file is enrolled once for a subject.
    """

    sample_id: str
    det_score: float
    quality: float
    crop_key: str
    embedding: Sequence[float]
    image_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class NewSubject:
    """A person to enrol; `external_id` is the caller's own key, unique in the gallery."""

    subject_id: str
    name: str
    external_id: str | None
    metadata: Mapping[str, Any]


class Galleries:
    """See the module. Galleries are named by their name, subjects and samples by their id.

    Every method raises NotFoundError for a gallery, subject or sample that is not there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, gallery_id: str, name: str, model_id: str, min_similarity: float | None) -> Row:
        """A new gallery for embeddings of `model_id`. Raises ConflictError if the name is taken."""
        with self._database.transaction() as cursor:
            cursor.execute(
                "insert into galleries (id, name, model_id, min_similarity) values (%s, %s, %s, %s)"
                " on conflict (name) do nothing",
                (gallery_id, name, model_id, min_similarity),
            )
            if cursor.rowcount == 0:
                raise ConflictError(f"There is a gallery {name!r} already; choose another name.", field="name")
            audit.record(cursor, gallery=name)
            return _described(cursor, name)

    def get(self, name: str) -> Row:
        """One gallery. Nothing is counted, so that it takes no longer for a large one."""
        with self._database.statement() as cursor:
            return find_gallery(cursor, name)

    def describe(self, name: str) -> Row:
        """One gallery with its counts and its index."""
        with self._database.statement() as cursor:
            return _described(cursor, name)

    def list(self, *, cursor: str | None, limit: int) -> Page:
        """Galleries by name."""
        after = read_cursor(cursor, [_a_gallery_name])[0] if cursor else ""
        with self._database.statement() as db:
            db.execute(
                _GALLERY + ' where g.name collate "C" > %s order by g.name collate "C" limit %s', (after, limit + 1)
            )
            return make_page(db.fetchall(), limit, ["name"])

    def delete(self, name: str) -> str:
        """Remove a gallery with everybody in it; returns its id, whose blobs are the caller's to delete."""
        with self._database.transaction() as cursor:
            gallery = _described(cursor, name)
            cursor.execute("delete from galleries where id = %s", (gallery["id"],))
            audit.record(cursor, counts={name: gallery[name] for name in ("subject_count", "sample_count")})
            return str(gallery["id"])

    def add_subject(self, gallery: str, model_id: str, subject: NewSubject, samples: Sequence[NewSample]) -> Row:
        """Enrol somebody with the first samples; all or nothing.

        Raises:
            ConflictError: the gallery has another model, or the external id is taken.
        """
        with self._database.transaction() as cursor:
            return add_subject(cursor, gallery, model_id, subject, samples)

    def add_samples(self, gallery: str, subject_id: str, model_id: str, samples: Sequence[NewSample]) -> set[str]:
        """Enrol more images of somebody; all or nothing.

        Returns:
            Ids of the samples stored: all but those whose image the subject has already.
        Raises:
            ConflictError: the gallery has another model.
        """
        with self._database.transaction() as cursor:
            return add_samples(cursor, gallery, subject_id, model_id, samples)

    def images_of(self, subject_id: str, sha256s: Sequence[str]) -> set[str]:
        """Which of these images the subject has, by their SHA-256."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select image_sha256 from samples where subject_id = %s and image_sha256 = any(%s)",
                (subject_id, list(sha256s)),
            )
            return {str(row["image_sha256"]) for row in cursor.fetchall()}

    def subject(self, gallery: str, subject_id: str) -> Row:
        """One subject."""
        with self._database.transaction() as cursor:
            return _subject(cursor, gallery, subject_id)

    def list_subjects(
        self, gallery: str, *, external_id: str | None, name: str | None = None, cursor: str | None, limit: int
    ) -> Page:
        """Subjects of a gallery in the order of their ids, or the one with `external_id`, or those of a `name`."""
        after = read_cursor(cursor, [an_id])[0] if cursor else None
        with self._database.transaction() as db:
            gallery_id = find_gallery(db, gallery)["id"]
            db.execute(
                _SUBJECT + " where s.gallery_id = %(gallery)s and (%(after)s::uuid is null or s.id > %(after)s)"
                " and (%(external)s::text is null or s.external_id = %(external)s)"
                " and (%(name)s::text is null or s.name = %(name)s) order by s.id limit %(limit)s",
                {"gallery": gallery_id, "after": after, "external": external_id, "name": name, "limit": limit + 1},
            )
            return make_page(db.fetchall(), limit, ["id"])

    def update_subject(self, gallery: str, subject_id: str, changes: Mapping[str, Any]) -> Row:
        """Set some of `name`, `external_id` and `metadata`. Raises ConflictError if the external id is taken."""
        if unknown := set(changes) - _CHANGEABLE:
            raise ValueError(f"not changeable: {unknown}")
        values = {name: psycopg2.extras.Json(value) if name == "metadata" else value for name, value in changes.items()}
        assignments = ", ".join(f"{name} = %({name})s" for name in values)
        with self._database.transaction() as cursor:
            _subject(cursor, gallery, subject_id)
            try:
                cursor.execute(
                    f"update subjects set {assignments} where id = %(id)s",  # noqa: S608 - names from _CHANGEABLE
                    {**values, "id": subject_id},
                )
            except psycopg2.errors.UniqueViolation as error:
                raise _external_id_taken(changes["external_id"]) from error
            audit.record(cursor, subject_ids=[subject_id])
            return _subject(cursor, gallery, subject_id)

    def delete_subject(self, gallery: str, subject_id: str) -> str:
        """Erase somebody; returns the gallery's id, below which the caller deletes the crops."""
        with self._database.transaction() as cursor:
            gallery_id = find_gallery(cursor, gallery)["id"]
            cursor.execute("delete from subjects where id = %s and gallery_id = %s", (subject_id, gallery_id))
            if cursor.rowcount == 0:
                raise _no_subject(gallery, subject_id)
            audit.record(cursor, subject_ids=[subject_id])
            return str(gallery_id)

    def list_samples(self, gallery: str, subject_id: str, *, cursor: str | None, limit: int) -> Page:
        """Samples of a subject in the order of their ids."""
        after = read_cursor(cursor, [an_id])[0] if cursor else None
        with self._database.transaction() as db:
            _subject(db, gallery, subject_id)
            db.execute(
                "select id, det_score, quality, crop_key, image_sha256, created_at from samples"
                " where subject_id = %(subject)s and (%(after)s::uuid is null or id > %(after)s)"
                " order by id limit %(limit)s",
                {"subject": subject_id, "after": after, "limit": limit + 1},
            )
            return make_page(db.fetchall(), limit, ["id"])

    def sample(self, gallery: str, subject_id: str, sample_id: str) -> Row:
        """One sample."""
        with self._database.transaction() as cursor:
            _subject(cursor, gallery, subject_id)
            cursor.execute("select * from samples where id = %s and subject_id = %s", (sample_id, subject_id))
            return _found(cursor, f"The subject has no sample {sample_id}.")

    def delete_sample(self, gallery: str, subject_id: str, sample_id: str) -> str:
        """Remove one sample, also the last one; returns the key of its crop, which the caller deletes."""
        with self._database.transaction() as cursor:
            _subject(cursor, gallery, subject_id)
            cursor.execute(
                "delete from samples where id = %s and subject_id = %s returning crop_key", (sample_id, subject_id)
            )
            crop_key = str(_found(cursor, f"The subject has no sample {sample_id}.")["crop_key"])
            audit.record(cursor, subject_ids=[subject_id], counts={"samples": 1})
            return crop_key

    def subjects_by_ids(self, subject_ids: Iterable[str]) -> dict[str, Row]:
        """Id to row of those subjects that are still there."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select id, name, external_id, metadata from subjects where id = any(%s::uuid[])",
                (sorted(set(subject_ids)),),
            )
            return {str(row["id"]): row for row in cursor.fetchall()}


def add_subject(cursor: Cursor, gallery: str, model_id: str, subject: NewSubject, samples: Sequence[NewSample]) -> Row:
    """`Galleries.add_subject` in the caller's transaction."""
    gallery_id = _lock_for_enrolment(cursor, gallery, model_id)
    cursor.execute(
        "insert into subjects (id, gallery_id, name, external_id, metadata) values (%s, %s, %s, %s, %s)"
        " on conflict (gallery_id, external_id) do nothing",
        (
            subject.subject_id,
            gallery_id,
            subject.name,
            subject.external_id,
            psycopg2.extras.Json(dict(subject.metadata)),
        ),
    )
    if cursor.rowcount == 0:
        raise _external_id_taken(subject.external_id)
    stored = _insert_samples(cursor, gallery_id, subject.subject_id, model_id, samples)
    audit.record(cursor, subject_ids=[subject.subject_id], counts={"samples": len(stored)})
    return _subject(cursor, gallery, subject.subject_id)


def add_samples(cursor: Cursor, gallery: str, subject_id: str, model_id: str, samples: Sequence[NewSample]) -> set[str]:
    """`Galleries.add_samples` in the caller's transaction."""
    gallery_id = _lock_for_enrolment(cursor, gallery, model_id)
    cursor.execute("select id from subjects where id = %s and gallery_id = %s", (subject_id, gallery_id))
    if cursor.fetchone() is None:
        raise _no_subject(gallery, subject_id)
    try:
        stored = _insert_samples(cursor, gallery_id, subject_id, model_id, samples)
    except psycopg2.errors.ForeignKeyViolation as error:  # deleted a moment ago
        raise _no_subject(gallery, subject_id) from error
    audit.record(cursor, subject_ids=[subject_id], counts={"samples": len(stored)})
    return stored


def _a_gallery_name(value: Any) -> str:
    if not re.fullmatch(GALLERY_NAME, value):
        raise ValueError("no gallery name")
    return str(value)


def find_gallery(cursor: Cursor, name: str, *, lock: bool = False) -> Row:
    """The row of a gallery, which with `lock` nobody else changes before the transaction ends.

    Raises:
        NotFoundError: no such gallery, or no name of any.
    """
    check_gallery_name(name)
    rows = "select * from galleries where name = %s"
    cursor.execute(rows + " for update" if lock else rows, (name,))
    return _found(cursor, _no_gallery(name), "gallery")


def names_of(cursor: Cursor, subject_ids: Collection[str]) -> dict[str, str]:
    """Subject id to name, of those that are there."""
    cursor.execute("select id, name from subjects where id = any(%s::uuid[])", (sorted(subject_ids),))
    return {str(row["id"]): row["name"] for row in cursor.fetchall()}


def check_gallery_name(name: str) -> None:
    """Raises NotFoundError for what no gallery can be called; PostgreSQL would choke on some of it."""
    if not re.fullmatch(GALLERY_NAME, name):
        raise NotFoundError(_no_gallery(name), field="gallery")


def _described(cursor: Cursor, name: str) -> Row:
    check_gallery_name(name)
    cursor.execute(_GALLERY + " where g.name = %s", (name,))
    return _found(cursor, _no_gallery(name), "gallery")


def _no_gallery(name: str) -> str:
    return f"There is no gallery {name!r}; create it with POST /v1/galleries."


def _subject(cursor: Cursor, gallery: str, subject_id: str) -> Row:
    find_gallery(cursor, gallery)
    cursor.execute(_SUBJECT + " where g.name = %s and s.id = %s", (gallery, subject_id))
    return _found(cursor, str(_no_subject(gallery, subject_id)))


def _found(cursor: Cursor, missing: str, field: str | None = None) -> Row:
    row: Row | None = cursor.fetchone()
    if row is None:
        raise NotFoundError(missing, field=field)
    return row


def _lock_for_enrolment(cursor: Cursor, name: str, model_id: str) -> str:
    """Id of the gallery, which can neither vanish nor change its model before the transaction ends."""
    gallery = find_gallery(cursor, name)
    cursor.execute("select model_id from galleries where id = %s for share", (gallery["id"],))
    locked = _found(cursor, f"The gallery {name!r} was deleted meanwhile.", "gallery")
    if locked["model_id"] != model_id:
        raise ConflictError(
            f"The gallery {name!r} was made with model {locked['model_id']}, this server runs {model_id}: embeddings"
            " of two models are never compared. Use another gallery, or the other model pack.",
            "model_mismatch",
        )
    return str(gallery["id"])


def _insert_samples(
    cursor: Cursor, gallery_id: str, subject_id: str, model_id: str, samples: Sequence[NewSample]
) -> set[str]:
    """Ids of those stored; an image that the subject has already is left out."""
    inserted = psycopg2.extras.execute_values(
        cursor,
        "insert into samples (id, subject_id, det_score, quality, crop_key, image_sha256) values %s"
        " on conflict (subject_id, image_sha256) do nothing returning id",
        [(one.sample_id, subject_id, one.det_score, one.quality, one.crop_key, one.image_sha256) for one in samples],
        fetch=True,
    )
    stored = {str(row["id"]) for row in inserted}
    psycopg2.extras.execute_values(
        cursor,
        "insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding) values %s",
        [
            (one.sample_id, gallery_id, subject_id, model_id, vector_literal(np.asarray(one.embedding, np.float32)))
            for one in samples
            if one.sample_id in stored
        ],
        template="(%s, %s, %s, %s, %s::halfvec)",
    )
    return stored


def _no_subject(gallery: str, subject_id: str) -> NotFoundError:
    return NotFoundError(f"The gallery {gallery!r} has no subject {subject_id}.")


def _external_id_taken(external_id: str | None) -> ConflictError:
    return ConflictError(
        f"Another subject of this gallery has the external id {external_id!r}; change that one instead.",
        field="external_id",
    )
