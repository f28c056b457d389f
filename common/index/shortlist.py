"""Which rows can still be among the best, while products with error bounds stream by."""

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.types import Float32s, Int64s

Keys = npt.NDArray[np.bytes_]
"""Fixed-length binary names of rows or owners; every byte counts, also where NumPy's items drop trailing zeros."""

_SEED_ROWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """Some rows, compared with every probe.

    Attributes:
        products: (probes, rows) int32 or float32; times `scale` they are similarities.
        scale: (probes,) float32, positive.
        errors: (probes,) float32; the true similarity differs by no more.
        rows, owners: (rows,) names.
        gone: places of rows that are not there any more.
    """

    products: npt.NDArray[np.int32] | Float32s
    scale: Float32s
    errors: Float32s
    rows: Keys
    owners: Keys
    gone: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Rows that may decide the answer.

    Attributes:
        probes: (n,) number of the probe.
        rows: (n,) name of the row.
        upper: (n,) float32; the true similarity is no larger.
    """

    probes: Int64s
    rows: Keys
    upper: Float32s

    def __len__(self) -> int:
        return len(self.probes)

    def pick(self, chosen: npt.NDArray[np.bool_]) -> "Listed":
        """Those that are marked."""
        return Listed(self.probes[chosen], self.rows[chosen], self.upper[chosen])

    @classmethod
    def join(cls, parts: "list[Listed]") -> "Listed":
        """One list of several."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, "S16"), np.zeros(0, np.float32))
        return cls(
            np.concatenate([part.probes for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.upper for part in parts]),
        )


class Shortlist:
    """Per probe a growing list of rows, and the floor under which no row can change the answer.

    The floor is the proven lower bound of the `limit`-th best owner so far. It only rises, so a row that was below it
    once is out for good.

    Args:
        probes: how many.
        limit: owners wanted per probe, at least 1; rows of one owner count once.
    """

    def __init__(self, probes: int, *, limit: int) -> None:
        self._limit = limit
        self._floor = np.full(probes, -np.inf, np.float32)
        self._open = np.ones(probes, bool)
        self._best: list[dict[bytes, float]] = [{} for _ in range(probes)]
        self._found: list[Listed] = []

    def offer(self, offer: Offer) -> None:
        """Look at some rows, each once."""
        for probe in np.flatnonzero(self._open):
            self._seed(int(probe), offer)
        with np.errstate(over="ignore"):
            bar = ((self._floor - offer.errors) / offer.scale)[:, None]
        if offer.products.dtype == np.int32:
            bar = np.clip(np.floor(bar), -(2**31), 2**31 - 1).astype(np.int32)
        reaching = offer.products >= bar
        reaching[:, offer.gone] = False
        places = np.flatnonzero(reaching.reshape(-1))
        if not len(places):
            return
        probes, columns = np.divmod(places, len(offer.rows))
        similarities = offer.products.reshape(-1)[places] * offer.scale[probes]
        errors = offer.errors[probes]
        self._found.append(Listed(probes, offer.rows[columns], similarities + errors))
        low = similarities - errors
        rising = np.flatnonzero(low > self._floor[probes])
        edges = np.flatnonzero(np.diff(probes[rising], prepend=-1, append=-1))
        for start, stop in itertools.pairwise(edges):
            mine = rising[start:stop]
            self._raise(int(probes[mine[0]]), offer.owners[columns[mine]], low[mine])

    def listed(self) -> Listed:
        """Every row that can be the best one of an owner in the answer."""
        listed = Listed.join(self._found)
        return listed.pick(listed.upper >= self._floor[listed.probes])

    def _seed(self, probe: int, offer: Offer) -> None:
        """A first floor from the best rows of a block, more of them as long as they belong to too few owners."""
        products = offer.products[probe].astype(np.float32)
        products[offer.gone] = -np.inf
        there = len(products) - len(offer.gone)
        count = min(_SEED_ROWS * self._limit, there)
        while count:
            best = np.argpartition(products, len(products) - count)[-count:]
            low = products[best] * offer.scale[probe] - offer.errors[probe]
            self._raise(probe, offer.owners[best], low)
            if not self._open[probe] or count == there:
                return
            count = min(8 * count, there)

    def _raise(self, probe: int, owners: Keys, low: Float32s) -> None:
        best = self._best[probe]
        for owner, bound in zip(owners.tolist(), low.tolist(), strict=True):
            if bound > best.get(owner, -np.inf):
                best[owner] = bound
        if len(best) >= self._limit:
            top = heapq.nlargest(self._limit, best.items(), key=lambda item: item[1])
            self._best[probe] = dict(top)
            self._floor[probe] = top[-1][1]
            self._open[probe] = False
