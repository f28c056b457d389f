"""Exact search of a gallery: every reference counts, nobody is missed by an index.

An index in memory (or, without one, the database) names the rows that can decide the answer; the similarities that
are reported are computed from the stored rows, so both ways give the same answer. Only where a gallery asked for it
does an approximate index name them: somebody may be missed then, and what is reported is still exact.
"""

import uuid
from collections.abc import Callable

import numpy as np

from common.index.quantize import unit_rows
from common.index.ranking import best_owners, exact_similarities
from common.index.shortlist import Keys, Listed
from common.store.database import Cursor, Database, vector_literal
from common.store.embeddings import References, read_named
from common.store.nearest import ask_index
from common.store.shelf import IndexShelf, Opened
from common.types import Candidate, Float32s

#: More than PostgreSQL's float32 sums can be off.
_SQL_SLACK = 1e-4

#: Rows a probe that are read at once; of more, the most promising ones first, which rule out most of the others.
_READ_AT_ONCE = 24


class GallerySearch:
    """See the module.

    Args:
        database: where the galleries are.
        index_bytes: memory for indexes; 0: none, the database is asked.
    """

    def __init__(self, database: Database, *, index_bytes: int = 0) -> None:
        self._shelf = IndexShelf(database, max_bytes=index_bytes)

    def candidates(
        self, gallery_id: str, model_id: str, probes: Float32s, *, limit: int
    ) -> list[tuple[Candidate, ...]]:
        """The subjects closest to each probe; a subject is as close as the closest of its references.

        What was committed before the call is found, and what was removed is not.

        Args:
            probes: (n, dim) float32, unit length, of `model_id`; compared as they would be stored, in half precision.
            limit: subjects per probe.

        Returns:
            For each probe its candidates, best first; equal similarities in the order of subject ids.
        Raises:
            NotFoundError: the gallery is gone.
            ConflictError: the gallery was made with another model.
        """
        references = References(gallery_id, model_id)
        stored = np.asarray(probes, np.float16).astype(np.float32)
        with self._shelf.open(references) as opened:
            listed = ask_index(opened.cursor, references, stored, limit) if opened.is_approximate else None
            if listed is None:
                listed = _list_exactly(opened, references, stored, limit)
            numbers, owners, similarities = _decide(opened.cursor, references, stored, listed, limit)
        found: list[list[Candidate]] = [[] for _ in probes]
        for number, owner, similarity in zip(numbers.tolist(), owners.tolist(), similarities.tolist(), strict=True):
            found[number].append(Candidate(str(uuid.UUID(bytes=owner.ljust(16, b"\0"))), similarity))
        return [tuple(candidates) for candidates in found]

    def count_found(
        self, gallery_id: str, model_id: str, names: Keys, make_probes: Callable[[Float32s], Float32s]
    ) -> tuple[int, int]:
        """Try an approximate index, used already or not.

        Args:
            names: of the references to make probes of.
            make_probes: (n, dim) float32, as stored, to as many probes.

        Returns:
            How many probes there were, and for how many the index names a reference as close as the closest one.
        Raises as `candidates`.
        """
        references = References(gallery_id, model_id)
        with self._shelf.open(references, is_exact=True) as opened:
            rows = read_named(opened.cursor, references, names)
            if not len(rows):
                return 0, 0
            probes = np.asarray(make_probes(rows.embeddings.astype(np.float32)), np.float16).astype(np.float32)
            exact = _list_exactly(opened, references, probes, 1)
            _, _, best = _decide(opened.cursor, references, probes, exact, 1)
            found = np.full(len(probes), -np.inf)
            listed = ask_index(opened.cursor, references, probes, 1)
            if listed is not None:
                numbers, _, similarities = _decide(opened.cursor, references, probes, listed, 1)
                found[numbers] = similarities
        return len(probes), int(np.count_nonzero(found >= best))

    def nbytes(self) -> int:
        """Memory taken by indexes."""
        return self._shelf.nbytes()

    def indexed(self) -> list[tuple[str, str]]:
        """(gallery id, model id) of every index in memory, the one used longest ago first."""
        return self._shelf.indexed()


def _list_exactly(opened: Opened, references: References, probes: Float32s, limit: int) -> Listed:
    if opened.index is None:
        return _ask_rows(opened.cursor, references, probes, limit)
    return opened.index.scan(unit_rows(probes), limit=limit)


def _decide(
    cursor: Cursor, references: References, probes: Float32s, listed: Listed, limit: int
) -> tuple[np.ndarray, Keys, np.ndarray]:
    """Read the listed rows and compare them exactly; see `best_owners`."""
    if len(listed) <= _READ_AT_ONCE * len(probes):
        return best_owners(*_compare(cursor, references, probes, listed), limit=limit)
    order = np.lexsort((-listed.upper, listed.probes))
    rank = np.empty(len(listed), np.int64)
    rank[order] = np.arange(len(listed)) - np.searchsorted(listed.probes[order], listed.probes[order])
    promising = rank < 2 * limit
    first = _compare(cursor, references, probes, listed.pick(promising))
    numbers, _, similarities = best_owners(*first, limit=limit)
    floor = np.full(len(probes), -np.inf)
    complete = np.flatnonzero(np.bincount(numbers, minlength=len(probes)) >= limit)
    floor[complete] = similarities[np.searchsorted(numbers, complete, side="right") - 1]
    rest = listed.pick(~promising & (listed.upper >= floor[listed.probes]))
    second = _compare(cursor, references, probes, rest)
    return best_owners(*(np.concatenate(parts) for parts in zip(first, second, strict=True)), limit=limit)


def _compare(
    cursor: Cursor, references: References, probes: Float32s, listed: Listed
) -> tuple[np.ndarray, Keys, np.ndarray]:
    rows = read_named(cursor, references, listed.rows)
    if not len(rows):
        return np.zeros(0, np.int64), rows.owners, np.zeros(0)
    places = np.minimum(np.searchsorted(rows.names, listed.rows), len(rows) - 1)
    found = rows.names[places] == listed.rows
    places, numbers = places[found], listed.probes[found]
    return numbers, rows.owners[places], exact_similarities(rows.embeddings[places], probes[numbers])


def _ask_rows(cursor: Cursor, references: References, probes: Float32s, limit: int) -> Listed:
    """What an index would list, by comparing every row in the database: the reference, and the way without memory."""
    cursor.execute("set local work_mem = '64MB'")
    cursor.execute(
        "with p as materialized (select probe, text::halfvec as embedding"  # else parsed again for every row
        "  from unnest(%(probes)s::text[]) with ordinality as given (text, probe))"
        " select probe, near.sample_id from p cross join lateral ("
        "  with compared as materialized ("
        "   select sample_id, subject_id,"
        "    coalesce(nullif(1 - (e.embedding <=> p.embedding), 'NaN'), 0) as cosine"
        "   from sample_embeddings e where gallery_id = %(gallery)s and model_id = %(model)s),"
        "  subject as materialized (select subject_id, max(cosine) as best from compared group by subject_id),"
        "  bar as (select min(best) as cosine from"
        "   (select best from subject order by best desc limit %(limit)s) as top)"
        "  select sample_id from compared join subject using (subject_id), bar"
        "  where compared.cosine >= best - %(slack)s and best >= bar.cosine - %(slack)s) as near",
        {
            "probes": [vector_literal(probe) for probe in probes],
            "gallery": references.gallery_id,
            "model": references.model_id,
            "limit": limit,
            "slack": _SQL_SLACK,
        },
    )
    rows = cursor.fetchall()
    numbers = np.array([row["probe"] - 1 for row in rows], np.int64)
    names = np.array([uuid.UUID(str(row["sample_id"])).bytes for row in rows], "S16")
    return Listed(numbers, names, np.full(len(rows), np.inf, np.float32))
