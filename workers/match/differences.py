"""Who would be matched differently by another model: answers of two indexes of one gallery, side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Float32s, Int32s, Int64s

#: Similarities held at a time, and references compared at a time.
_BLOCK_BYTES: Final = 64 << 20
_BLOCK_ROWS: Final = 16_384
#: Rows of nobody: no subject is close enough, or clearly enough ahead.
UNKNOWN: Final = -1

Embeddings = Float32s | npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """One index of a gallery.

    Attributes:
        embeddings: (rows, dim) float16 or float32, unit length, rows of a subject together.
        subject: (rows,) int32, ascending numbers of the subjects from 0, each of them used.
    """

    embeddings: Embeddings
    subject: Int32s


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The decision for each probe.

    Attributes:
        subject: (probes,) int32, or `UNKNOWN`.
        similarity: (probes,) float32 of the closest subject, also when it was refused; -inf without any.
    """

    subject: Int32s
    similarity: Float32s


def answer(
    references: References,
    probes: Embeddings,
    *,
    min_similarity: float,
    min_margin: float,
    own_rows: Int64s | None = None,
    check: Callable[[], None],
) -> Answers:
    """Decide whom each probe shows, as a search with these bounds does.

    Args:
        references: who is known.
        probes: (probes, dim) float16 or float32, unit length.
        min_similarity: cosine of the closest subject, inclusive.
        min_margin: its lead over the next subject, inclusive.
        own_rows: (probes,) the row of `references` that each probe is itself, and is not compared with.
        check: called between blocks; raises to stop.
    """
    count = len(probes)
    subject = np.full(count, UNKNOWN, np.int32)
    similarity = np.full(count, -np.inf, np.float32)
    if not len(references.embeddings):
        return Answers(subject, similarity)
    subjects = int(references.subject[-1]) + 1
    step = max(1, _BLOCK_BYTES // (4 * max(subjects, _BLOCK_ROWS)))
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        own = None if own_rows is None else own_rows[block]
        by_subject = _by_subject(references, probes[block].astype(np.float32), own, subjects, check)
        rows = np.arange(len(by_subject))
        best = by_subject.argmax(axis=1)
        closest = by_subject[rows, best]
        by_subject[rows, best] = -np.inf
        second = by_subject.max(axis=1)
        is_clear = np.isneginf(second)  # there is no second subject
        is_clear[~is_clear] = closest[~is_clear] - second[~is_clear] >= min_margin
        is_match = (closest >= min_similarity) & is_clear
        subject[block] = np.where(is_match, best, UNKNOWN)
        similarity[block] = closest
    return Answers(subject, similarity)


def _by_subject(
    references: References, probes: Float32s, own_rows: Int64s | None, subjects: int, check: Callable[[], None]
) -> Float32s:
    """(probes, subjects) float32: similarity of the closest reference of each subject, -inf where there is none."""
    found = np.full((len(probes), subjects), -np.inf, np.float32)
    for start in range(0, len(references.subject), _BLOCK_ROWS):
        check()
        block = slice(start, start + _BLOCK_ROWS)
        similarities = probes @ references.embeddings[block].astype(np.float32).T
        if own_rows is not None:
            mine = np.flatnonzero((own_rows >= start) & (own_rows < start + similarities.shape[1]))
            similarities[mine, own_rows[mine] - start] = -np.inf
        subject = references.subject[block]
        starts = np.flatnonzero(np.diff(subject, prepend=-1))
        there = subject[starts]
        found[:, there] = np.maximum(found[:, there], np.maximum.reduceat(similarities, starts, axis=1))
    return found


def choose_probes(rows: int, most: int) -> Int64s:
    """(≤ most,) int64: all rows, or so many spread evenly over them."""
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    return np.linspace(0, rows - 1, most).astype(np.int64)
