"""Photographs under names that their owners choose: `thomas_1`, `thomas_2` of the subject `thomas`.

A photograph is a sample like any other. Which sample a name stands for is in the subject's metadata, so that a newer
photograph of the same name can take its place:

    {"photos": {"thomas_1": {"sample_id": "…", "file_sha256": "…"}}}

`file_sha256` is of the file in a watched folder that was taken up last under this name; null when none was.
"""

import uuid
from typing import Any

import psycopg2.extras

from common.errors import NotFoundError
from common.store.database import Cursor, Database
from common.store.galleries import NewSample, add_samples, find_gallery
from common.store.paging import Row


class Photos:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_or_make_subject(self, gallery: str, person: str) -> str:
        """Id of the subject whose external id is `person`; a new one has that as its name too, and no samples.

        Raises:
            NotFoundError: no such gallery.
        """
        with self._database.transaction() as cursor:
            gallery_id = find_gallery(cursor, gallery)["id"]
            cursor.execute(
                "insert into subjects (id, gallery_id, name, external_id) values (%s, %s, %s, %s)"
                " on conflict (gallery_id, external_id) do nothing",
                (str(uuid.uuid4()), gallery_id, person, person),
            )
            row = _find_subject(cursor, gallery_id, person)
            if row is None:
                raise NotFoundError(f"{person!r} was erased at this moment; send the picture again.")
            return str(row["id"])

    def file_sha256(self, gallery: str, person: str, photo: str) -> str | None:
        """SHA-256 of the file taken up last under a name; None for none.

        Raises:
            NotFoundError: no such gallery.
        """
        with self._database.transaction() as cursor:
            row = _find_subject(cursor, find_gallery(cursor, gallery)["id"], person)
        return None if row is None else _named(row["metadata"]).get(photo, {}).get("file_sha256")

    def put(
        self,
        gallery: str,
        subject_id: str,
        model_id: str,
        photo: str,
        sample: NewSample,
        *,
        file_sha256: str | None = None,
    ) -> tuple[bool, list[str]]:
        """Store a sample under a name; the one that had the name is removed.

        Args:
            file_sha256: of the file in the watched folder that this is; None: what is known of it stays.

        Returns:
            Whether the sample was stored (not when the subject has the same image already, which then gets this name
            too), and keys of crops that nobody refers to any more, which the caller deletes.
        Raises:
            NotFoundError: gallery or subject are gone.
            ConflictError: the gallery has another model.
        """
        with self._database.transaction() as cursor:
            cursor.execute("select metadata from subjects where id = %s for no key update", (subject_id,))
            row = cursor.fetchone()
            if row is None:
                raise NotFoundError("The person was erased at this moment; send the picture again.")
            stored = add_samples(cursor, gallery, subject_id, model_id, [sample])
            sample_id = sample.sample_id if stored else _sample_of_image(cursor, subject_id, sample.image_sha256)
            named = _named(row["metadata"])
            before = named.get(photo, {})
            named[photo] = {"sample_id": sample_id, "file_sha256": file_sha256 or before.get("file_sha256")}
            cursor.execute(
                "update subjects set metadata = %s where id = %s",
                (psycopg2.extras.Json({**row["metadata"], "photos": named}), subject_id),
            )
            in_use = {one["sample_id"] for one in named.values()}
            replaced = before.get("sample_id")
            removed = [] if replaced is None or replaced in in_use else _remove(cursor, subject_id, replaced)
            return bool(stored), removed


def _find_subject(cursor: Cursor, gallery_id: str, person: str) -> Row | None:
    cursor.execute("select id, metadata from subjects where gallery_id = %s and external_id = %s", (gallery_id, person))
    row: Row | None = cursor.fetchone()
    return row


def _named(metadata: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """What is in metadata, which anybody may have changed by hand: anything odd counts as absent."""
    photos = metadata.get("photos")
    if not isinstance(photos, dict):
        return {}
    return {
        name: {"sample_id": one["sample_id"], "file_sha256": one.get("file_sha256")}
        for name, one in photos.items()
        if isinstance(one, dict) and isinstance(one.get("sample_id"), str)
    }


def _sample_of_image(cursor: Cursor, subject_id: str, image_sha256: str | None) -> str:
    cursor.execute("select id from samples where subject_id = %s and image_sha256 = %s", (subject_id, image_sha256))
    return str(cursor.fetchone()["id"])


def _remove(cursor: Cursor, subject_id: str, sample_id: str) -> list[str]:
    cursor.execute(
        "delete from samples where id::text = %s and subject_id = %s returning crop_key", (sample_id, subject_id)
    )
    return [str(row["crop_key"]) for row in cursor.fetchall()]
