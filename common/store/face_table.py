"""A gallery kept like the face table of two predecessors: whoever enrols somebody chooses the id, and strangers get ids
that count up.

Writers of such a gallery take turns, by the lock of its row: so numbers are given once, and a stranger who is met by
two requests at a time becomes one person.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import psycopg2.extras

from common.errors import ConflictError, NotFoundError
from common.store import audit
from common.store.database import Cursor, Database, vector_literal
from common.store.galleries import Galleries, NewSample, NewSubject, add_samples, add_subject, find_gallery
from common.store.paging import Row

UNKNOWN: Final = "unknown_person_"

#: As much as the columns of `subjects` take.
_LONGEST: Final = 200

MakeSample = Callable[[str], NewSample]
"""Stores the crop of a face for the subject with this id, and gives the sample that is to have it."""


@dataclass(frozen=True, slots=True)
class FaceRow:
    """Somebody in the table, in its own columns. `name`, `metadata` and `action` are free text of any length."""

    sample_id: str
    name: str
    metadata: str
    action: str

    @classmethod
    def unknown(cls, number: int) -> Self:
        """A stranger."""
        name = f"{UNKNOWN}{number}"
        return cls(name, name, name, "embedlink")

    @classmethod
    def from_subject(cls, row: Row) -> Self:
        """Inverse of `to_subject`; also of subjects that were enrolled by other means."""
        kept: Mapping[str, Any] = row["metadata"]
        return cls(
            sample_id=row["external_id"] or str(row["id"]),
            name=_text(kept.get("name", row["name"])),
            metadata=_text(kept.get("metadata", "")),
            action=_text(kept.get("action", "")),
        )

    def to_subject(self, subject_id: str) -> NewSubject:
        """The subject that keeps it; a name that cannot be a subject's is kept beside one that can."""
        name = self.name[:_LONGEST] or self.sample_id
        kept = {"metadata": self.metadata, "action": self.action}
        return NewSubject(subject_id, name, self.sample_id, kept if name == self.name else {**kept, "name": self.name})

    def is_storable(self) -> bool:
        """Whether the database takes the id in this length, and all texts."""
        texts = (self.sample_id, self.name, self.metadata, self.action)
        return 0 < len(self.sample_id) <= _LONGEST and all(map(is_storable, texts))


@dataclass(frozen=True, slots=True)
class Stranger:
    """A face that is nobody's so far.

    Attributes:
        embedding: (dim,) unit length.
        make_sample: see `MakeSample`; called once if the face is enrolled.
    """

    embedding: Sequence[float]
    make_sample: MakeSample


@dataclass(frozen=True, slots=True)
class Stand:
    """How the table stood at some time.

    Attributes:
        gallery: its row.
        revision: of the references in it.
    """

    gallery: Row
    revision: int


class FaceTable:
    """See the module.

    Args:
        gallery: its name; it is made when it is first used.
        model_id: embedding model of the gallery that is made.
    """

    def __init__(self, database: Database, gallery: str, model_id: str) -> None:
        self.name = gallery
        self._database = database
        self._galleries = Galleries(database)
        self._model_id = model_id

    def open(self) -> Row:
        """The row of the gallery."""
        try:
            return self._read()
        except NotFoundError:
            with suppress(ConflictError):  # another request was faster
                self._galleries.create(str(uuid.uuid4()), self.name, self._model_id, None)
            return self._read()

    def is_empty(self, gallery: Row) -> bool:
        """Whether there is nobody in it."""
        with self._database.statement() as cursor:
            cursor.execute("select 1 from subjects where gallery_id = %s limit 1", (gallery["id"],))
            return cursor.fetchone() is None

    def rows(self, subject_ids: Sequence[str]) -> dict[str, FaceRow]:
        """Subject id to row of those who are still there, first come first."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select id, name, external_id, metadata from subjects s where id = any(%s::uuid[])"
                " order by (select min(created_at) from samples where subject_id = s.id), created_at, id",
                (list(subject_ids),),
            )
            return {str(row["id"]): FaceRow.from_subject(row) for row in cursor.fetchall()}

    def stand(self) -> Stand:
        """How the table stands; taken before it is searched, it tells `meet` what the search saw at least."""
        gallery = self.open()
        with self._database.statement() as cursor:
            cursor.execute(
                "select revision from embedding_revisions where gallery_id = %s and model_id = %s",
                (gallery["id"], gallery["model_id"]),
            )
            row = cursor.fetchone()
            return Stand(gallery, 0 if row is None else int(row["revision"]))

    def append(self, model_id: str, row: FaceRow, make_sample: MakeSample) -> list[str]:
        """Add a face: to who has its id already, whose other columns stay as they are, or to somebody new.

        Returns:
            Keys of the crops that nobody needs any more.
        Raises:
            ConflictError: the gallery has another model.
        """
        return self._put(model_id, row, make_sample, replaces=False)

    def replace(self, model_id: str, row: FaceRow, make_sample: MakeSample) -> list[str]:
        """The same, in place of all faces and columns that the id had."""
        return self._put(model_id, row, make_sample, replaces=True)

    def rename(self, sample_id: str, name: str, metadata: str) -> bool:
        """Set two columns of somebody; whether there is anybody with that id."""
        with self._database.transaction() as cursor:
            find_gallery(cursor, self.name, lock=True)
            found = self._find(cursor, sample_id)
            if found is None:
                return False
            row = FaceRow.from_subject(found)
            _update(cursor, FaceRow(sample_id, name, metadata, row.action).to_subject(str(found["id"])))
            audit.record(cursor, subject_ids=[str(found["id"])])
            return True

    def clear(self) -> list[str]:
        """Erase everybody; returns the prefixes of the crops, which the caller deletes."""
        with self._database.transaction() as cursor:
            gallery = find_gallery(cursor, self.name, lock=True)
            cursor.execute("delete from subjects where gallery_id = %s returning id", (gallery["id"],))
            subject_ids = [str(row["id"]) for row in cursor.fetchall()]
            audit.record(cursor, subject_ids=subject_ids, counts={"subjects": len(subject_ids)})
            return [f"galleries/{gallery['id']}/{subject_id}" for subject_id in subject_ids]

    def meet(self, searched: Stand, strangers: Sequence[Stranger], *, bound: float) -> list[FaceRow]:
        """Who each of these faces is: somebody who came into the table after it was searched, or a new stranger.

        Args:
            searched: the table before the search that did not find them.
            bound: a face is somebody's if its cosine to one of theirs is larger than this.

        Raises:
            ConflictError: the gallery was made anew, or has another model by now.
        """
        with self._database.transaction() as cursor:
            gallery = find_gallery(cursor, self.name, lock=True)
            if any(gallery[column] != searched.gallery[column] for column in ("id", "model_id")):
                raise ConflictError(f"The gallery {self.name!r} was changed meanwhile; send the picture again.")
            return [self._meet(cursor, searched, stranger, bound) for stranger in strangers]

    def _read(self) -> Row:
        with self._database.transaction() as cursor:
            return find_gallery(cursor, self.name)

    def _meet(self, cursor: Cursor, searched: Stand, stranger: Stranger, bound: float) -> FaceRow:
        newcomer = _closest_since(cursor, searched, stranger.embedding)
        if newcomer is not None and newcomer["similarity"] > bound:
            return FaceRow.from_subject(newcomer)
        row = FaceRow.unknown(_next_number(cursor, searched.gallery))
        subject_id = str(uuid.uuid4())
        sample = stranger.make_sample(subject_id)
        add_subject(cursor, self.name, searched.gallery["model_id"], row.to_subject(subject_id), [sample])
        return row

    def _put(self, model_id: str, row: FaceRow, make_sample: MakeSample, *, replaces: bool) -> list[str]:
        with self._database.transaction() as cursor:
            find_gallery(cursor, self.name, lock=True)
            found = self._find(cursor, row.sample_id)
            subject_id = str(uuid.uuid4()) if found is None else str(found["id"])
            sample = make_sample(subject_id)
            if found is None:
                add_subject(cursor, self.name, model_id, row.to_subject(subject_id), [sample])
                return []
            unneeded: list[str] = []
            if replaces:
                cursor.execute("delete from samples where subject_id = %s returning crop_key", (subject_id,))
                unneeded = [str(gone["crop_key"]) for gone in cursor.fetchall()]
                _update(cursor, row.to_subject(subject_id))
            if not add_samples(cursor, self.name, subject_id, model_id, [sample]):
                unneeded.append(sample.crop_key)
            return unneeded

    def _find(self, cursor: Cursor, sample_id: str) -> Row | None:
        cursor.execute(
            "select s.id, s.name, s.external_id, s.metadata from subjects s join galleries g on g.id = s.gallery_id"
            " where g.name = %s and s.external_id = %s",
            (self.name, sample_id),
        )
        found: Row | None = cursor.fetchone()
        return found


def is_storable(text: str) -> bool:
    """Whether PostgreSQL takes a text: it has no NUL, and no half of a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _update(cursor: Cursor, subject: NewSubject) -> None:
    cursor.execute(
        "update subjects set name = %s, metadata = %s where id = %s",
        (subject.name, psycopg2.extras.Json(dict(subject.metadata)), subject.subject_id),
    )


def _next_number(cursor: Cursor, gallery: Row) -> int:
    cursor.execute(
        "select coalesce(max(substring(external_id from '^unknown_person_([0-9]{1,100})$')::numeric), 0) + 1 as number"
        " from subjects where gallery_id = %s and external_id like 'unknown\\_person\\_%%'",
        (gallery["id"],),
    )
    return int(cursor.fetchone()["number"])


def _closest_since(cursor: Cursor, searched: Stand, embedding: Sequence[float]) -> Row | None:
    """The subject whose reference is closest, of the references that changed since."""
    cursor.execute(
        "select s.id, s.name, s.external_id, s.metadata, 1 - (e.embedding <=> %(probe)s::halfvec) as similarity"
        " from embedding_revisions r"
        " join sample_embeddings e on e.gallery_id = r.gallery_id and e.model_id = r.model_id"
        " join subjects s on s.id = e.subject_id"
        " where r.gallery_id = %(gallery)s and r.model_id = %(model)s and r.revision > %(since)s"
        " and (r.logged_since > %(since)s or e.sample_id in (select c.sample_id from embedding_changes c"
        "  where c.gallery_id = r.gallery_id and c.model_id = r.model_id and c.revision > %(since)s))"
        " order by similarity desc, s.created_at, s.id limit 1",
        {
            "probe": vector_literal(np.asarray(embedding, np.float32)),
            "gallery": searched.gallery["id"],
            "model": searched.gallery["model_id"],
            "since": searched.revision,
        },
    )
    found: Row | None = cursor.fetchone()
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
