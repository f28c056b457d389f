"""All references of a gallery in memory: packed blocks of integers, and a tail of float32.

An index is a value: adding and removing rows gives another index that shares the blocks, so searches never wait for
changes. It answers with names of rows; the similarities that are reported are computed from the stored embeddings.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from common.index.products import Products, multiplier
from common.index.quantize import SLACK, QuantizedProbes, quantize_probes, quantize_rows, unit_rows
from common.index.shortlist import Keys, Listed, Offer, Shortlist
from common.types import Float32s, Int32s, Int64s

BLOCK_ROWS = 8192
_PROBES_A_PASS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows as they are stored.

    Attributes:
        names: (n,) fixed-length bytes, of distinct rows.
        owners: (n,) fixed-length bytes; several rows may have one owner.
        embeddings: (n, dim) float16 or float32.
    """

    names: Keys
    owners: Keys
    embeddings: npt.NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Packed rows, sorted by name; the gone ones stay in place and are masked."""

    names: Keys
    owners: Keys
    products: Products
    scale: float
    error: float
    dimension: int
    gone: Int64s

    @classmethod
    def pack(cls, names: Keys, owners: Keys, embeddings: Float32s) -> Self:
        order = np.argsort(names)
        packed = quantize_rows(embeddings[order])
        return cls(
            names[order],
            owners[order],
            multiplier(packed.integers),
            packed.scale,
            packed.error,
            embeddings.shape[1],
            np.zeros(0, np.int64),
        )

    def without(self, names: Keys) -> Self:
        places = np.minimum(np.searchsorted(self.names, names), len(self.names) - 1)
        places = places[self.names[places] == names]
        return replace(self, gone=np.union1d(self.gone, places)) if len(places) else self

    def compare(self, probes: QuantizedProbes, room: Int32s) -> Offer:
        """With every probe; `room` is (probes, BLOCK_ROWS) and is written over by the next block."""
        self.products(probes.integers, room)
        scale = probes.scale * np.float32(self.scale)
        return Offer(room, scale, probes.bound(self.error), self.names, self.owners, self.gone)

    @property
    def nbytes(self) -> int:
        return self.names.nbytes + self.owners.nbytes + len(self.names) * self.dimension


class RowIndex:
    """See the module. Make one with `build`."""

    def __init__(self, blocks: tuple[_Block, ...], names: Keys, owners: Keys, tail: Float32s) -> None:
        self._blocks = blocks
        self._names = names
        self._owners = owners
        self._tail = tail

    @classmethod
    def build(cls, parts: Iterable[Rows]) -> Self:
        """From parts of any size, of which one block at a time is held in full precision."""
        index = cls((), np.zeros(0, "S16"), np.zeros(0, "S16"), np.zeros((0, 0), np.float32))
        for part in parts:
            index = index.with_rows(part)
        return index

    def __len__(self) -> int:
        return len(self._names) + sum(len(block.names) - len(block.gone) for block in self._blocks)

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        tail = self._tail.nbytes + self._names.nbytes + self._owners.nbytes
        return tail + sum(block.nbytes for block in self._blocks)

    @property
    def is_worn(self) -> bool:
        """Whether so many rows are gone that building it anew pays."""
        gone = sum(len(block.gone) for block in self._blocks)
        return gone > BLOCK_ROWS and gone > len(self)

    def with_rows(self, rows: Rows) -> Self:
        """With rows that it does not have yet."""
        if not len(rows):
            return self
        fresh = unit_rows(rows.embeddings)
        if len(self._names):
            names, owners = np.concatenate([self._names, rows.names]), np.concatenate([self._owners, rows.owners])
            tail = np.concatenate([self._tail, fresh])
        else:
            names, owners, tail = rows.names, rows.owners, fresh
        blocks = list(self._blocks)
        full = len(names) - len(names) % BLOCK_ROWS
        for start in range(0, full, BLOCK_ROWS):
            stop = start + BLOCK_ROWS
            blocks.append(_Block.pack(names[start:stop], owners[start:stop], tail[start:stop]))
        if full:
            names, owners, tail = names[full:].copy(), owners[full:].copy(), tail[full:].copy()
        return type(self)(tuple(blocks), names, owners, tail)

    def without(self, names: Keys) -> Self:
        """Without the named rows; names that it does not have are harmless."""
        if not len(names):
            return self
        kept = ~np.isin(self._names, names)
        tail = (self._names, self._owners, self._tail)
        if not kept.all():
            tail = (self._names[kept], self._owners[kept], self._tail[kept])
        return type(self)(tuple(block.without(names) for block in self._blocks), *tail)

    def scan(self, probes: Float32s, *, limit: int) -> Listed:
        """Every row that can be the best one of an owner in the answer: a superset, proven.

        Args:
            probes: (n, dim) float32 unit vectors.
            limit: owners wanted per probe.
        """
        parts = []
        for start in range(0, len(probes), _PROBES_A_PASS):
            part = self._scan(probes[start : start + _PROBES_A_PASS], limit)
            parts.append(Listed(part.probes + start, part.rows, part.upper))
        return Listed.join(parts)

    def _scan(self, probes: Float32s, limit: int) -> Listed:
        shortlist = Shortlist(len(probes), limit=limit)
        if len(self._names):
            ones = np.ones(len(probes), np.float32)
            nobody = np.zeros(0, np.int64)
            shortlist.offer(
                Offer(probes @ self._tail.T, ones, ones * np.float32(4 * SLACK), self._names, self._owners, nobody)
            )
        if self._blocks:
            quantized = quantize_probes(probes)
            room = np.empty((len(probes), BLOCK_ROWS), np.int32)
            for block in self._blocks:
                shortlist.offer(block.compare(quantized, room))
        return shortlist.listed()
