"""How alike samples of one subject are, and samples of different subjects: what a gallery itself says about a bound.

Pairs of different subjects are all compared, up to a number of samples; beyond it those of a seeded random choice that
keeps as many subjects as it can. Products are made in blocks: memory does not grow with the square of a gallery.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Float32s, Int32s, Int64s

Float64s = npt.NDArray[np.float64]

#: Samples whose pairs are all compared; 8,000 make 32 million pairs.
MAX_SAMPLES: Final = 8000
#: Samples of one subject that are compared with others at most: of two people who look alike, a hundred pictures each
#: would otherwise decide the rate alone.
MAX_PER_SUBJECT: Final = 8
#: Mated pairs of one subject at most, so that somebody with many pictures does not speak for everybody.
MAX_MATED_PER_SUBJECT: Final = 50
#: The most alike pairs of different subjects that are kept one by one.
MAX_TAIL: Final = 400_000
#: Width of a bin of the histogram of the others.
BIN: Final = 0.001

_BLOCK: Final = 1024
_BINS: Final = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The most alike pairs of different subjects.

    Attributes:
        similarities: (pairs,) float32, falling.
        first, second: (pairs,) int32, the subjects of each, as numbered by the caller.
    """

    similarities: Float32s
    first: Int32s
    second: Int32s

    def __len__(self) -> int:
        return len(self.similarities)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """What was measured.

    Attributes:
        samples_of: (subjects,) int64, samples of each subject that were compared with others.
        mated: (pairs,) float32, rising: similarities of two samples of one subject.
        nonmated: how many pairs of different subjects were compared.
        all_nonmated: how many there are.
        histogram: (2000,) int64, the compared pairs by similarity, in bins of 0.001 from -1.
        tail: the most alike of them.
    """

    samples_of: Int64s
    mated: Float32s
    nonmated: int
    all_nonmated: int
    histogram: Int64s
    tail: Tail

    def fmr(self, similarity: float) -> float:
        """Share of the pairs of different subjects that are at least so similar: false match rate of that bound."""
        tail = self.tail.similarities
        if len(tail) == self.nonmated or (len(tail) and similarity >= tail[-1]):
            above = int(np.searchsorted(-tail, -np.float32(similarity), side="right"))
        else:
            above = int(self.histogram[bin_of(similarity) :].sum())
        return above / self.nonmated if self.nonmated else 0.0

    def fnmr(self, similarity: float) -> float | None:
        """Share of the pairs of one subject that are less similar; None without such pairs."""
        if not len(self.mated):
            return None
        return int(np.searchsorted(self.mated, np.float32(similarity), side="left")) / len(self.mated)


def bin_of(similarity: float) -> int:
    """Index of the bin in a histogram from -1 to 1 in steps of 0.001."""
    return int(np.clip(np.floor((similarity + 1) / BIN + 1e-6), 0, _BINS - 1))


def count_bins(similarities: Float32s) -> Int64s:
    """(2000,) int64: how many similarities lie in each bin of 0.001 from -1 to 1."""
    bins = np.clip((similarities.ravel() + 1) * (1 / BIN), 0, _BINS - 1).astype(np.int32)
    return np.bincount(bins, minlength=_BINS).astype(np.int64)


def measure_rates(
    embeddings: Float32s,
    subjects: Int32s,
    *,
    seed: int,
    check: Callable[[], None],
    max_samples: int = MAX_SAMPLES,
) -> Rates:
    """Compare samples of one subject, and of different subjects.

    Args:
        embeddings: (samples, dim) float32, unit length.
        subjects: (samples,) int32, whose each is, numbered from 0.
        seed: of the choice where there are too many to compare all.
        check: called between blocks; raises when the work is no longer wanted.
    """
    random = np.random.default_rng(seed)
    total = int(subjects.max()) + 1 if len(subjects) else 0
    counts = np.bincount(subjects, minlength=total).astype(np.int64)
    chosen = _choose(subjects, random, max_samples)
    histogram, tail = _compare(embeddings[chosen], subjects[chosen], check)
    return Rates(
        samples_of=np.bincount(subjects[chosen], minlength=total).astype(np.int64),
        mated=_mated(embeddings, subjects, random, check),
        nonmated=int(histogram.sum()),
        all_nonmated=_pairs_of_two(counts),
        histogram=histogram,
        tail=tail,
    )


def _pairs_of_two(counts: Int64s) -> int:
    return int((counts.sum() ** 2 - (counts**2).sum()) // 2)


def _choose(subjects: Int32s, random: np.random.Generator, limit: int) -> Int64s:
    """Positions of at most `limit` samples: one of every subject, then a second one, up to `MAX_PER_SUBJECT`."""
    shuffled = random.permutation(len(subjects))
    by_subject = shuffled[np.argsort(subjects[shuffled], kind="stable")]
    starts = _starts(subjects[by_subject])
    rank = np.empty(len(subjects), np.int64)
    rank[by_subject] = np.arange(len(subjects)) - np.repeat(starts, np.diff(np.r_[starts, len(subjects)]))
    order = shuffled[np.argsort(rank[shuffled], kind="stable")]
    chosen = order[rank[order] < MAX_PER_SUBJECT][:limit]
    return np.sort(chosen).astype(np.int64)


def _starts(ordered: Int32s) -> Int64s:
    """Where each subject begins."""
    return np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]).astype(np.int64)


def _mated(embeddings: Float32s, subjects: Int32s, random: np.random.Generator, check: Callable[[], None]) -> Float32s:
    order = np.argsort(subjects, kind="stable")
    found = []
    for number, mine in enumerate(np.split(order, _starts(subjects[order])[1:])):
        if number % _BLOCK == 0:
            check()
        count = len(mine)
        if count < 2:
            continue
        if count * (count - 1) // 2 <= MAX_MATED_PER_SUBJECT:
            first, second = np.triu_indices(count, k=1)
        else:  # pairs with a difference drawn at random: never a sample with itself
            first = random.integers(0, count, MAX_MATED_PER_SUBJECT)
            second = (first + random.integers(1, count, MAX_MATED_PER_SUBJECT)) % count
        found.append((embeddings[mine[first]] * embeddings[mine[second]]).sum(axis=1))
    return np.sort(np.concatenate(found)).astype(np.float32) if found else np.zeros(0, np.float32)


def _compare(embeddings: Float32s, subjects: Int32s, check: Callable[[], None]) -> tuple[Int64s, Tail]:
    histogram = np.zeros(_BINS, np.int64)
    kept: list[tuple[Float32s, Int32s, Int32s]] = []
    waiting = 0
    for top in range(0, len(embeddings), _BLOCK):
        rows = slice(top, top + _BLOCK)
        for left in range(top, len(embeddings), _BLOCK * 4):
            check()
            columns = slice(left, left + _BLOCK * 4)
            similarities = embeddings[rows] @ embeddings[columns].T
            wanted = subjects[rows][:, None] != subjects[columns][None]
            if left < top + _BLOCK:  # below and on the diagonal every pair has been seen
                wanted &= np.arange(len(embeddings))[columns][None] > np.arange(len(embeddings))[rows][:, None]
            histogram += count_bins(similarities[wanted])
            first, second = np.nonzero(wanted & (similarities >= _floor(histogram)))
            kept.append((similarities[first, second], subjects[rows][first], subjects[columns][second]))
            waiting += len(first)
            if waiting > 2 * MAX_TAIL:
                kept = [_best(kept)]
                waiting = len(kept[0][0])
    return histogram, Tail(*_best(kept))


def _floor(histogram: Int64s) -> float:
    """A similarity that at least `MAX_TAIL` of the counted pairs reach, if there are so many."""
    above = np.cumsum(histogram[::-1])
    bins = int(np.searchsorted(above, MAX_TAIL)) + 1
    return -2.0 if bins >= _BINS else 1 - BIN * bins - BIN


def _best(kept: list[tuple[Float32s, Int32s, Int32s]]) -> tuple[Float32s, Int32s, Int32s]:
    if not kept:
        return np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32)
    values, first, second = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    if len(values) > MAX_TAIL:
        best = np.argpartition(-values, MAX_TAIL)[:MAX_TAIL]
        values, first, second = values[best], first[best], second[best]
    order = np.lexsort((second, first, -values))
    return values[order], first[order], second[order]
