"""Which places of the small detector answer for which face.

A face is given to the anchors of about its size at the places about its middle. Faces that the teacher doubts, and
places about the edge of what answers for a face, count neither for nor against.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from common.types import Float32s, Int64s

STRIDES: Final = (8, 16, 32)

#: Sides of the faces that the two anchors of each stride are for.
ANCHORS_PX: Final = ((16, 32), (64, 128), (256, 512))

#: The teacher's score from which on a face is one.
SURE_SCORE: Final = 0.7

#: Sides of smaller faces than this are not told apart from noise.
MIN_SIDE_PX: Final = 8.0

#: How many octaves a face's side may differ from its anchor's, and at which difference it begins to count against.
NEAR_OCTAVES: Final = 0.7
FAR_OCTAVES: Final = 1.2

#: How far from a face's middle a place may answer for it: in sides of the face, and at least in strides.
REACH_SIDES: Final = 0.22
REACH_STRIDES: Final = 0.7


@dataclass(frozen=True)
class Places:
    """Every anchor of a square input, strides joined, row by row, two a location.

    Attributes:
        x, y: (places,) float32, pixels.
        stride_px: (places,) float32.
        anchor_px: (places,) float32, side of the faces it is for.
    """

    x: Float32s
    y: Float32s
    stride_px: Float32s
    anchor_px: Float32s


@dataclass(frozen=True)
class Targets:
    """What one picture asks of the network.

    Attributes:
        places: (positives,) int64, places that answer for a face.
        boxes: (positives, 4) float32, pixels, of the face each answers for.
        landmarks: (positives, 10) float32, pixels.
        counts: (places,) float32, 0 for places whose score does not matter, else 1.
    """

    places: Int64s
    boxes: Float32s
    landmarks: Float32s
    counts: Float32s


@cache
def places_of(side_px: int) -> Places:
    """The places of a square input."""
    parts = []
    for stride, anchors in zip(STRIDES, ANCHORS_PX, strict=True):
        steps = np.arange(side_px // stride, dtype=np.float32) * stride
        x, y = np.meshgrid(steps, steps)
        count = 2 * x.size
        parts.append(
            (
                np.repeat(x.ravel(), 2),
                np.repeat(y.ravel(), 2),
                np.full(count, stride, np.float32),
                np.tile(np.array(anchors, np.float32), x.size),
            )
        )
    return Places(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def assign(boxes: Float32s, landmarks: Float32s, scores: Float32s, *, side_px: int) -> Targets:
    """Give faces to places.

    Args:
        boxes: (faces, 4) of one picture, pixels; they may reach beyond it.
        landmarks: (faces, 5, 2).
        scores: (faces,) of the teacher.
        side_px: side of the picture.
    """
    places = places_of(side_px)
    counts = np.ones(len(places.x), np.float32)
    side = np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3).prod(axis=1))
    is_sure = (scores >= SURE_SCORE) & (side >= MIN_SIDE_PX)
    for box in boxes[~is_sure]:
        counts[(places.x > box[0]) & (places.x < box[2]) & (places.y > box[1]) & (places.y < box[3])] = 0
    if not is_sure.any():
        return Targets(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros((0, 10), np.float32), counts)

    boxes, landmarks, side = boxes[is_sure], landmarks[is_sure], side[is_sure]
    x, y = places.x[:, None], places.y[:, None]
    # The middle of what is to be seen of a face that the edge cuts.
    seen = boxes.clip(0, side_px)
    middle_x, middle_y = (seen[:, 0] + seen[:, 2]) / 2, (seen[:, 1] + seen[:, 3]) / 2
    distance = np.maximum(np.abs(x - middle_x), np.abs(y - middle_y))
    reach = np.maximum(REACH_SIDES * side, REACH_STRIDES * places.stride_px[:, None])
    octaves = np.abs(np.log2(places.anchor_px[:, None] / side))
    nearest = octaves.min(axis=0)
    is_inside = (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])
    fits = (octaves <= NEAR_OCTAVES) | (octaves <= nearest + 1e-4)
    answers = fits & (distance <= reach) & is_inside
    for face in np.flatnonzero(~answers.any(axis=0)):
        answers[np.argmin(distance[:, face] + 1e3 * (octaves[:, face] > nearest[face] + 1e-4)), face] = True

    counts[((octaves <= FAR_OCTAVES) & (distance <= 1.5 * reach) & is_inside).any(axis=1)] = 0
    rows = np.flatnonzero(answers.any(axis=1))
    cost = np.where(answers[rows], distance[rows] / side + 0.2 * octaves[rows], np.inf)
    face = cost.argmin(axis=1)
    counts[rows] = 1
    return Targets(rows, boxes[face], landmarks[face].reshape(-1, 10), counts)
