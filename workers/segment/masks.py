"""Outlines of objects, painted into one picture whose colours name the classes.

The colours are those that clients of smartav_api read: class c, from 0, is red 50 * (1 + c // 25),
green 50 * (1 + c // 5 % 5), blue 50 * (1 + c % 5); black is no object.
"""

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np

from common.errors import BadInputError
from common.inference.picture_input import Placement
from common.types import Float32s, Int64s, Uint8s

#: Classes that have a colour of their own.
COLOURS: Final = 125

#: Longest side of a JPEG file.
_MAX_SIDE_PX: Final = 65_500

# Colour at full resolution, or the edges of objects would be of other classes.
_JPEG: Final = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_ROWS_AT_ONCE: Final = 512


def colour_of(index: int) -> tuple[int, int, int]:
    """Red, green and blue of a class, 0 to 124."""
    if not 0 <= index < COLOURS:
        raise ValueError(f"class {index} has no colour; there are {COLOURS}")
    return 50 * (1 + index // 25), 50 * (1 + index // 5 % 5), 50 * (1 + index % 5)


def paint_masks(
    boxes: Int64s,
    classes: Sequence[int],
    coefficients: Float32s,
    prototypes: Float32s,
    placement: Placement,
    *,
    side_px: int,
    check: Callable[[], None],
) -> Uint8s:
    """Which class every pixel of a picture belongs to.

    Args:
        boxes: (n, 4) whole picture pixels, best object first; nothing is painted outside of them.
        classes: of each object.
        coefficients: (n, k).
        prototypes: (k, rows, columns) over the whole input.
        placement: where the picture lies in the input.
        side_px: side of the input.
        check: called again and again; raises to stop.

    Returns:
        (height, width) uint8: 0 where no object is, else 1 + class; where objects overlap, the better one's.
    """
    labels = np.zeros((placement.height_px, placement.width_px), np.uint8)
    high, wide = prototypes.shape[1:]
    for row in range(len(boxes) - 1, -1, -1):
        logits = np.tensordot(coefficients[row], prototypes, axes=1)
        likely = np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
        left, top, right, bottom = boxes[row].tolist()
        columns = _sources(range(left, right), placement.scale_x, placement.left, cells_a_px=wide / side_px, cells=wide)
        for start in range(top, bottom, _ROWS_AT_ONCE):
            check()
            stop = min(bottom, start + _ROWS_AT_ONCE)
            rows = _sources(range(start, stop), placement.scale_y, placement.top, cells_a_px=high / side_px, cells=high)
            inside = _between(_between(likely, *rows).T, *columns).T > 0.5
            labels[start:stop, left:right][inside] = classes[row] + 1
    return labels


def encode_labels(labels: Uint8s) -> bytes:
    """A JPEG file of the colours of (height, width) uint8 labels, as `paint_masks` gives them.

    Raises:
        BadInputError: the picture is longer than a JPEG file can be.
    """
    height, width = labels.shape
    if max(height, width) > _MAX_SIDE_PX:
        raise BadInputError(
            f"The picture is {width}x{height} pixels; a side may have {_MAX_SIDE_PX} here: make it smaller.",
            "too_large",
        )
    colours = np.zeros((256, 3), np.uint8)
    for index in range(COLOURS):
        colours[index + 1] = colour_of(index)[::-1]  # OpenCV's order
    is_encoded, data = cv2.imencode(".jpg", colours[labels], _JPEG)
    if not is_encoded:
        raise ValueError(f"OpenCV cannot encode a picture of shape {labels.shape}")
    return bytes(data)


Sources = tuple[Int64s, Int64s, Float32s]
"""Before, behind, and the share of the one behind, for each pixel."""


def _sources(pixels: range, scale: float, offset: int, *, cells_a_px: float, cells: int) -> Sources:
    """Between which cells of a prototype the middles of picture pixels lie."""
    middles = (np.array(pixels) + 0.5) * scale + offset
    places = np.clip(middles * cells_a_px - 0.5, 0, cells - 1)
    before = np.floor(places).astype(np.int64)
    return before, np.minimum(before + 1, cells - 1), (places - before).astype(np.float32)


def _between(values: Float32s, before: Int64s, behind: Int64s, share: Float32s) -> Float32s:
    """Rows of `values`, mixed."""
    mixed: Float32s = values[before] * (1 - share[:, None]) + values[behind] * share[:, None]
    return mixed
