"""Cuts a square patch around each face, so that whole frames need not travel beyond detection."""

from typing import Final

import numpy as np

from common.types import Detections, Float32s, Patches, Uint8s
from workers.detect.pictures import Pictures, Window

#: Side of a patch over the longer side of the face's box: enough for the landmarks and the whole aligned crop.
CONTEXT: Final = 1.8

#: Larger patches are reduced to at most this side, by a whole number of frame pixels a patch pixel; a face then still
#: has as many pixels as an aligned crop.
MAX_SIDE_PX: Final = 320


def cut_patches(pictures: Pictures, detections: Detections) -> Patches:
    """Cut one patch a face out of its frame, at native resolution or reduced by area.

    Args:
        pictures: the frames.
        detections: faces in those frames.

    Returns:
        One patch a face, black where it reaches beyond the picture. `origin` is where the middle of a patch's first
        pixel lies in the frame, so that `origin + p / scale` holds for pixel p of reduced patches too.
    """
    extent = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(axis=1, initial=1)
    longest = 2 * max(pictures.height_px, pictures.width_px)
    wanted = np.ceil(extent * CONTEXT).clip(1, longest).astype(np.int64)
    factors = -(-wanted // MAX_SIDE_PX)
    sides = -(-wanted // factors)
    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    corners = np.rint(centres - (sides * factors)[:, None] / 2).astype(np.int64)
    images = [
        _cut(pictures, frame, corner, side, factor)
        for frame, corner, side, factor in zip(
            detections.frame.tolist(), corners.tolist(), sides.tolist(), factors.tolist(), strict=True
        )
    ]
    origin: Float32s = (corners + ((factors - 1) / 2)[:, None]).astype(np.float32)
    return Patches.join(images, origin, (1 / factors).astype(np.float32))


def _cut(pictures: Pictures, frame: int, corner: tuple[int, int], side: int, factor: int) -> Uint8s:
    """(side, side, 3) from a corner that may lie outside; a patch pixel that only half shows the picture is black."""
    x, y = corner
    left, right = _inside(x, pictures.width_px, side, factor)
    top, bottom = _inside(y, pictures.height_px, side, factor)
    is_whole = right - left == side and bottom - top == side
    if not is_whole:
        patch = np.zeros((side, side, 3), np.uint8)
        if right <= left or bottom <= top:
            return patch
    window = Window(x + left * factor, y + top * factor, x + right * factor, y + bottom * factor)
    part = pictures.reduced(frame, window, factor)
    if is_whole:
        return part
    patch[top:bottom, left:right] = part
    return patch


def _inside(corner: int, length: int, side: int, factor: int) -> tuple[int, int]:
    """First and last-but-one pixel of a patch from `corner` that lie wholly between 0 and `length`."""
    return max(0, -(corner // factor)), min(side, (length - corner) // factor)
