"""Whole frames into a detector's square input, and points back again.

As InsightFace prepares frames for SCRFD: bilinear scaling, the longer side filling the input, black at the right and at
the bottom, and a point scaled by the plain ratio of the sides.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from common.types import Float32s, Uint8s


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where frames of one size lie in a square input.

    Attributes:
        side_px: side of the input.
        width_px, height_px: the part of it that the scaled frame covers, from the top left corner.
        scale_x, scale_y: input pixels per frame pixel; they differ by the rounding to whole pixels.
    """

    side_px: int
    width_px: int
    height_px: int
    scale_x: float
    scale_y: float

    @classmethod
    def fit(cls, width_px: int, height_px: int, side_px: int) -> Self:
        """The letterbox of frames of that size; smaller frames are enlarged."""
        if height_px > width_px:
            scaled = (max(1, int(side_px / (height_px / width_px))), side_px)
        else:
            scaled = (side_px, max(1, int(side_px * (height_px / width_px))))
        return cls(side_px, *scaled, scaled[0] / width_px, scaled[1] / height_px)

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
        side = letterbox.side_px
        self._array = np.full((capacity, 3, side, side), self._levels[0], np.float32)

    def fill(self, pixels: Uint8s) -> Float32s:
        """Scale frames into the array.

        Args:
            pixels: (n, height, width, 3) uint8 RGB, n at most the capacity.

        Returns:
            (n, 3, side, side) float32, a view that the next call overwrites.
        """
        width, height = self._letterbox.width_px, self._letterbox.height_px
        for planes, frame in zip(self._array, pixels, strict=False):
            scaled = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
            for plane, channel in zip(self._planes, cv2.split(scaled), strict=True):
                planes[plane, :height, :width] = cv2.LUT(channel, self._levels)
        return self._array[: len(pixels)]
