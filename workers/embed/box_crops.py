"""InsightFace's crop by box: the picture around a face, not turned, for networks that look at more than the face.

From deepinsight/insightface, `model_zoo/attribute.py` and `utils/face_align.py::transform` (MIT): a square of 1.5 times
the longer side of the box, about its middle. It always lies inside the face's patch, which is 1.8 times that side. Up
to a box of 142 px a patch has the frame's own pixels, and the crop is the one that InsightFace cuts of the frame; the
patch of a larger face is reduced by area, so that its crop has less aliasing than InsightFace's.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from common.types import Float32s, Int64s, Patches, Uint8s

#: Side of the crop over the longer side of the box.
CONTEXT: Final = 1.5


def crop_scales(boxes: Float32s, side_px: int) -> npt.NDArray[np.float64]:
    """Crop pixels per frame pixel.

    Args:
        boxes: (n, 4) float32, frame pixels. A box without extent counts as one pixel.
        side_px: side of the crop.

    Returns:
        (n,) float64.
    """
    extent = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).max(axis=1, initial=1)
    scales: npt.NDArray[np.float64] = side_px / (extent * CONTEXT)
    return scales


def cut_box_crops(patches: Patches, boxes: Float32s, faces: Int64s, *, side_px: int) -> Uint8s:
    """Crops of some faces, cut from their patches.

    Args:
        patches: one a face.
        boxes: (faces, 4) float32, frame pixels.
        faces: (n,) indices of those wanted.
        side_px: side of a crop.

    Returns:
        (n, side, side, 3) uint8 RGB, bilinear, black outside the frame.
    """
    centres = _centres(boxes[faces]) - patches.origin[faces]
    scales = crop_scales(boxes[faces], side_px)
    crops = np.empty((len(faces), side_px, side_px, 3), np.uint8)
    for i, patch in enumerate(patches.images(faces)):
        patch_scale = float(patches.scale[faces[i]])
        zoom = scales[i] / patch_scale
        shift = side_px / 2 - centres[i] * scales[i]
        transform = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
        crops[i] = cv2.warpAffine(
            patch, transform, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
    return crops


def points_in_frame(points: Float32s, boxes: Float32s, *, side_px: int) -> Float32s:
    """Points in crop pixels to frame pixels; of points in space the depth is scaled alike.

    Args:
        points: (n, k, 2 or 3) float32.
        boxes: (n, 4) float32, whose crops they are in.
        side_px: side of the crops.
    """
    moved = points.astype(np.float64)
    moved[..., :2] -= side_px / 2
    moved /= crop_scales(boxes, side_px)[:, None, None]
    moved[..., :2] += _centres(boxes)[:, None]
    return moved.astype(np.float32)


def _centres(boxes: Float32s) -> npt.NDArray[np.float64]:
    boxes = boxes.astype(np.float64)
    centres: npt.NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres
