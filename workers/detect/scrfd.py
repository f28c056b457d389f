"""SCRFD's outputs into faces.

The layout is that of InsightFace's exports (deepinsight/insightface, `model_zoo/scrfd.py`, MIT): for each stride, from
the finest, the scores, then for each stride the distances to the four sides, then the five landmark offsets, all in
units of the stride, from the location (x * stride, y * stride). Locations run row by row, anchors within a location.
How many outputs mean which strides, and whether there are landmarks, is said in `common.inference.detectors`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.inference.detectors import SCRFD_LAYOUTS
from common.types import Detections, Float32s, Int32s
from workers.detect.letterbox import InputSize

#: Numbers that a place has in each group of outputs: score, distances, landmarks.
WIDTHS: Final = (1, 4, 10)


def decode_scrfd(outputs: Sequence[npt.NDArray[Any]], *, size: InputSize, min_det_score: float) -> Detections:
    """Read one run's outputs.

    Args:
        outputs: 6, 9, 10 or 15 arrays, each (n, locations * anchors, c) or, of one frame, (locations * anchors, c).
        size: of the input.
        min_det_score: lower bound, inclusive.

    Returns:
        Every location that scores enough, in input pixels, ordered by frame; not suppressed. Landmarks are NaN where
        the outputs have none.
    """
    strides = SCRFD_LAYOUTS[len(outputs)].strides
    batched = [output if output.ndim == 3 else output[None] for output in outputs]
    parts = [
        _decode_stride(*batched[level :: len(strides)], stride=stride, size=size, min_det_score=min_det_score)
        for level, stride in enumerate(strides)
    ]
    return order_by_frame(parts)


def order_by_frame(parts: Sequence[Detections]) -> Detections:
    """Join detections; within a frame the order of the parts stays."""
    frame = np.concatenate([part.frame for part in parts])
    order = np.argsort(frame, kind="stable")
    return Detections(
        frame[order],
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.landmarks for part in parts])[order],
        np.concatenate([part.det_scores for part in parts])[order],
    )


def expected_shapes(outputs: int, size: InputSize) -> list[tuple[int, int]]:
    """(locations, c) of each of so many outputs; there may be several anchors at a location."""
    layout = SCRFD_LAYOUTS[outputs]
    groups = len(WIDTHS) if layout.has_landmarks else len(WIDTHS) - 1
    return [(locations(size, stride), width) for width in WIDTHS[:groups] for stride in layout.strides]


def _decode_stride(
    scores: Float32s,
    distances: Float32s,
    offsets: Float32s | None = None,
    *,
    stride: int,
    size: InputSize,
    min_det_score: float,
) -> Detections:
    frame, index = np.nonzero(scores[..., 0] >= min_det_score)
    anchors = scores.shape[1] // locations(size, stride)
    origin = grid(size, stride)[index // anchors]
    near_and_far = distances[frame, index] * stride
    boxes = np.concatenate([origin - near_and_far[:, :2], origin + near_and_far[:, 2:]], axis=1)
    if offsets is None:
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    else:
        landmarks = origin[:, None] + offsets[frame, index].reshape(-1, 5, 2) * stride
    rows: Int32s = frame.astype(np.int32)
    return Detections(rows, boxes, landmarks, scores[frame, index, 0])


def locations(size: InputSize, stride: int) -> int:
    """How many locations an input has."""
    return (size.width_px // stride) * (size.height_px // stride)


@cache
def grid(size: InputSize, stride: int) -> Float32s:
    """(locations, 2) float32, x and y of every location of an input, row by row."""
    columns, rows = (np.arange(side // stride, dtype=np.float32) * stride for side in (size.width_px, size.height_px))
    return np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
