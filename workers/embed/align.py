"""ArcFace's crop: five landmarks moved onto fixed places by turning, scaling and shifting.

The places are those of InsightFace (deepinsight/insightface, `utils/face_align.py`, MIT). The transform is the
least-squares similarity of Umeyama (1991); in the plane, with points as complex numbers, it has a closed form.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from common.types import Detections, Float32s, Int64s, Patches, Uint8s

CROP_SIDE_PX: Final = 112

#: (5, 2) where the landmarks lie in a crop.
TEMPLATE: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def estimate_transforms(landmarks: Float32s) -> npt.NDArray[np.float64]:
    """The similarity transforms that bring landmarks closest to `TEMPLATE`, without mirroring.

    Args:
        landmarks: (n, 5, 2) float32, pixels.

    Returns:
        (n, 2, 3) float64, from those pixels to crop pixels. Landmarks that all coincide give a transform of scale 0.
    """
    points = _complex(landmarks)
    target = _complex(TEMPLATE)
    centre = points.mean(axis=1)
    offsets = points - centre[:, None]
    spread = (np.abs(offsets) ** 2).sum(axis=1)
    agreement = (offsets.conj() * (target - target.mean())).sum(axis=1)
    turn = np.divide(agreement, spread, out=np.zeros_like(agreement), where=spread > 0)
    shift = target.mean() - turn * centre
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), -1, 0)


def _complex(points: Float32s) -> npt.NDArray[np.complex128]:
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def landmarks_in_patch(landmarks: Float32s, patches: Patches) -> Float32s:
    """Frame pixels to pixels of each face's own patch; (n, 5, 2) float32 in and out, n the number of patches."""
    moved: Float32s = (landmarks - patches.origin[:, None]) * patches.scale[:, None, None]
    return moved


def align(image: Uint8s, transform: npt.NDArray[np.float64]) -> Uint8s:
    """One crop: (112, 112, 3) uint8, bilinear, black outside the image."""
    size = (CROP_SIDE_PX, CROP_SIDE_PX)
    crop = cv2.warpAffine(image, transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(crop, np.uint8)


def align_crops(patches: Patches, detections: Detections, faces: Int64s) -> Uint8s:
    """Crops of some faces, cut from their patches.

    Args:
        patches: one a face.
        detections: the faces.
        faces: (n,) indices of those wanted.

    Returns:
        (n, 112, 112, 3) uint8 RGB.
    """
    transforms = estimate_transforms(landmarks_in_patch(detections.landmarks, patches)[faces])
    crops = np.empty((len(faces), CROP_SIDE_PX, CROP_SIDE_PX, 3), np.uint8)
    for crop, patch, transform in zip(crops, patches.images(faces), transforms, strict=True):
        crop[:] = align(patch, transform)
    return crops
