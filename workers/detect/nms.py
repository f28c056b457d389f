"""Non-maximum suppression: of faces that overlap too much, only the best stays."""

import numpy as np

from common.types import Float32s, Int64s


def overlaps(box: Float32s, boxes: Float32s) -> Float32s:
    """Intersection over union of one box (4,) with many (n, 4): (n,) in [0, 1], 0 where both are empty."""
    corner = np.maximum(box[:2], boxes[:, :2])
    extent = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - corner, 0)
    shared = extent[:, 0] * extent[:, 1]
    union = area(box[None])[0] + area(boxes) - shared
    ratio: Float32s = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def area(boxes: Float32s) -> Float32s:
    """Areas of (n, 4) boxes."""
    areas: Float32s = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def suppress(boxes: Float32s, scores: Float32s, *, nms_iou: float, limit: int) -> Int64s:
    """Which faces of one frame stay.

    Args:
        boxes: (n, 4) float32.
        scores: (n,) float32.
        nms_iou: a face is dropped if it overlaps a better one by more than this.
        limit: keep at most so many.

    Returns:
        Indices by falling score; of equal scores the earlier comes first.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting) and len(kept) < limit:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[overlaps(boxes[best], boxes[waiting]) <= nms_iou]
    return np.array(kept, np.int64)
