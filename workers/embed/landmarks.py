"""Dense landmarks: the contracts `landmark_2d_106` and `landmark_3d_68` of InsightFace, and what follows from them.

From deepinsight/insightface, `model_zoo/landmark.py` and `utils/transform.py` (MIT): a crop by box, and coordinates in
which the middle of the crop is 0 and its edges are -1 and 1.

* `landmark_2d_106` (2d106det): 106 points in the picture, in InsightFace's own order: contour 0 to 32, image-left eye
  33 to 42 and brow 43 to 51, mouth 52 to 71, nose 72 to 86, image-right eye 87 to 96 and brow 97 to 105.
* `landmark_3d_68` (1k3d68): 1103 points in space, the last 68 of which are those of iBUG; depth grows towards the
  viewer, in pixels too.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Float32s
from workers.embed.box_crops import points_in_frame
from workers.embed.mean_shape import MEAN_SHAPE

#: Contract to numbers a face.
LANDMARK_WIDTHS: Final[Mapping[str, tuple[int, ...]]] = {
    "landmark_2d_106": (106 * 2,),
    "landmark_3d_68": (1103 * 3, 68 * 3),
}

# Points whose mean is one of ArcFace's five. Of the 106, two lie in each pupil (deepinsight/insightface, issue 2408: 34
# and 38, 88 and 92), 86 is the tip of the nose, 52 and 61 are the corners of the mouth. Of iBUG's 68, the eyes are
# outlined by 36 to 41 and 42 to 47, 30 is the tip of the nose, 48 and 54 are the corners of the mouth.
_FIVE_OF: Final[Mapping[int, tuple[tuple[int, ...], ...]]] = {
    106: ((34, 38), (88, 92), (86,), (52,), (61,)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
}


def decode_landmarks(raw: Float32s, boxes: Float32s, contract: str, *, side_px: int) -> Float32s:
    """Points in frame pixels.

    Args:
        raw: (n, width) float32 as the network gave it.
        boxes: (n, 4) float32 of the faces.
        contract: see the module.
        side_px: side of the network's crops.

    Returns:
        (n, 106, 2) or (n, 68, 3) float32.
    """
    count, axes = (106, 2) if contract == "landmark_2d_106" else (68, 3)
    points = raw.reshape(len(raw), raw.shape[1] // axes, axes)[:, -count:].copy()
    points[..., :2] += 1
    points *= side_px // 2
    return points_in_frame(points, boxes, side_px=side_px)


def five_points(points: Float32s) -> Float32s:
    """The five landmarks out of the 106 or the 68.

    Args:
        points: (n, 106, 2) or (n, 68, 3) float32.

    Returns:
        (n, 5, 2) float32: image-left eye, image-right eye, nose, image-left and image-right mouth corner.
    """
    groups = _FIVE_OF[points.shape[1]]
    return np.stack([points[:, list(group), :2].mean(axis=1) for group in groups], axis=1)


def estimate_pose(points: Float32s) -> Float32s:
    """How a head is turned, from 68 points in space.

    The affine transform that brings the mean face closest to the points gives the axes of the head. The angles are
    InsightFace's, of the rotation Rz(roll) Ry(yaw) Rx(pitch): positive when the face looks up, when it looks to the
    right of the picture, and when it is turned clockwise as seen.

    Args:
        points: (n, 68, 3) float32.

    Returns:
        (n, 3) float32 degrees: pitch, yaw, roll. NaN where the points lie in one place.
    """
    mean = np.column_stack([MEAN_SHAPE.astype(np.float64), np.ones(len(MEAN_SHAPE))])
    fitted = np.linalg.pinv(mean) @ points.astype(np.float64)
    first, second = _unit(fitted[:, :3, 0]), _unit(fitted[:, :3, 1])
    third = np.cross(first, second)
    cosine = np.hypot(first[:, 0], second[:, 0])
    pitch = np.arctan2(third[:, 1], third[:, 2])
    yaw = np.arctan2(-third[:, 0], cosine)
    roll = np.arctan2(second[:, 0], first[:, 0])
    angles: Float32s = np.degrees(np.stack([pitch, yaw, roll], axis=1)).astype(np.float32)
    return angles


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 1e-9, lengths, np.nan)
