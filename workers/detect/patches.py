"""Cuts a square patch around each face, so that whole frames need not travel beyond detection."""

from typing import Final

import cv2
import numpy as np

from common.types import Detections, Float32s, Patches, Uint8s

#: Side of a patch over the longer side of the face's box: enough for the landmarks and the whole aligned crop.
CONTEXT: Final = 1.8

#: Larger patches are reduced to this side; a face then still has more pixels than an aligned crop.
MAX_SIDE_PX: Final = 256

# A side to be reduced is rounded up to a multiple of this, so that a whole number of frame pixels (a block) becomes
# exactly _BLOCK_PX patch pixels, and only the blocks that touch the picture need be reduced.
_BLOCKS: Final = 32
_BLOCK_PX: Final = MAX_SIDE_PX // _BLOCKS


def cut_patches(pixels: Uint8s, detections: Detections) -> Patches:
    """Cut one patch a face out of its frame, at native resolution or reduced by area.

    Args:
        pixels: (frames, height, width, 3) uint8 RGB.
        detections: faces in those frames.

    Returns:
        One patch a face, black where it reaches beyond the picture. `origin` is where the middle of a patch's first
        pixel lies in the frame, so that `origin + p / scale` holds for pixel p of reduced patches too.
    """
    height, width = pixels.shape[1:3]
    extent = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(axis=1, initial=1)
    sides = np.ceil(extent * CONTEXT).clip(1, 2 * max(height, width)).astype(np.int64)
    sides = np.where(sides > MAX_SIDE_PX, -(-sides // _BLOCKS) * _BLOCKS, sides)
    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    corners = np.rint(centres - sides[:, None] / 2).astype(np.int64)
    images = [
        _cut(pixels[frame], int(x), int(y), int(side))
        for frame, (x, y), side in zip(detections.frame, corners, sides, strict=True)
    ]
    scale = np.minimum(1, MAX_SIDE_PX / sides)
    origin: Float32s = (corners + ((1 / scale - 1) / 2)[:, None]).astype(np.float32)
    return Patches.join(images, origin, scale.astype(np.float32))


def _cut(frame: Uint8s, x: int, y: int, side: int) -> Uint8s:
    """One square of the frame, whose corner may lie outside it."""
    if side <= MAX_SIDE_PX:
        return _window(frame, x, y, side, side)
    block = side // _BLOCKS
    patch = np.zeros((MAX_SIDE_PX, MAX_SIDE_PX, 3), np.uint8)
    left, right = _touched(x, frame.shape[1], block)
    top, bottom = _touched(y, frame.shape[0], block)
    columns, rows = right - left, bottom - top
    if columns <= 0 or rows <= 0:
        return patch
    window = _window(frame, x + left * block, y + top * block, columns * block, rows * block)
    size = (columns * _BLOCK_PX, rows * _BLOCK_PX)
    patch[top * _BLOCK_PX : bottom * _BLOCK_PX, left * _BLOCK_PX : right * _BLOCK_PX] = cv2.resize(
        window, size, interpolation=cv2.INTER_AREA
    )
    return patch


def _touched(corner: int, length: int, block: int) -> tuple[int, int]:
    """First and last-but-one block of a square from `corner` that touch a picture from 0 to `length`."""
    return max(0, -corner // block), min(_BLOCKS, -(-(length - corner) // block))


def _window(frame: Uint8s, x: int, y: int, width: int, height: int) -> Uint8s:
    """(height, width, 3) from the corner (x, y), black outside the frame; a view where it lies inside."""
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, frame.shape[1]), min(y + height, frame.shape[0])
    if right - left == width and bottom - top == height:
        return frame[top:bottom, left:right]
    window = np.zeros((height, width, 3), np.uint8)
    if right > left and bottom > top:
        window[top - y : bottom - y, left - x : right - x] = frame[top:bottom, left:right]
    return window
