"""Reading a gallery out of the house, a page at a time, while keeping in mind whom each export holds."""

import uuid
from collections.abc import Iterator
from typing import Final

from common.store import audit
from common.store.database import Database
from common.store.galleries import find_gallery
from common.store.paging import Row

_SUBJECTS: Final = 100
_SAMPLES: Final = 100


class Exports:
    """See the module. A subject is noted in the transaction that reads it, so that an erasure names every export that
    may hold the person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, gallery: str, label: str | None) -> Row:
        """Note that an export begins.

        Args:
            label: what the caller says it becomes, such as a file name.

        Returns:
            The gallery's row, with `export_id` and `began_at`.
        Raises:
            NotFoundError: no such gallery.
        """
        entry = audit.current()
        with self._database.transaction() as cursor:
            row = find_gallery(cursor, gallery)
            export_id = str(uuid.uuid4())
            cursor.execute(
                "insert into exports (id, gallery_id, gallery, label, key_id) values (%s, %s, %s, %s, %s)"
                " returning began_at",
                (export_id, row["id"], gallery, label, entry.key_id if entry else ""),
            )
            began_at = cursor.fetchone()["began_at"]
            cursor.execute(
                "select count(*) as subjects, (select count(*) from samples m join subjects s on s.id = m.subject_id"
                "  where s.gallery_id = %(gallery)s) as samples from subjects where gallery_id = %(gallery)s",
                {"gallery": row["id"]},
            )
            audit.record(cursor, counts=dict(cursor.fetchone()))
        return {**row, "export_id": export_id, "began_at": began_at}

    def subjects(self, export_id: str, gallery_id: str) -> Iterator[Row]:
        """Everybody in the order of their ids; no connection is held between."""
        after = None
        while True:
            with self._database.transaction() as cursor:
                # the lock makes an erasure wait, so that it finds what is noted here
                cursor.execute(
                    "select id, name, external_id, metadata, created_at from subjects"
                    " where gallery_id = %(gallery)s and (%(after)s::uuid is null or id > %(after)s)"
                    " order by id limit %(limit)s for key share",
                    {"gallery": gallery_id, "after": after, "limit": _SUBJECTS},
                )
                rows = cursor.fetchall()
                cursor.execute(
                    "insert into exported_subjects (subject_id, export_id) select unnest(%s::uuid[]), %s"
                    " on conflict do nothing",
                    ([row["id"] for row in rows], export_id),
                )
            yield from rows
            if len(rows) < _SUBJECTS:
                return
            after = rows[-1]["id"]

    def samples(self, subject_id: str) -> Iterator[Row]:
        """Samples of somebody in the order of their ids; `embeddings` has pairs of model id and pgvector's text."""
        after = None
        while True:
            with self._database.statement() as cursor:
                cursor.execute(
                    "select id, det_score, quality, crop_key, image_sha256, created_at,"
                    " (select coalesce(jsonb_agg(jsonb_build_array(e.model_id, e.embedding::text) order by e.model_id),"
                    "   '[]') from sample_embeddings e where e.sample_id = m.id) as embeddings"
                    " from samples m where subject_id = %(subject)s and (%(after)s::uuid is null or id > %(after)s)"
                    " order by id limit %(limit)s",
                    {"subject": subject_id, "after": after, "limit": _SAMPLES},
                )
                rows = cursor.fetchall()
            yield from rows
            if len(rows) < _SAMPLES:
                return
            after = rows[-1]["id"]

    def end(self, export_id: str) -> None:
        """Note that the caller was given all of it."""
        with self._database.statement() as cursor:
            cursor.execute("update exports set ended_at = now() where id = %s", (export_id,))
