"""Taking in what an export gave out. Doing it twice changes nothing, so an import can be begun again at any point.

Ids are kept where they are free. On the server that an export came from they are not: the copy then gets ids made of
the gallery's id and the old ones, the same every time.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg2.errors
import psycopg2.extras

from common.errors import ConflictError
from common.store import audit
from common.store.database import Cursor, Database, vector_literal
from common.store.galleries import find_gallery
from common.types import Float32s


@dataclass(frozen=True, slots=True)
class MovedSample:
    """A sample as it comes in.

    Attributes:
        sample_id: in the gallery that it comes from.
        det_score, quality, image_sha256: as measured there.
        crop_key: where its crop was stored here.
        embedding: (dim,) float32 of the gallery's model; None when it came with none that may be used.
    """

    sample_id: str
    det_score: float
    quality: float
    image_sha256: str | None
    crop_key: str
    embedding: Float32s | None


@dataclass(frozen=True, slots=True)
class MovedSubject:
    """A person as they come in, with the id of the gallery that they come from."""

    subject_id: str
    name: str
    external_id: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a moved subject belongs.

    Attributes:
        gallery_id, model_id: of the gallery.
        subject_id: the id here.
        keeps_ids: whether that is the id that it came with.
        known_samples: ids, as they are here, of samples that have arrived before.
    """

    gallery_id: str
    model_id: str
    subject_id: str
    keeps_ids: bool
    known_samples: frozenset[str]

    def sample_id(self, moved: str) -> str:
        """The id here of a sample that had `moved` there."""
        return moved if self.keeps_ids else str(uuid.uuid5(uuid.UUID(self.subject_id), moved))


class Imports:
    """See the module. Both methods raise NotFoundError for a gallery that is not there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_place(self, gallery: str, subject_id: str) -> Place:
        """Where the subject that had `subject_id` belongs, whether or not it has arrived before."""
        with self._database.transaction() as cursor:
            return _place(cursor, gallery, subject_id)

    def add(
        self, gallery: str, place: Place, subject: MovedSubject, samples: Sequence[MovedSample]
    ) -> tuple[bool, set[str]]:
        """Store what is not there yet; what is there stays as it is.

        Args:
            place: as `find_place` gave it.
            samples: with their ids here.

        Returns:
            Whether the subject is new, and the ids of the samples that are.
        Raises:
            ConflictError: the external id belongs to somebody else, or the gallery has changed its model.
        """
        with self._database.transaction() as cursor:
            cursor.execute("select id, model_id from galleries where name = %s for share", (gallery,))
            row = cursor.fetchone()
            if row is None or str(row["id"]) != place.gallery_id or row["model_id"] != place.model_id:
                raise ConflictError(f"The gallery {gallery!r} was replaced or re-indexed meanwhile; import again.")
            is_new = _insert_subject(cursor, place, subject)
            stored = psycopg2.extras.execute_values(
                cursor,
                "insert into samples (id, subject_id, det_score, quality, crop_key, image_sha256) values %s"
                " on conflict do nothing returning id",
                [
                    (one.sample_id, place.subject_id, one.det_score, one.quality, one.crop_key, one.image_sha256)
                    for one in samples
                ],
                fetch=True,
            )
            ids = {str(one["id"]) for one in stored}
            psycopg2.extras.execute_values(
                cursor,
                "insert into sample_embeddings (sample_id, gallery_id, subject_id, model_id, embedding) values %s",
                [
                    (
                        one.sample_id,
                        place.gallery_id,
                        place.subject_id,
                        place.model_id,
                        vector_literal(np.asarray(one.embedding, np.float32)),
                    )
                    for one in samples
                    if one.embedding is not None and one.sample_id in ids
                ],
                template="(%s, %s, %s, %s, %s::halfvec)",
            )
            audit.record(cursor, subject_ids=[place.subject_id], counts={"samples": len(ids)})
            return is_new, ids


def _place(cursor: Cursor, gallery: str, subject_id: str) -> Place:
    row = find_gallery(cursor, gallery)
    derived = str(uuid.uuid5(row["id"], subject_id))
    cursor.execute(
        "select id, gallery_id from subjects where id = %s or id = %s order by id = %s desc",
        (subject_id, derived, derived),
    )
    here = cursor.fetchall()
    mine = [str(one["id"]) for one in here if one["gallery_id"] == row["id"]]
    chosen = mine[0] if mine else derived if here else subject_id
    cursor.execute("select id from samples where subject_id = %s", (chosen,))
    known = frozenset(str(one["id"]) for one in cursor.fetchall())
    return Place(str(row["id"]), row["model_id"], chosen, chosen == subject_id, known)


def _insert_subject(cursor: Cursor, place: Place, subject: MovedSubject) -> bool:
    try:
        cursor.execute(
            "insert into subjects (id, gallery_id, name, external_id, metadata) values (%s, %s, %s, %s, %s)"
            " on conflict (id) do nothing",
            (
                place.subject_id,
                place.gallery_id,
                subject.name,
                subject.external_id,
                psycopg2.extras.Json(dict(subject.metadata)),
            ),
        )
    except psycopg2.errors.UniqueViolation as error:
        raise ConflictError(
            f"Another subject of this gallery has the external id {subject.external_id!r}.", field="external_id"
        ) from error
    if cursor.rowcount:
        return True
    cursor.execute("select gallery_id from subjects where id = %s for key share", (place.subject_id,))
    row = cursor.fetchone()
    if row is None or str(row["gallery_id"]) != place.gallery_id:
        raise ConflictError(f"The subject {place.subject_id} was moved meanwhile; import again.")
    return False
