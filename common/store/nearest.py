"""Rows close to probes as an approximate index names them; see `common.store.approximate`."""

from typing import Final

import numpy as np

from common.index.shortlist import Listed
from common.store.database import Cursor, vector_literal
from common.store.embeddings import References
from common.store.paging import Row
from common.types import Float32s

#: More than PostgreSQL's float32 sums can be off.
_SLACK: Final = 1e-4

#: Candidates that a search of the index follows, at least and at most: more find more, and take longer.
_CANDIDATES: Final = 200
_MAX_CANDIDATES: Final = 1000
#: Rows asked for each probe: at least, and for each wanted subject, which may have several references.
_ROWS: Final = 40
_ROWS_PER_SUBJECT: Final = 4
#: When these belong to too few subjects, so many times as many once more.
_MORE: Final = 8


def ask_index(cursor: Cursor, which: References, probes: Float32s, limit: int) -> Listed | None:
    """The rows closest to each probe as the index of these references names them; some may be missed.

    Returns:
        What `_decide` of a search needs; None when they belong to fewer than `limit` subjects for some probe.
    """
    rows = max(_ROWS, _ROWS_PER_SUBJECT * limit)
    for wanted in (rows, _MORE * rows):
        found = _nearest(cursor, which, probes, wanted)
        subjects = {(row["probe"], row["subject_id"]) for row in found}
        if (np.bincount([probe - 1 for probe, _ in subjects], minlength=len(probes)) >= limit).all():
            return Listed(
                np.array([row["probe"] - 1 for row in found], np.int64),
                np.array([row["sample_id"].bytes for row in found], "S16"),
                np.array([1 - row["distance"] + _SLACK for row in found], np.float32),
            )
    return None


def _nearest(cursor: Cursor, which: References, probes: Float32s, rows: int) -> list[Row]:
    candidates = min(max(_CANDIDATES, rows), _MAX_CANDIDATES)
    cursor.execute(
        "set local enable_sort = off;"  # else the planner may sort all rows of a gallery that it takes for small
        " set local hnsw.iterative_scan = 'strict_order'; set local hnsw.ef_search = %s",
        (candidates,),
    )
    cursor.execute(
        "with p as materialized (select probe, text::halfvec(%(dimension)s) as embedding"
        "  from unnest(%(probes)s::text[]) with ordinality as given (text, probe))"
        " select probe, near.* from p cross join lateral ("
        "  select sample_id, subject_id, e.embedding::halfvec(%(dimension)s) <=> p.embedding as distance"
        "  from sample_embeddings e where gallery_id = %(gallery)s and model_id = %(model)s"
        "  order by e.embedding::halfvec(%(dimension)s) <=> p.embedding limit %(rows)s) as near",
        {
            "dimension": probes.shape[1],
            "probes": [vector_literal(probe) for probe in probes],
            "gallery": which.gallery_id,
            "model": which.model_id,
            "rows": rows,
        },
    )
    found: list[Row] = cursor.fetchall()
    cursor.execute("set local enable_sort = on")
    return found
