"""ffmpeg's mpjpeg output, cut into JPEG files: each part says its length, so no byte of a picture is looked at."""

import re
from collections.abc import Callable, Iterator
from typing import Final

from common.errors import TransientError

Read = Callable[[memoryview], int]
"""Fills a view; short only where the output ends."""

_LENGTH: Final = re.compile(rb"content-length: *(\d{1,9})", re.IGNORECASE)
_LONGEST_LINE: Final = 200
_LARGEST_BYTES: Final = 256 << 20


def read_parts(read: Read) -> Iterator[bytes]:
    """The JPEG files, until the output ends; one that is cut off is left out.

    Raises:
        TransientError: that is no mpjpeg.
    """
    length = 0
    while (line := _read_line(read)) is not None:
        if found := _LENGTH.fullmatch(line):
            length = int(found[1])
        elif line == b"" and length:
            if length > _LARGEST_BYTES:
                raise TransientError(f"A picture of {length} bytes is too large.")
            picture = bytearray(length)
            if read(memoryview(picture)) < length:
                return
            yield bytes(picture)
            length = 0


def _read_line(read: Read) -> bytes | None:
    """A line without its end, byte by byte: what comes behind the last header belongs to the picture."""
    line, byte = bytearray(), bytearray(1)
    while read(memoryview(byte)):
        if byte == b"\n":
            return bytes(line).rstrip(b"\r")
        line += byte
        if len(line) > _LONGEST_LINE:
            raise TransientError("ffmpeg wrote something else than pictures.")
    return None
