"""Whole frames into a detector's input, and points back again.

As InsightFace prepares frames for SCRFD: bilinear scaling, the longer side filling the input, black at the right and at
the bottom, and a point scaled by the plain ratio of the sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from common.types import Float32s
from workers.detect.pictures import Pictures


@dataclass(frozen=True, slots=True)
class InputSize:
    """What a detector takes."""

    width_px: int
    height_px: int

    @classmethod
    def square(cls, side_px: int) -> Self:
        """Both sides the same."""
        return cls(side_px, side_px)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where frames of one size lie in an input.

    Attributes:
        size: of the input.
        width_px, height_px: the part of it that the scaled frame covers, from the top left corner.
        scale_x, scale_y: input pixels per frame pixel; they differ by the rounding to whole pixels.
    """

    size: InputSize
    width_px: int
    height_px: int
    scale_x: float
    scale_y: float

    @classmethod
    def fit(cls, width_px: int, height_px: int, size: InputSize) -> Self:
        """The letterbox of frames of that size; smaller frames are enlarged."""
        if height_px * size.width_px > width_px * size.height_px:
            scaled = (max(1, int(size.height_px / (height_px / width_px))), size.height_px)
        else:
            scaled = (size.width_px, max(1, int(size.width_px * (height_px / width_px))))
        return cls(size, *scaled, scaled[0] / width_px, scaled[1] / height_px)

    def to_frame(self, points: Float32s) -> Float32s:
        """Input pixels to frame pixels; (…, 2) float32 in and out."""
        scaled: Float32s = np.divide(points, (self.scale_x, self.scale_y), dtype=np.float32)
        return scaled

    def to_input(self, points: Float32s) -> Float32s:
        """Inverse of `to_frame`."""
        scaled: Float32s = np.multiply(points, (self.scale_x, self.scale_y), dtype=np.float32)
        return scaled


class InputBatch:
    """The input array of a network's runs, allocated once and filled again and again; for one thread.

    Args:
        letterbox: see there.
        capacity: frames that one run takes at most.
        colour: order of the planes, `rgb` or `bgr`.
        mean, std: planes hold (value - mean) / std.
    """

    def __init__(self, letterbox: Letterbox, capacity: int, *, colour: str, mean: float, std: float) -> None:
        self._letterbox = letterbox
        self._planes = (0, 1, 2) if colour == "rgb" else (2, 1, 0)
        self._levels = ((np.arange(256) - mean) / std).astype(np.float32)
        size = letterbox.size
        self._array = np.full((capacity, 3, size.height_px, size.width_px), self._levels[0], np.float32)

    def fill(self, pictures: Pictures, frames: Sequence[int]) -> Float32s:
        """Scale some frames, at most the capacity, into the array.

        Returns:
            (n, 3, height, width) float32, a view that the next call overwrites.
        """
        width, height = self._letterbox.width_px, self._letterbox.height_px
        for planes, frame in zip(self._array, frames, strict=False):
            scaled = pictures.scaled(frame, width, height)
            for plane, channel in zip(self._planes, cv2.split(scaled), strict=True):
                planes[plane, :height, :width] = cv2.LUT(channel, self._levels)
        return self._array[: len(frames)]
