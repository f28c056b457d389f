"""The references of a gallery, read as arrays, and what tells a copy of them in memory that it is up to date.

Rows come by binary COPY: psycopg2 would make a Python string of every number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from common.errors import ConflictError, NotFoundError
from common.index.rows import BLOCK_ROWS, Rows
from common.index.shortlist import Keys
from common.store.database import Cursor

_FROM: Final = "from sample_embeddings where gallery_id = %s and model_id = %s"
_ID_BYTES: Final = 16
_HEADER_BYTES: Final = 19
_TRAILER_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class References:
    """The references of one model in one gallery: what is searched together.

    In arrays a reference has the name of its sample and the owner who is its subject, both as the 16 bytes of a UUID.
    """

    gallery_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class Revision:
    """Where a set stands.

    Attributes:
        number: counts the transactions that changed it.
        logged_since: the log holds every change after this revision.
        is_approximate: an approximate index is there, and was measured to be good enough for its gallery.
    """

    number: int
    logged_since: int
    is_approximate: bool


def begin_snapshot(cursor: Cursor, which: References) -> Revision:
    """Make the caller's transaction, which has done nothing yet, one in which every statement sees the same rows.

    Returns:
        Where the references stand in it; a gallery that never had one is at 0.
    Raises:
        NotFoundError: the gallery is gone.
        ConflictError: the gallery is searched with another model.
    """
    cursor.execute(
        "set transaction isolation level repeatable read, read only;"
        " select g.model_id, g.previous_model_id,"
        " coalesce(r.revision, 0) as revision, coalesce(r.logged_since, 0) as logged_since,"
        " exists (select 1 from approximate_indexes a where a.gallery_id = g.id and a.model_id = g.model_id"
        "  and a.state = 'ready') as is_approximate"
        " from galleries g left join embedding_revisions r on r.gallery_id = g.id and r.model_id = %s where g.id = %s",
        (which.model_id, which.gallery_id),
    )
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError("The gallery is gone.")
    # a probe embedded a moment before the switch of a re-index is answered wholly by the former rows
    if which.model_id not in (row["model_id"], row["previous_model_id"]):
        raise ConflictError(
            f"The gallery was made with model {row['model_id']}, the probes with {which.model_id}:"
            " embeddings of two models are never compared.",
            "model_mismatch",
        )
    return Revision(row["revision"], row["logged_since"], row["is_approximate"])


def read_changes(cursor: Cursor, which: References, since: int) -> Keys:
    """Samples whose reference was added, changed or removed after the revision `since`."""
    cursor.execute(
        "select distinct sample_id from embedding_changes where gallery_id = %s and model_id = %s and revision > %s",
        (which.gallery_id, which.model_id, since),
    )
    return np.array([row["sample_id"].bytes for row in cursor], "S16")


def read_size(cursor: Cursor, which: References) -> tuple[int, int]:
    """How many references there are, and their dimension (0 without any)."""
    cursor.execute(
        f"select (select count(*) {_FROM}) as n, (select vector_dims(embedding::vector) {_FROM} limit 1) as dimension",
        (which.gallery_id, which.model_id) * 2,
    )
    row = cursor.fetchone()
    return row["n"], row["dimension"] or 0


def read_all(cursor: Cursor, which: References, take: Callable[[Rows], None]) -> None:
    """Hand every reference to `take`, in parts of about a block, while they arrive."""
    _copy(cursor, _FROM, (which.gallery_id, which.model_id), take)


def read_together(cursor: Cursor, which: References, check: Callable[[], None] = lambda: None) -> Rows:
    """Every reference, in order of the samples' ids; `check` is called between parts."""
    nobody = np.zeros(0, "S16")
    parts: list[Rows] = []

    def take(rows: Rows) -> None:
        check()
        parts.append(rows)

    read_all(cursor, which, take)
    if not parts:
        return Rows(nobody, nobody, np.zeros((0, 0), np.float16))
    names = np.concatenate([part.names for part in parts])
    order = np.argsort(names)
    owners = np.concatenate([part.owners for part in parts])[order]
    return Rows(names[order], owners, np.concatenate([part.embeddings for part in parts])[order])


def read_named(cursor: Cursor, which: References, names: Keys) -> Rows:
    """Those of the named references that are there, sorted by name."""
    sample_ids = [name.ljust(_ID_BYTES, b"\0").hex() for name in np.unique(names).tolist()]
    parts: list[Rows] = []
    if sample_ids:
        values = (which.gallery_id, which.model_id, sample_ids)
        _copy(cursor, f"{_FROM} and sample_id = any(%s::uuid[])", values, parts.append)
    if not parts:
        nobody = np.zeros(0, f"S{_ID_BYTES}")
        return Rows(nobody, nobody, np.zeros((0, 0), np.float16))
    rows = Rows(
        np.concatenate([part.names for part in parts]),
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
    )
    order = np.argsort(rows.names)
    return Rows(rows.names[order], rows.owners[order], rows.embeddings[order])


def _copy(cursor: Cursor, source: str, values: tuple[Any, ...], take: Callable[[Rows], None]) -> None:
    statement = f"copy (select sample_id, subject_id, embedding {source}) to stdout (format binary)"
    parser = _CopyParser(take)
    cursor.copy_expert(cursor.mogrify(statement, values), parser)
    parser.finish()


class _CopyParser:
    """PostgreSQL's binary COPY of rows that all have the same length, as NumPy sees it."""

    def __init__(self, take: Callable[[Rows], None]) -> None:
        self._take = take
        self._received = bytearray()
        self._skip = _HEADER_BYTES
        self._layout: np.dtype[Any] | None = None

    def write(self, data: bytes) -> int:
        """Called by psycopg2 with a row or so."""
        self._received += data
        if self._layout is None:
            self._layout = self._first_row()
        elif len(self._received) - self._skip >= BLOCK_ROWS * self._layout.itemsize:
            self._hand_over(BLOCK_ROWS)
        return len(data)

    def finish(self) -> None:
        """Everything was written."""
        if self._layout is not None:
            self._hand_over((len(self._received) - self._skip - _TRAILER_BYTES) // self._layout.itemsize)
        if len(self._received) - self._skip != _TRAILER_BYTES:
            raise ValueError("embeddings of one model must have one dimension; these rows do not")

    def _first_row(self) -> np.dtype[Any] | None:
        start = self._skip + 2 + 2 * (4 + _ID_BYTES)
        if len(self._received) < start + 4:
            return None
        dimension = (int.from_bytes(self._received[start : start + 4], "big") - 4) // 2
        return np.dtype(
            [
                ("fields", ">i2"),
                ("name_bytes", ">i4"),
                ("name", f"S{_ID_BYTES}"),
                ("owner_bytes", ">i4"),
                ("owner", f"S{_ID_BYTES}"),
                ("embedding_bytes", ">i4"),
                ("dimension", ">i2"),
                ("unused", ">i2"),
                ("embedding", ">f2", (dimension,)),
            ]
        )

    def _hand_over(self, count: int) -> None:
        layout = self._layout
        if layout is None or not count:
            return
        rows = np.frombuffer(bytes(self._received[self._skip : self._skip + count * layout.itemsize]), layout)
        del self._received[: self._skip + count * layout.itemsize]
        self._skip = 0
        if (rows["dimension"] != layout["embedding"].shape[0]).any() or (rows["fields"] != 3).any():
            raise ValueError("embeddings of one model must have one dimension; these rows do not")
        self._take(Rows(rows["name"].copy(), rows["owner"].copy(), rows["embedding"].astype(np.float16)))
