"""Indexes in memory, one for each gallery and model, brought up to date with the rows by every search that uses one.

The rows are the truth: an index is made from them, checked against their revision in the snapshot of the search, and
thrown away when there is no room. Whoever gets no index asks the rows.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from common.errors import FacepipeError
from common.index.products import trim_memory
from common.index.rows import RowIndex, Rows
from common.store.database import Cursor, Database
from common.store.embeddings import (
    References,
    Revision,
    begin_snapshot,
    read_all,
    read_changes,
    read_named,
    read_size,
)

log = logging.getLogger("facepipe.search")

#: Rows that are read while the search waits (a fraction of a second); beyond, another thread reads them.
_READ_AT_ONCE: Final = 20_000
_NAMES_BYTES: Final = 40


class _Entry:
    """An index with its revision; `lock` is held to change them, never while searching."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index: RowIndex | None = None
        self.revision = -1
        self.is_being_built = False
        self.has_no_room_at = -1

    def put(self, index: RowIndex, revision: int) -> None:
        self.index, self.revision = index, revision


@dataclass(frozen=True, slots=True)
class Opened:
    """What a search works with.

    Attributes:
        cursor: a snapshot of the database.
        index: holds exactly the rows of it; None when there is none.
        is_approximate: the database has an approximate index that is to be used.
    """

    cursor: Cursor
    index: RowIndex | None
    is_approximate: bool


class IndexShelf:
    """See the module.

    Args:
        database: where the rows are.
        max_bytes: memory of all indexes together; those used longest ago go first. 0: no index at all.
    """

    def __init__(self, database: Database, *, max_bytes: int) -> None:
        self._database = database
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[References, _Entry] = OrderedDict()

    @contextmanager
    def open(self, which: References, *, is_exact: bool = False) -> Iterator[Opened]:
        """A snapshot of the database, and what there is to search it with.

        Args:
            is_exact: leave an approximate index aside.

        Raises as `begin_snapshot`.
        """
        with ExitStack() as stack:
            entry = self._entry(which)
            with entry.lock:  # before the snapshot, which is therefore never older than the index
                cursor = stack.enter_context(self._database.transaction())
                try:
                    now = begin_snapshot(cursor, which)
                except FacepipeError:
                    self._forget(which)
                    raise
                is_approximate = now.is_approximate and not is_exact
                if is_approximate:
                    entry.index = None
                is_kept = self._max_bytes and not is_approximate
                index = self._catch_up(which, entry, cursor, now) if is_kept else None
            yield Opened(cursor, index, is_approximate)

    def nbytes(self) -> int:
        """Memory taken by all indexes."""
        with self._lock:
            return sum(self._sizes().values())

    def indexed(self) -> list[tuple[str, str]]:
        """(gallery id, model id) of every index, the one used longest ago first."""
        with self._lock:
            return [(which.gallery_id, which.model_id) for which in self._sizes()]

    def _sizes(self) -> dict[References, int]:
        indexes = ((which, entry.index) for which, entry in self._entries.items())
        return {which: index.nbytes for which, index in indexes if index is not None}

    def _entry(self, which: References) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(which, _Entry())
            self._entries.move_to_end(which)
            return entry

    def _catch_up(self, which: References, entry: _Entry, cursor: Cursor, now: Revision) -> RowIndex | None:
        index = entry.index
        if index is not None and entry.revision == now.number:
            return index
        if index is not None and now.logged_since <= entry.revision < now.number and not index.is_worn:
            names = read_changes(cursor, which, entry.revision)
            entry.put(index.without(names).with_rows(read_named(cursor, which, names)), now.number)
            self._make_room(which, entry)
            return entry.index
        entry.index = None
        return self._begin(which, entry, cursor, now)

    def _begin(self, which: References, entry: _Entry, cursor: Cursor, now: Revision) -> RowIndex | None:
        """An index of few rows; of many rows none yet, and a thread that makes one."""
        if entry.is_being_built or entry.has_no_room_at == now.number:
            return None
        rows, dimension = read_size(cursor, which)
        if rows * (dimension + _NAMES_BYTES) > self._max_bytes:
            entry.has_no_room_at = now.number
            log.info("no room for an index of %d rows: searching them takes longer", rows)
            return None
        if rows <= _READ_AT_ONCE:
            entry.put(_read(cursor, which), now.number)
            self._make_room(which, entry)
            self._forget_what_is_gone(cursor)
            return entry.index
        entry.is_being_built = True
        threading.Thread(target=self._build, args=(which, entry), name="facepipe-index", daemon=True).start()
        return None

    def _build(self, which: References, entry: _Entry) -> None:
        try:
            with self._database.transaction() as cursor:
                revision = begin_snapshot(cursor, which).number
                index = _read(cursor, which)
                self._forget_what_is_gone(cursor)
            with entry.lock:
                entry.put(index, revision)
                self._make_room(which, entry)
        except FacepipeError as error:
            log.info("an index was not built: %s", error)
        except Exception:
            log.exception("an index could not be built; searches go on without it")
        finally:
            entry.is_being_built = False
            trim_memory()

    def _forget(self, which: References) -> None:
        with self._lock:
            self._entries.pop(which, None)

    def _make_room(self, which: References, entry: _Entry) -> None:
        with self._lock:
            sizes = self._sizes()
            for one in list(self._entries):
                if sum(sizes.values()) <= self._max_bytes:
                    return
                if one != which and one in sizes:
                    self._entries[one].index = None
                    del sizes[one]
            if sum(sizes.values()) > self._max_bytes:
                entry.index, entry.has_no_room_at = None, entry.revision

    def _forget_what_is_gone(self, cursor: Cursor) -> None:
        """Drop indexes of galleries that were deleted, which nobody would ever search again."""
        cursor.execute("select gallery_id::text as gallery_id, model_id from embedding_revisions")
        there = {References(row["gallery_id"], row["model_id"]) for row in cursor.fetchall()}
        with self._lock:
            for which in [which for which, entry in self._entries.items() if which not in there and entry.index]:
                del self._entries[which]


def _read(cursor: Cursor, which: References) -> RowIndex:
    index = RowIndex.build(())

    def take(rows: Rows) -> None:
        nonlocal index
        index = index.with_rows(rows)

    read_all(cursor, which, take)
    return index
