"""Embeddings as 8-bit integers, with a proven bound of what that loses.

A unit vector x becomes `scale * q + r` with integers q and a rest r. For a unit probe p = `t * u + e` the similarity is
`p.x = t * scale * (u.q) + (t * u).r + e.x`, so by Cauchy and Schwarz the first term, which is all that is computed, is
off by at most `|t * u| * |r| + |e|`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.types import Float32s, Uint8s

Int8s = npt.NDArray[np.int8]

LARGEST = 127

#: Added to a probe after quantising, because the integer product wants one unsigned side.
OFFSET = 128

#: Covers float32 rounding, in the bound and in what it is compared with, and the six decimals of what is reported.
SLACK = 4e-6


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """References.

    Attributes:
        integers: (n, dim) int8 in [-127, 127].
        scale: one for all, so that products can be compared as they are.
        error: largest |r| of a row.
    """

    integers: Int8s
    scale: float
    error: float


@dataclass(frozen=True, slots=True)
class QuantizedProbes:
    """Probes.

    Attributes:
        integers: (n, dim) uint8, `u + OFFSET`.
        scale: (n,) float32.
        length: (n,) float32, |t * u|.
        error: (n,) float32, |e|.
    """

    integers: Uint8s
    scale: Float32s
    length: Float32s
    error: Float32s

    def bound(self, rows_error: float) -> Float32s:
        """(n,) float32: how far the similarity to any of the rows can be from the integer product."""
        return np.asarray(self.length * np.float32(rows_error) + self.error + np.float32(SLACK), np.float32)


def quantize_rows(rows: Float32s) -> QuantizedRows:
    """From (n, dim) float32 unit vectors."""
    largest = max(float(rows.max(initial=0)), -float(rows.min(initial=0)), 1e-12)
    scale = np.float32(largest / LARGEST)
    integers = np.rint(rows / scale)
    rest = rows - scale * integers
    return QuantizedRows(integers.astype(np.int8), float(scale), float(_lengths(rest).max(initial=0)))


def quantize_probes(probes: Float32s) -> QuantizedProbes:
    """From (n, dim) float32 unit vectors."""
    scale = np.maximum(np.abs(probes).max(axis=1, initial=0), np.float32(1e-12)) / np.float32(LARGEST)
    integers = np.rint(probes / scale[:, None])
    image = scale[:, None] * integers
    return QuantizedProbes(
        (integers + np.float32(OFFSET)).astype(np.uint8), scale, _lengths(image), _lengths(probes - image)
    )


def unit_rows(embeddings: npt.NDArray[np.floating]) -> Float32s:
    """(n, dim) of any length to float32 unit vectors; zero stays zero."""
    rows = np.asarray(embeddings, np.float32)
    return np.asarray(rows / np.maximum(_lengths(rows), np.float32(1e-12))[:, None], np.float32)


def _lengths(rows: Float32s) -> Float32s:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)), np.float32)
