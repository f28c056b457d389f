"""What every instance segmenter gives, whatever its layout; and which of its objects stay."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from common.types import Float32s, Int64s, check_shape

#: Objects that suppression looks at in one picture at most, the best ones.
MAX_CANDIDATES: Final = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Objects before suppression, and what their outlines are mixed of.

    The outline of object i is where `sigmoid(coefficients[i] @ prototypes)` exceeds a half, inside its box.

    Attributes:
        boxes: (objects, 4) float32 [x1, y1, x2, y2] in input pixels.
        scores: (objects,) float32.
        classes: (objects,) int64, without the background.
        coefficients: (objects, k) float32.
        prototypes: (k, rows, columns) float32 over the whole input.
    """

    boxes: Float32s
    scores: Float32s
    classes: Int64s
    coefficients: Float32s
    prototypes: Float32s

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        check_shape("boxes", self.boxes, ("objects", 4), sizes)
        check_shape("scores", self.scores, ("objects",), sizes)
        check_shape("classes", self.classes, ("objects",), sizes)
        check_shape("coefficients", self.coefficients, ("objects", "k"), sizes)
        check_shape("prototypes", self.prototypes, ("k", "rows", "columns"), sizes)


def choose_candidates(found: Candidates, *, min_score: float) -> Int64s:
    """Objects worth a second look: finite, with an area, of a score above `min_score`; best first.

    Returns:
        At most `MAX_CANDIDATES` indices; of equal scores the earlier comes first.
    """
    is_good = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.coefficients).all(axis=1)
    is_good &= np.isfinite(found.scores) & (found.scores.astype(np.float64) > min_score)
    is_good &= (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
    rows = np.flatnonzero(is_good)
    order: Int64s = rows[np.argsort(-found.scores[rows], kind="stable")][:MAX_CANDIDATES]
    return order


def suppress(boxes: Float32s, classes: Int64s, *, nms_iou: float, limit: int) -> Int64s:
    """Which objects of one picture stay: of those of one class that overlap too much, the best.

    Args:
        boxes: (n, 4) float32, best first.
        classes: (n,) int64.
        nms_iou: an object is dropped if it overlaps a better one of its class by more than this.
        limit: keep at most so many.

    Returns:
        Indices, best first.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.arange(len(boxes))
    kept: list[int] = []
    while len(waiting) and len(kept) < limit:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[waiting, :2])
        extent = np.maximum(np.minimum(boxes[best, 2:], boxes[waiting, 2:]) - corner, 0)
        shared = extent[:, 0] * extent[:, 1]
        union = areas[best] + areas[waiting] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        waiting = waiting[(overlap <= nms_iou) | (classes[waiting] != classes[best])]
    return np.array(kept, np.int64)
