"""Which `min_similarity` gives a wished false match rate, how sure that is, and what it means for a whole gallery."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from common.types import Float32s, Int64s
from workers.match.rates import Float64s, Rates

Basis = Literal["measured", "tail model"]

#: A rate is measured only where so many wrong pairs carry it (the "rule of 30": were they independent, the true rate
#: would lie within 30 % of the measured one in 90 % of cases).
MIN_ERRORS: Final = 30
#: And so many different people, because the pairs of one person are not independent.
MIN_SUBJECTS: Final = 20

#: The tail model is fitted to this share of the pairs, at least to `MIN_TAIL` of them.
_TAIL_SHARE: Final = 0.01
MIN_TAIL: Final = 100
_RESAMPLES: Final = 200
_CONFIDENCE: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Bound:
    """A `min_similarity` and what is known of it.

    Attributes:
        fmr: wished false match rate of one comparison.
        min_similarity: cosine, inclusive.
        low, high: 95 % confidence interval of `min_similarity`, from resampling the subjects.
        errors: pairs of different subjects that are at least so similar; of a tail model, those expected.
        basis: whether pairs carry it, or the shape of the tail was continued beyond them.
    """

    fmr: float
    min_similarity: float
    low: float
    high: float
    errors: float
    basis: Basis


def gallery_rate(fmr: float, subjects: int) -> float:
    """False positive identification rate of a search among so many subjects, if comparisons are independent."""
    return float(-np.expm1(subjects * np.log1p(-min(fmr, 1 - 1e-15))))


def pair_rate(fpir: float, subjects: int) -> float:
    """Inverse of `gallery_rate`: what one comparison may have for a search to have `fpir`."""
    return float(-np.expm1(np.log1p(-fpir) / max(subjects, 1)))


def smallest_rate(rates: Rates) -> float | None:
    """The smallest false match rate that the pairs carry; None: there are too few people or pairs for any."""
    if int((rates.samples_of > 0).sum()) < MIN_SUBJECTS or rates.nonmated < 2 * MIN_ERRORS:
        return None
    return MIN_ERRORS / rates.nonmated


def recommend(rates: Rates, fmr: float, *, extrapolate: bool, seed: int) -> Bound | None:
    """The bound for a false match rate; None where the pairs do not carry it.

    Args:
        fmr: in (0, 1).
        extrapolate: beyond what the pairs carry, continue their tail by a generalised Pareto distribution fitted to its
            upper hundredth by probability-weighted moments (Hosking and Wallis 1987).
        seed: of the resampling.
    """
    smallest = smallest_rate(rates)
    if smallest is None:
        return None
    if fmr >= smallest:
        return _measured(rates, fmr, seed)
    return _modelled(rates, fmr, seed) if extrapolate else None


def _measured(rates: Rates, fmr: float, seed: int) -> Bound:
    errors = int(fmr * rates.nonmated)
    tail = rates.tail.similarities
    if errors + 1 >= len(tail):  # so large a rate needs no more than the histogram
        above = np.cumsum(rates.histogram[::-1])
        position = int(np.searchsorted(above, errors, side="right"))
        bound = 1 - 0.001 * position
        return Bound(fmr, bound, bound, bound, errors, "measured")
    bound = _between(tail, errors)
    enough = min(len(tail), 4 * errors + 1000)
    found = []
    for weights, total in _resampled(rates, enough, seed):
        position = int(np.searchsorted(np.cumsum(weights), fmr * total, side="right"))
        found.append(_between(tail, position) if position < enough else float(tail[-1]))
    low, high = np.percentile(found, _CONFIDENCE)
    return Bound(fmr, bound, float(low), float(high), errors, "measured")


def _modelled(rates: Rates, fmr: float, seed: int) -> Bound | None:
    tail = rates.tail.similarities
    count = min(max(int(_TAIL_SHARE * rates.nonmated), MIN_TAIL), len(tail) - 1)
    if count < MIN_TAIL:
        return None
    floor = float(tail[count])
    excess = (tail[:count] - floor).astype(np.float64)[::-1]
    bound = floor + _continued(excess, np.ones(count), fmr * rates.nonmated / count)
    found = []
    for weights, total in _resampled(rates, count, seed):
        share = fmr * total / max(float(weights.sum()), 1.0)
        found.append(floor + _continued(excess, weights[::-1], share))
    low, high = np.percentile(found, _CONFIDENCE)
    return Bound(fmr, min(bound, 1.0), min(float(low), 1.0), min(float(high), 1.0), fmr * rates.nonmated, "tail model")


def _continued(excess: Float64s, weights: Float64s, share: float) -> float:
    """Where only `share` of the excesses lies above.

    Args:
        excess: (n,) float64 >= 0, rising.
        weights: (n,) float64 >= 0, how often each counts.
    """
    total = weights.sum()
    if total <= 0 or share >= 1:
        return 0.0
    place = (np.cumsum(weights) - 0.5 * weights) / total
    mean = float((weights * excess).sum() / total)
    upper = float((weights * (1 - place) * excess).sum() / total)
    if mean <= 2 * upper or mean <= 0:
        return 0.0
    scale = 2 * mean * upper / (mean - 2 * upper)
    shape = 2 - mean / (mean - 2 * upper)
    if abs(shape) < 1e-9:
        return float(-scale * np.log(share))
    return float(scale / shape * np.expm1(-shape * np.log(share)))


def _between(falling: Float32s, position: int) -> float:
    """A bound that exactly `position` of the values reach, if no two are equal."""
    above = float(falling[position - 1]) if position else min(1.0, float(falling[0]) + 1e-4)
    return (above + float(falling[position])) / 2


def _resampled(rates: Rates, count: int, seed: int) -> list[tuple[Float64s, float]]:
    """How often each of the first pairs of the tail counts, and how many pairs there are, were the subjects others."""
    random = np.random.default_rng(seed)
    present = np.flatnonzero(rates.samples_of)
    pairs_of_all = _pairs(rates.samples_of.astype(np.float64))
    first, second = rates.tail.first[:count], rates.tail.second[:count]
    drawn = []
    for _ in range(_RESAMPLES):
        times: Int64s = np.zeros(len(rates.samples_of), np.int64)
        times[present] = random.multinomial(len(present), np.full(len(present), 1 / len(present)))
        share = _pairs((times * rates.samples_of).astype(np.float64)) / pairs_of_all
        drawn.append(((times[first] * times[second]).astype(np.float64), share * rates.nonmated))
    return drawn


def _pairs(samples: Float64s) -> float:
    """Pairs of samples of different subjects."""
    return float((samples.sum() ** 2 - (samples**2).sum()) / 2)
