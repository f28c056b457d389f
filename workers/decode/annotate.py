"""A picture with the faces that were found in it drawn in, as a JPEG file."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from PIL import Image

from common.drawing import draw_answer
from common.types import Uint8s

_QUALITY: Final = 95


def annotate(pixels: Uint8s, faces: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw and encode.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        faces: see `common.drawing.draw_answer`.

    Returns:
        A JPEG file of the same width and height.
    """
    file = io.BytesIO()
    Image.fromarray(draw_answer(pixels, faces)).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
