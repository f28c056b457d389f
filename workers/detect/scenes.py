"""Finds cuts: where a new scene begins, a face at an old place is somebody else."""

from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Float32s
from workers.detect.pictures import Pictures

#: Cells of a signature along each side, and samples of the picture in each cell along each side.
CELLS: Final = 16
_SAMPLES: Final = 4

#: A cut is where two neighbouring signatures are less alike than this correlation. People moving before a still or
#: slowly moving background stay above it, unrelated pictures below; a cut found too many only shortens tracklets.
MIN_CORRELATION: Final = 0.5

# Contrast, in grey levels, below which differences are taken for noise: two dark frames are one scene.
_NOISE_LEVELS: Final = 6.0


def signatures(pictures: Pictures) -> Float32s:
    """Coarse luminance of each frame, without its mean.

    Reads a few thousand pixels of a frame, however large it is.

    Returns:
        (n, CELLS * CELLS) float32 in grey levels; every row sums to 0.
    """
    count, height, width = len(pictures), pictures.height_px, pictures.width_px
    points = (np.arange(CELLS * _SAMPLES) + 0.5) / (CELLS * _SAMPLES)
    rows, columns = (points * height).astype(np.intp), (points * width).astype(np.intp)
    grey = pictures.luma(rows, columns)
    cells: Float32s = grey.reshape(count, CELLS, _SAMPLES, CELLS, _SAMPLES).mean(axis=(2, 4), dtype=np.float32)
    levels = cells.reshape(count, CELLS * CELLS)
    levels -= levels.mean(axis=1, keepdims=True)
    return levels


def find_cuts(signature: Float32s) -> npt.NDArray[np.bool_]:
    """Which frames begin a new scene; (n,) bool, the first one always does.

    The measure is one minus the correlation for pictures of equal contrast, and does not see a change of brightness.
    """
    before, after = signature[:-1], signature[1:]
    contrast = (before**2).mean(axis=1) + (after**2).mean(axis=1) + 2 * _NOISE_LEVELS**2
    unlike = ((after - before) ** 2).mean(axis=1) / contrast
    return np.concatenate([np.ones(min(1, len(signature)), bool), unlike > 1 - MIN_CORRELATION])
