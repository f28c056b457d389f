"""What the planes of a decoded frame mean, and how they become RGB."""

import re
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from common.types import Float32s

#: Formats whose planes are passed on as they are: luma, and two quarter planes of chroma, of eight bits.
PLANAR_FORMATS: Final = ("yuv420p", "yuvj420p")

_FORMAT: Final = re.compile(r"Video: [^,(]+(?:\([^,]*\))*, (\w+)(?:\(([^)]*)\))?")

# Weights of red and blue in luma: ITU-R BT.601, BT.709, BT.2020. ffmpeg, too, takes BT.601 where a file says nothing.
_WEIGHTS: Final = {
    "bt709": (0.2126, 0.0722),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "unknown": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}
_RANGES: Final = frozenset({"tv", "pc"})


@dataclass(frozen=True, slots=True)
class Colour:
    """Colours of I420 frames.

    Attributes:
        matrix: ffmpeg's name of the colour space.
        is_full: whether luma and chroma use all of 0 to 255; otherwise luma goes from 16 to 235, chroma to 240.
    """

    matrix: str
    is_full: bool

    @classmethod
    def parse(cls, stream_line: str) -> Self | None:
        """Colours of frames that can be passed on as planes, by ffmpeg's line about a stream; None for all others."""
        found = _FORMAT.search(stream_line)
        if found is None or found[1] not in PLANAR_FORMATS:
            return None
        words = [word.strip() for word in (found[2] or "").split(",")]
        ranges = [word for word in words if word in _RANGES]
        spaces = [word.partition("/")[0] for word in words if word.partition("/")[0] in _WEIGHTS]
        is_strange = any("/" in word and word.partition("/")[0] not in _WEIGHTS for word in words)
        if is_strange or {"gbr", "ycgco", "bt2020c", "fcc", "smpte240m"} & set(words):
            return None
        is_full = found[1] == "yuvj420p" or ranges == ["pc"]
        return cls(spaces[0] if spaces else "unknown", is_full)

    @property
    def yuv_to_rgb(self) -> Float32s:
        """(3, 4) float32: RGB is this matrix times (Y, U, V, 1), all of them 0 to 255."""
        red, blue = _WEIGHTS[self.matrix]
        green = 1 - red - blue
        luma, chroma, black = (1.0, 2.0, 0.0) if self.is_full else (255 / 219, 2 * 255 / 224, 16.0)
        by_v, by_u = chroma * (1 - red), chroma * (1 - blue)
        rows = np.array([[luma, 0, by_v], [luma, -by_u * blue / green, -by_v * red / green], [luma, by_u, 0]])
        offset = rows @ np.array([-black, -128.0, -128.0])
        return np.concatenate([rows, offset[:, None]], axis=1).astype(np.float32)
