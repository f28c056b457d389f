"""Faces drawn into a picture: green boxes, red landmarks, the label above the box."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from common.types import Float32s, Uint8s

_GREEN: Final = (0, 255, 0)
_RED: Final = (255, 0, 0)
_LONGEST_LABEL: Final = 80

#: Sides of the picture over thickness of a line, and over height of the text, in pixels.
_LINES_A_SIDE: Final = 400
_TEXTS_A_SIDE: Final = 40
_LEAST_TEXT_PX: Final = 10


def draw_answer(pixels: Uint8s, faces: Sequence[Mapping[str, Any]]) -> Uint8s:
    """The same for faces as `common.stage.answers` describes them, each with a `label` beside.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        faces: `box`, `landmarks` (None: not known) and `label`.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    boxes = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
    landmarks = np.full((len(faces), 5, 2), np.nan, np.float32)
    for points, face in zip(landmarks, faces, strict=True):
        if face["landmarks"] is not None:
            points[:] = face["landmarks"]
    return draw_faces(pixels, boxes, landmarks, [str(face["label"]) for face in faces])


def draw_faces(pixels: Uint8s, boxes: Float32s, landmarks: Float32s, labels: Sequence[str]) -> Uint8s:
    """A copy of the picture with its faces drawn in; lines and text grow with the picture.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        boxes: (n, 4) float32, pixels; may reach beyond the picture.
        landmarks: (n, k, 2) float32, pixels; those that are not finite are left out.
        labels: n texts; only their first 80 characters are drawn.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    side = max(image.size)
    line_px = max(1, round(side / _LINES_A_SIDE))
    text_px = max(_LEAST_TEXT_PX, round(side / _TEXTS_A_SIDE))
    font = ImageFont.load_default(text_px)
    for box, points, label in zip(boxes, landmarks, labels, strict=True):
        # beyond the picture nothing is seen, and far beyond it Pillow's integers end
        x1, y1, x2, y2 = np.clip(np.sort(box.reshape(2, 2), axis=0).ravel(), -side, 2 * side).round().tolist()
        draw.rectangle((x1, y1, x2, y2), outline=_GREEN, width=line_px)
        for x, y in points[np.isfinite(points).all(axis=1)].clip(-side, 2 * side).tolist():
            draw.ellipse((x - line_px, y - line_px, x + line_px, y + line_px), fill=_RED)
        text = " ".join(label[:_LONGEST_LABEL].split())
        draw.text((max(x1, 0), max(y1 - text_px * 1.25, 0)), text, fill=_GREEN, font=font)
    return np.array(image)
