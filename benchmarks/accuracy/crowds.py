"""Pictures of many and of small faces, put together from photographs of one face each."""

from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from common.types import Uint8s

SIDE_PX: Final = 640

#: Photographs along one side: faces of about 70, 45, 27 and 18 px.
GRIDS: Final = (4, 6, 10, 15)


def make_crowds(photographs: Sequence[Uint8s]) -> Iterator[Uint8s]:
    """Fill one picture after the other, (640, 640, 3) uint8 RGB, with different photographs, the grids in turn."""
    start = 0
    while True:
        for grid in GRIDS:
            cells = photographs[start : start + grid * grid]
            if len(cells) < grid * grid:
                return
            start += grid * grid
            yield _fill(cells, grid)


def _fill(cells: Sequence[Uint8s], grid: int) -> Uint8s:
    picture = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    edges = np.linspace(0, SIDE_PX, grid + 1).astype(int)
    for number, cell in enumerate(cells):
        row, column = divmod(number, grid)
        top, bottom, left, right = edges[row], edges[row + 1], edges[column], edges[column + 1]
        picture[top:bottom, left:right] = cv2.resize(
            cell, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA
        )
    return picture
