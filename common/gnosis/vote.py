"""Who a face is, by predecessor 001's rule: every row of the data set that is alike has a vote.

The label with the most votes wins, however alike its rows are; of several with as many, the one that the data set
names first. Rows of one label may stand anywhere.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from common.gnosis.dataset import Dataset
from common.packs import EmbeddingModel

#: The label of somebody whom no row resembles, in the spelling that clients compare with.
UNKNOWN: Final = "Uknown"

#: A row votes from above this cosine on.
BOUND: Final = 0.3

_DECIMALS: Final = 6
_LOOSEST_FMR: Final = 1e-2
_STRICTEST_FMR: Final = 1e-4


def bound_for(model: EmbeddingModel) -> float:
    """The cosine above which a row votes, with embeddings of `model`.

    It is the original's 0.3 wherever that lies between the false match rates 1e-2 and 1e-4 that were measured for the
    model, as for networks taught by ArcFace it does; else the nearer of these two. A provisional calibration changes
    nothing.
    """
    if model.provisional:
        return BOUND
    measured = {float(rate): bound for rate, bound in model.min_similarity.items()}
    return min(max(BOUND, measured.get(_LOOSEST_FMR, -1.0)), measured.get(_STRICTEST_FMR, 1.0))


def elect(labels: Sequence[str], similarities: Sequence[float], *, above: float) -> str:
    """The label that wins, or `UNKNOWN` without a vote.

    Args:
        labels: one a row.
        similarities: of the face to each row; float32 is as exact as they are, so six decimals count.
        above: exclusive.
    """
    votes = Counter(
        label for label, similarity in zip(labels, similarities, strict=True) if round(similarity, _DECIMALS) > above
    )
    if not votes:
        return UNKNOWN
    place = {label: number for number, label in reversed(list(enumerate(labels)))}
    return min(votes, key=lambda label: (-votes[label], place[label]))


def name_faces(embeddings: npt.NDArray[np.float32], dataset: Dataset, *, above: float) -> list[str]:
    """A label for each face.

    Args:
        embeddings: (n, 512) float32 of unit length.
        above: see `elect`.
    """
    similarities = embeddings.astype(np.float64) @ dataset.embeddings.T
    return [elect(dataset.labels, row, above=above) for row in similarities.tolist()]
