"""How much a face is worth: one number in [0, 1] and the parts it is made of.

Quality ranks the crops of a tracklet and weighs them when they are fused; it is no probability. All parts are in
[0, 1], and quality is their geometric mean, so that one bad part cannot be bought off by the others:

* size: logarithm of the box's shorter side, 0 at 16 px, 1 from 112 px (the side of a crop) up;
* pose: 1 seen from the front, falling to 0 in profile; see `rate_pose`. Elsewhere called frontality, since a pose is
  angles there;
* sharpness: see `measure_sharpness`;
* det_score: the detector's.
"""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from common.types import Detections, Float32s, Int64s, Uint8s

_MIN_SIDE_PX: Final = 16.0
_FULL_SIDE_PX: Final = 112.0

# Where the nose of ArcFace's template lies on the way from the eyes to the mouth, and the spread of pose.
_NOSE_HEIGHT: Final = 0.495
_YAW_SPREAD: Final = 0.30
_PITCH_SPREAD: Final = 0.30

# The part of a crop that is face whatever the pose, and the length over which it is blurred again.
_FACE: Final = (slice(24, 104), slice(20, 92))
_REBLUR_PX: Final = 9

# Share of the variation lost by blurring again, measured on LFW: 0.47 to 0.66 as they are, 0.31 to 0.44 blurred by a
# Gaussian of 2 crop pixels, 0.24 to 0.36 by one of 3 (5th to 95th percentile).
_BLURRED_LOSS: Final = 0.30
_SHARP_LOSS: Final = 0.65


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of some faces and its measured parts; all (n,) float32 in [0, 1].

    Attributes:
        total: the quality.
        sharpness: one of its parts, which enrolment bounds by itself.
    """

    total: Float32s
    sharpness: Float32s

    @classmethod
    def measure(cls, detections: Detections, faces: Int64s, crops: Uint8s) -> Self:
        """Measure faces.

        Args:
            detections: all faces.
            faces: (n,) indices of those to measure.
            crops: (n, 112, 112, 3) uint8 RGB, their aligned crops.
        """
        sharpness = measure_sharpness(crops)
        geometry = rate_geometry(detections)[faces].astype(np.float64)
        total = geometry**0.75 * sharpness.astype(np.float64) ** 0.25
        return cls(total.astype(np.float32), sharpness)


def rate_geometry(detections: Detections) -> Float32s:
    """Geometric mean of size, pose and det_score: what quality can be told without pixels; (faces,) float32."""
    parts = rate_size(detections.boxes) * rate_pose(detections.landmarks) * detections.det_scores.clip(0, 1)
    geometry: Float32s = np.cbrt(parts)
    return geometry


def rate_size(boxes: Float32s) -> Float32s:
    """(n, 4) boxes in pixels to (n,) in [0, 1]."""
    side = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf).clip(_MIN_SIDE_PX, _FULL_SIDE_PX)
    size: Float32s = np.log(side / _MIN_SIDE_PX) / np.log(np.float32(_FULL_SIDE_PX / _MIN_SIDE_PX))
    return size


def rate_pose(landmarks: Float32s) -> Float32s:
    """How frontal faces are, whatever their roll.

    The nose is written as eyes + a * (right eye - left eye) + b * (mouth - eyes), all from the middles; seen from the
    front a is 0 and b about one half.

    Args:
        landmarks: (n, 5, 2) float32.

    Returns:
        (n,) float32 in [0, 1]; 0 where eyes and mouth lie on one line.
    """
    points = landmarks.astype(np.float64)
    eyes = points[:, :2].mean(axis=1)
    across = points[:, 1] - points[:, 0]
    down = points[:, 3:].mean(axis=1) - eyes
    nose = points[:, 2] - eyes
    area = _cross(across, down)
    is_face = area > 0
    yaw = np.divide(_cross(nose, down), area, out=np.full(len(area), np.inf), where=is_face)
    pitch = np.divide(_cross(across, nose), area, out=np.full(len(area), np.inf), where=is_face)
    spread = (yaw / _YAW_SPREAD) ** 2 + ((pitch - _NOSE_HEIGHT) / _PITCH_SPREAD) ** 2
    frontal: Float32s = np.exp(-spread).astype(np.float32)
    return frontal


def _cross(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def measure_sharpness(crops: Uint8s) -> Float32s:
    """Sharpness of the face in aligned crops.

    A picture is blurred once more; one that was sharp loses much of its variation from pixel to pixel, one that was
    blurred little (Crete et al., "The blur effect", 2007). The measure does not depend on contrast, nor, because it is
    taken on the crop, on how large the face was, except that a face enlarged to the crop counts as blurred. The worse
    of the two directions counts, so that motion blur is seen.

    Args:
        crops: (n, 112, 112, 3) uint8 RGB. Black pixels, such as those beyond the picture's edge, are left out.

    Returns:
        (n,) float32 in [0, 1]; 0 where there is no variation at all.
    """
    losses = [min(_loss(grey), _loss(grey.T)) for grey in map(_grey_face, crops)]
    rated = (np.array(losses, np.float32) - _BLURRED_LOSS) / (_SHARP_LOSS - _BLURRED_LOSS)
    sharpness: Float32s = rated.clip(0, 1).astype(np.float32)
    return sharpness


def _grey_face(crop: Uint8s) -> Float32s:
    grey: Float32s = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[_FACE], np.float32)
    return grey


def _loss(grey: Float32s) -> float:
    """Share of the variation along the rows that blurring along the rows takes away."""
    grey = np.ascontiguousarray(grey)
    near = cv2.erode((grey > 0).astype(np.uint8), np.ones((1, _REBLUR_PX + 2), np.uint8))[:, 1:]
    before = np.abs(np.diff(grey, axis=1)) * near
    after = np.abs(np.diff(cv2.blur(grey, (_REBLUR_PX, 1)), axis=1)) * near
    variation = float(before.sum())
    return float(np.maximum(0, before - after).sum()) / variation if variation > 0 else 0.0
