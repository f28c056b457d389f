"""YuNet's outputs into faces.

The layout is that of libfacedetection.train (ShiqiYu, Apache-2.0) and OpenCV Zoo: for strides 8, 16 and 32 the outputs
`cls_s`, `obj_s`, `bbox_s` and `kps_s`; one location a cell at (x * stride, y * stride), without half a cell added. The
score is sqrt(cls * obj), as in OpenCV's FaceDetectorYN.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.types import Detections, Float32s
from workers.detect.letterbox import InputSize
from workers.detect.scrfd import grid, locations, order_by_frame

STRIDES: Final = (8, 16, 32)
OUTPUTS: Final = tuple(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES)

_WIDTHS: Final = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def expected_shapes(size: InputSize) -> dict[str, tuple[int, int]]:
    """Output name to (locations, c)."""
    return {f"{kind}_{stride}": (locations(size, stride), _WIDTHS[kind]) for kind in _WIDTHS for stride in STRIDES}


def decode_yunet(outputs: Mapping[str, npt.NDArray[Any]], *, size: InputSize, min_det_score: float) -> Detections:
    """Read one run's outputs.

    Args:
        outputs: the arrays of `OUTPUTS` by name, each (n, locations, c).
        size: of the input.
        min_det_score: lower bound, inclusive.

    Returns:
        Every location that scores enough, in input pixels, ordered by frame; not suppressed.
    """
    return order_by_frame(
        [
            _decode_stride(
                *(outputs[f"{kind}_{stride}"] for kind in ("cls", "obj", "bbox", "kps")),
                stride=stride,
                size=size,
                min_det_score=min_det_score,
            )
            for stride in STRIDES
        ]
    )


def _decode_stride(
    classes: Float32s,
    objects: Float32s,
    extents: Float32s,
    offsets: Float32s,
    *,
    stride: int,
    size: InputSize,
    min_det_score: float,
) -> Detections:
    scores = np.sqrt(np.clip(classes[..., 0], 0, 1) * np.clip(objects[..., 0], 0, 1))
    frame, index = np.nonzero(scores >= min_det_score)
    origin = grid(size, stride)[index]
    extent = extents[frame, index]
    centre = origin + extent[:, :2] * stride
    half = np.exp(extent[:, 2:]) * (stride / 2)
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    landmarks = origin[:, None] + offsets[frame, index].reshape(-1, 5, 2) * stride
    return Detections(frame.astype(np.int32), boxes, landmarks, scores[frame, index])
