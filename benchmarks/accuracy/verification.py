"""Figures of 1:1 comparisons, from similarities; see docs/glossary.md for FMR and FNMR."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Float32s

Bools = npt.NDArray[np.bool_]

#: A person's photographs beyond this many are left out of the pairs of everybody with everybody: two sisters with many
#: photographs each would otherwise decide the false match rate alone.
PHOTOGRAPHS_A_PERSON: Final = 5


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Similarities of many pairs.

    Attributes:
        mated: (n,) float32, cosines of two photographs of one person.
        non_mated: (m,) float32, of different people.
    """

    mated: Float32s
    non_mated: Float32s

    def bound_at(self, fmr: float) -> float:
        """The similarity that a share `fmr` of the non-mated pairs reach."""
        return float(np.quantile(self.non_mated, 1 - fmr))

    def fnmr_at(self, fmr: float) -> float:
        """Share of the mated pairs that do not reach `bound_at(fmr)`."""
        return float((self.mated < self.bound_at(fmr)).mean())


def compare_everybody(embeddings: Float32s, people: npt.NDArray[np.str_]) -> Comparisons:
    """All pairs of photographs, `PHOTOGRAPHS_A_PERSON` a person.

    Args:
        embeddings: (n, dim) float32, unit length.
        people: (n,) whose photograph each one is.
    """
    _, person = np.unique(people, return_inverse=True)
    place = np.zeros(len(person), int)
    for number in np.unique(person):
        mine = np.flatnonzero(person == number)
        place[mine] = np.arange(len(mine))
    rows = np.flatnonzero(place < PHOTOGRAPHS_A_PERSON)
    first, second = np.triu_indices(len(rows), 1)
    similarities = (embeddings[rows] @ embeddings[rows].T)[first, second]
    is_mated = person[rows][first] == person[rows][second]
    return Comparisons(similarities[is_mated], similarities[~is_mated])


def cross_validated_accuracy(similarities: Float32s, is_mated: Bools, folds: npt.NDArray[np.int_]) -> float:
    """Share of pairs told right, each fold by the threshold that is best for all others (LFW's own protocol)."""
    right = []
    for fold in np.unique(folds):
        inside = folds == fold
        bound = _best_bound(similarities[~inside], is_mated[~inside])
        right.append(((similarities[inside] >= bound) == is_mated[inside]).mean())
    return float(np.mean(right))


def _best_bound(similarities: Float32s, is_mated: Bools) -> float:
    order = np.argsort(similarities)
    ordered = is_mated[order]
    missed = np.concatenate([[0], np.cumsum(ordered)])
    false = (~ordered).sum() - np.concatenate([[0], np.cumsum(~ordered)])
    best = np.flatnonzero(missed + false == (missed + false).min())
    bounds = np.concatenate([similarities[order], [np.inf]])
    return float(bounds[best[len(best) // 2]])
