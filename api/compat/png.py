"""Raw pixels as a PNG file, without a pixel library: the pools take files."""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np

from api.compat.jsonpickled import RawPicture

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final[Mapping[int, int]] = {1: 0, 3: 2, 4: 6}


def write_png(picture: RawPicture) -> bytes:
    """A PNG file of the same pixels, stored rather than compressed: it is read once and thrown away."""
    rows = np.frombuffer(picture.data, np.uint8).reshape(picture.height_px, -1)
    filtered = np.concatenate([np.zeros((picture.height_px, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", picture.width_px, picture.height_px, 8, _COLOUR_TYPES[picture.channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), level=0)), (b"IEND", b"")
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
