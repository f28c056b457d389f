"""Whole pictures into a network's square input, and points back again; of the pools that look at whole pictures."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from common.packs import PictureInput
from common.types import Float32s, Uint8s

_RESAMPLING: Final = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture lies in the input. A point of the input is `point * scale + offset` of the picture.

    Attributes:
        width_px, height_px: of the picture.
        scale_x, scale_y: input pixels per picture pixel.
        left, top: where the picture begins, in input pixels.
    """

    width_px: int
    height_px: int
    scale_x: float
    scale_y: float
    left: int
    top: int

    def boxes_in_picture(self, boxes: Float32s) -> Float32s:
        """(n, 4) boxes in input pixels as boxes in picture pixels, cut off at its edges."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        most = np.array([self.width_px, self.height_px] * 2, np.float32)
        inside: Float32s = np.clip((boxes - offset) / scale, 0, most)
        return inside


class PictureReader:
    """Makes pictures into inputs; thread-safe.

    Args:
        spec: how they enter the network.
    """

    def __init__(self, spec: PictureInput) -> None:
        # Pools run threads side by side; OpenCV's own threads would only fight them. This holds for the whole process.
        cv2.setNumThreads(1)
        self._spec = spec
        self._planes = (0, 1, 2) if spec.colour == "rgb" else (2, 1, 0)
        values = np.arange(256, dtype=np.float64)
        self._levels = [
            ((values - mean) / std).astype(np.float32) for mean, std in zip(spec.mean, spec.std, strict=True)
        ]

    @property
    def row(self) -> tuple[int, int, int]:
        """Shape of one picture in the input."""
        return (3, self._spec.side_px, self._spec.side_px)

    def read(self, pixels: Uint8s) -> tuple[Float32s, Placement]:
        """One picture.

        Args:
            pixels: (height, width, 3) uint8 RGB.

        Returns:
            (1, 3, side, side) float32, and where the picture lies in it.
        """
        height, width = pixels.shape[:2]
        side = self._spec.side_px
        wide = high = side
        if self._spec.fit == "letterbox":
            shrink = side / max(width, height)
            wide, high = max(1, round(width * shrink)), max(1, round(height * shrink))
        placement = Placement(width, height, wide / width, high / height, (side - wide) // 2, (side - high) // 2)
        scaled = cv2.resize(pixels, (wide, high), interpolation=_RESAMPLING[self._spec.resampling])
        array = np.empty((1, *self.row), np.float32)
        for plane, source, levels in zip(array[0], self._planes, self._levels, strict=True):
            plane[:] = levels[self._spec.padding]
            inside = plane[placement.top : placement.top + high, placement.left : placement.left + wide]
            inside[:] = levels[scaled[:, :, source]]
        return array, placement
