"""Who in a gallery may be taken for whom: for every sample, who else is closest, and how close its own subject is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.types import Float32s, Int32s, Int64s

_BLOCK: Final = 512
_COLUMNS: Final = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """What is closest to each of some samples.

    Attributes:
        own: (n,) float32, similarity to the closest other sample of its subject; -2 where there is none.
        other: (n,) float32, similarity to the closest sample of another subject; -2 where there is none.
        other_sample: (n,) int64, which that is; of equals the first.
    """

    own: Float32s
    other: Float32s
    other_sample: Int64s


def find_nearest(
    embeddings: Float32s, subjects: Int32s, *, start: int, stop: int, check: Callable[[], None]
) -> Nearest:
    """Compare the samples `start` to `stop` with all others.

    Args:
        embeddings: (samples, dim) float32, unit length.
        subjects: (samples,) int32, whose each is.
        check: called between blocks; raises when the work is no longer wanted.
    """
    count = max(0, min(stop, len(embeddings)) - start)
    own = np.full(count, -2, np.float32)
    other = np.full(count, -2, np.float32)
    other_sample = np.full(count, -1, np.int64)
    for top in range(start, start + count, _BLOCK):
        rows = slice(top, min(top + _BLOCK, start + count))
        mine = slice(rows.start - start, rows.stop - start)
        for left in range(0, len(embeddings), _COLUMNS):
            check()
            columns = slice(left, left + _COLUMNS)
            similarities = embeddings[rows] @ embeddings[columns].T
            is_own = subjects[rows][:, None] == subjects[columns][None]
            others = np.where(is_own, np.float32(-2), similarities)
            closest = others.argmax(axis=1)
            values = others[np.arange(len(others)), closest]
            better = values > other[mine]
            other[mine] = np.where(better, values, other[mine])
            other_sample[mine] = np.where(better, closest + left, other_sample[mine])
            places = np.arange(rows.start, rows.stop)
            here = (places >= left) & (places < left + similarities.shape[1])
            is_own[np.flatnonzero(here), places[here] - left] = False  # a sample is not its own neighbour
            own[mine] = np.maximum(own[mine], np.where(is_own, similarities, np.float32(-2)).max(axis=1))
    return Nearest(own, other, other_sample)


def look_alikes(nearest: Nearest, subjects: Int32s, *, start: int, limit: int) -> list[tuple[int, int, float]]:
    """Pairs of subjects by the most alike pair of their samples: (subject, subject, similarity), most alike first.

    Args:
        nearest: of the samples from `start` on.
    """
    has = nearest.other_sample >= 0
    first = subjects[start : start + len(has)][has]
    second = subjects[nearest.other_sample[has]]
    pairs = np.stack([np.minimum(first, second), np.maximum(first, second)], axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -nearest.other[has]))
    found: dict[tuple[int, int], float] = {}
    for position in order:
        pair = (int(pairs[position, 0]), int(pairs[position, 1]))
        if pair not in found:
            if len(found) == limit:
                break
            found[pair] = float(nearest.other[has][position])
    return [(first, second, similarity) for (first, second), similarity in found.items()]


def misplaced(nearest: Nearest, *, limit: int) -> Int64s:
    """Positions in `nearest` of samples closer to another subject than to their own, the clearest first.

    A subject's only sample is never among them: there is nothing to hold against it.
    """
    lead = nearest.other - nearest.own
    wrong = np.flatnonzero((nearest.own > -2) & (lead > 0))
    return wrong[np.argsort(-lead[wrong], kind="stable")][:limit].astype(np.int64)


def mean_similarity(first: Float32s, second: Float32s) -> float:
    """Mean over all pairs of a sample of one subject, (n, dim) unit length, and one of another, (m, dim)."""
    return float(first.mean(axis=0) @ second.mean(axis=0))
