"""Memory maps of the files of a frame store, kept for as long as the files are.

A large file is used for one entry after the other, and mapping all of its pages anew each time would cost a fifth of
what filling them does.
"""

import ctypes
import mmap
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

# Numbers of <linux/falloc.h> and <linux/mman.h>.
_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_POPULATE_READ: Final = 22


@dataclass(frozen=True, slots=True)
class _Map:
    descriptor: int
    mapped: mmap.mmap

    def is_of_use(self) -> bool:
        """Whether its file can still be found by a name."""
        return os.fstat(self.descriptor).st_nlink > 0

    def let_go(self) -> None:
        os.close(self.descriptor)
        with suppress(BufferError):  # a view is still held: the map goes with it
            self.mapped.close()


class Maps:
    """The maps of this process; safe to share between threads.

    Args:
        keep_from_bytes: maps of smaller files go with their last view.
    """

    def __init__(self, *, keep_from_bytes: int) -> None:
        self._keep_from_bytes = keep_from_bytes
        self._maps: dict[tuple[int, bool], _Map] = {}
        self._lock = threading.Lock()

    def get(self, path: Path, *, writable: bool = False) -> mmap.mmap:
        """The whole of a file; not to be closed. Raises FileNotFoundError."""
        descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        is_kept = False
        try:
            status = os.fstat(descriptor)
            with self._lock:
                known = self._maps.get((status.st_ino, writable))
                if known is not None and len(known.mapped) >= status.st_size:
                    return known.mapped
                if known is not None:  # the file was made longer since
                    del self._maps[status.st_ino, writable]
                    known.let_go()
                self._forget_removed()
                prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
                mapped = mmap.mmap(descriptor, 0, flags=mmap.MAP_SHARED, prot=prot)
                is_kept = status.st_size >= self._keep_from_bytes
                if is_kept:
                    self._maps[status.st_ino, writable] = _Map(descriptor, mapped)
            if is_kept:
                _populate(mapped)
            return mapped
        finally:
            if not is_kept:
                os.close(descriptor)

    def _forget_removed(self) -> None:
        for key, known in list(self._maps.items()):
            if not known.is_of_use():
                del self._maps[key]
                known.let_go()


def _populate(mapped: mmap.mmap) -> None:
    """Map every page at once instead of one fault after the other.

    As a call of its own, not a flag of mmap: that would hold the interpreter for tens of milliseconds, and longer in a
    thread of low priority, while somebody waits for an answer.
    """
    pages = np.frombuffer(mapped, np.uint8)  # held: nobody else can end the map meanwhile
    with suppress(AttributeError):  # where it is not known, pages are mapped as they are touched
        ctypes.CDLL(None).madvise(ctypes.c_void_p(pages.ctypes.data), ctypes.c_size_t(pages.nbytes), _POPULATE_READ)


def remove(path: Path) -> None:
    """Give the memory of a file back, also where some process has it mapped: there it reads as zeros from then on."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            with suppress(OSError, AttributeError):  # other systems: the memory goes with the last map
                ctypes.CDLL(None).fallocate(
                    descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(os.fstat(descriptor).st_size)
                )
        finally:
            os.close(descriptor)
        path.unlink()
