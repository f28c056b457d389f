"""How several arrays lie in one stretch of bytes.

A 4096-byte header (JSON, zero-padded) `{"name": [dtype, shape, offset], …}`, then the arrays, each at a multiple of 64.
"""

import json
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import BadInputError
from common.ports import FrameWriter, Layout
from common.types import Arrays

HEADER_BYTES = 4096

#: How often a store looks for room while somebody waits, in s.
POLL_S = 0.02

_URGENT_SHARE = 0.2
_ALIGN = 64

Header = dict[str, Any]


def layout_of(arrays: Arrays) -> Layout:
    """The layout that holds exactly these arrays."""
    return {name: (array.dtype.str, array.shape) for name, array in arrays.items()}


def fill(writer: FrameWriter, arrays: Arrays) -> None:
    """Copy arrays into an entry of their layout, and commit it."""
    for name, array in arrays.items():
        writer.arrays[name][...] = array
    writer.commit()


def plan_layout(layout: Layout) -> tuple[Header, int]:
    """Header for arrays of these types and shapes, and the bytes that all need."""
    offset = HEADER_BYTES
    header: Header = {}
    for name, (dtype, shape) in layout.items():
        header[name] = [dtype, list(shape), offset]
        size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        offset += -(-size // _ALIGN) * _ALIGN
    return header, offset


def keep_rows(header: Header, rows: int) -> Header:
    """The same arrays with only their first `rows` rows."""
    return {name: [dtype, [rows, *shape[1:]], offset] for name, (dtype, shape, offset) in header.items()}


def room_for(capacity_bytes: int, *, urgent: bool) -> int:
    """What of a store's capacity an entry may count on: the last fifth is kept for urgent ones."""
    return capacity_bytes if urgent else int(capacity_bytes * (1 - _URGENT_SHARE))


def too_large(size: int, room: int) -> BadInputError:
    """The error for an entry that can never fit."""
    return BadInputError(
        f"A segment needs {size >> 20} MiB, the frame store may hold {room >> 20} MiB:"
        " raise FACEPIPE_FRAMES__CAPACITY_BYTES or lower FACEPIPE_DECODE__SEGMENT_BYTES.",
        "too_large",
    )


def write_header(buffer: "mmap.mmap | bytearray", header: Header) -> None:
    """Put the header at the front of `buffer`."""
    buffer[:HEADER_BYTES] = json.dumps(header).encode().ljust(HEADER_BYTES, b"\0")


def read_header(buffer: "mmap.mmap | bytes") -> Header:
    """Inverse of `write_header`."""
    header: Header = json.loads(buffer[:HEADER_BYTES].rstrip(b"\0"))
    return header


def map_arrays(buffer: "mmap.mmap | bytes | bytearray", header: Header) -> dict[str, npt.NDArray[Any]]:
    """Views into `buffer`; writable where it is."""
    return {
        name: np.frombuffer(buffer, dtype, int(np.prod(shape, dtype=np.int64)), offset).reshape(shape)
        for name, (dtype, shape, offset) in header.items()
    }
