"""The answer, from exact similarities: owners by their best row, in one fixed order."""

import numpy as np
import numpy.typing as npt

from common.index.shortlist import Keys
from common.types import Float32s, Int64s

Float64s = npt.NDArray[np.float64]

#: Digits of a reported similarity; what differs by less is a tie.
DECIMALS = 6


def exact_similarities(embeddings: npt.NDArray[np.floating], probes: Float32s) -> Float64s:
    """Cosines, pair by pair, in float64 and rounded as they are reported: whoever computes them gets the same number.

    Args:
        embeddings, probes: (n, dim), of any length; a zero vector resembles nobody.
    """
    similarities = np.zeros(len(embeddings))
    for start in range(0, len(embeddings), 4096):
        rows, others = (np.asarray(part[start : start + 4096], np.float64) for part in (embeddings, probes))
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows) * np.einsum("ij,ij->i", others, others))
        similarities[start : start + 4096] = np.einsum("ij,ij->i", rows, others) / np.maximum(lengths, 1e-12)
    return np.round(similarities, DECIMALS)


def best_owners(probes: Int64s, owners: Keys, similarities: Float64s, *, limit: int) -> tuple[Int64s, Keys, Float64s]:
    """The owners closest to each probe; an owner is as close as the closest of its rows.

    Args:
        probes: (n,) number of the probe of a pair.
        owners: (n,) owner of the row of a pair.
        similarities: (n,) rounded.
        limit: owners per probe.

    Returns:
        The same three for what is kept, by probe, falling similarity and owner.
    """
    order = np.lexsort((owners, -similarities, probes))
    probes, owners, similarities = probes[order], owners[order], similarities[order]
    pairs = np.empty(len(probes), [("probe", np.int64), ("owner", owners.dtype)])
    pairs["probe"], pairs["owner"] = probes, owners
    first = np.sort(np.unique(pairs, return_index=True)[1])
    probes, owners, similarities = probes[first], owners[first], similarities[first]
    kept = np.arange(len(probes)) - np.searchsorted(probes, probes) < limit
    return probes[kept], owners[kept], similarities[kept]
