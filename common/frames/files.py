"""Frame store of one host: one file an entry, in shared memory; readers map it and copy nothing.

A file is laid out as `common.frames.layout` says; while it is written its name ends in `.part`. The folder itself is
the account of the room taken, so a process that dies leaves nothing to repair: what it had reserved is a file that the
sweeper finds by its key.

Large files are kept when they are released, for the next entry of about their size, made longer where they must be:
fresh pages would have to be made, zeroed, and given back again for every segment, which takes as long as filling them
does. Their maps are kept with them.
"""

import fcntl
import mmap
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt

from common.errors import OverloadedError, TransientError
from common.frames.layout import (
    POLL_S,
    Header,
    fill,
    keep_rows,
    layout_of,
    map_arrays,
    plan_layout,
    read_header,
    room_for,
    too_large,
    write_header,
)
from common.frames.maps import Maps, remove
from common.ports import Layout
from common.types import Arrays

_PART = ".part"
_SPARE = ".spare-"
_WORTH_KEEPING_BYTES = 1 << 18
_LARGEST_SURPLUS = 1.5
_LARGEST_LACK = 2.0


class FileFrameStore:
    """See `common.ports.FrameStore`.

    Args:
        directory: a folder on a memory file system, shared by all pools of this host.
        capacity_bytes: room for all entries together.
    """

    def __init__(self, directory: Path, capacity_bytes: int) -> None:
        self._directory = directory
        self._capacity = capacity_bytes
        directory.mkdir(parents=True, exist_ok=True)
        self._lock_path = directory / ".lock"
        self._maps = Maps(keep_from_bytes=_WORTH_KEEPING_BYTES)

    def create(self, key: str, layout: Layout, *, urgent: bool, wait: Callable[[], None]) -> "FileFrameWriter":
        """See the port."""
        header, size = plan_layout(layout)
        room = room_for(self._capacity, urgent=urgent)
        if size > room:
            raise too_large(size, room)
        path = self._directory / (key + _PART)
        while not self._reserve(path, size, room):
            wait()
            time.sleep(POLL_S)
        return FileFrameWriter(path, self._directory / key, header, self._maps.get(path, writable=True))

    def put(self, key: str, arrays: Arrays, *, urgent: bool, wait: Callable[[], None]) -> None:
        """See the port."""
        fill(self.create(key, layout_of(arrays), urgent=urgent, wait=wait), arrays)

    @contextmanager
    def open(self, key: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """See the port."""
        try:
            mapped = self._maps.get(self._directory / key)
        except FileNotFoundError as error:
            raise TransientError(f"Frames {key} are gone; the segment is run again.") from error
        arrays = map_arrays(mapped, read_header(mapped))
        try:
            yield arrays
        finally:
            arrays.clear()

    def release(self, key: str) -> None:
        """See the port."""
        for path in (self._directory / key, self._directory / (key + _PART)):
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                if size < _WORTH_KEEPING_BYTES:
                    path.unlink()
                else:
                    path.rename(self._directory / f"{_SPARE}{uuid.uuid4().hex}")

    def keys(self) -> Iterator[str]:
        """See the port."""
        for entry in os.scandir(self._directory):
            if not entry.name.startswith("."):
                yield entry.name.removesuffix(_PART)

    def used_bytes(self) -> int:
        """See the port."""
        total = 0
        for entry in os.scandir(self._directory):
            with suppress(FileNotFoundError):
                total += 0 if entry.name.startswith(".") else entry.stat().st_size
        return total

    def trim(self, idle_s: float) -> None:
        """See the port."""
        with self._locked():
            for spare, status in self._spares().items():
                if time.time() - status.st_ctime >= idle_s:
                    remove(spare)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Against all other processes: spare files are used or removed by nobody else meanwhile."""
        with self._lock_path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _reserve(self, path: Path, size: int, room: int) -> bool:
        with self._locked():
            used = self.used_bytes()
            if used + size > room:
                return False
            kept = self._take_spare(path, size, room - used)
            if kept >= size:
                return True
            self._make_place(self._capacity - used - size)
            descriptor = os.open(path, os.O_RDWR | (0 if kept else os.O_CREAT | os.O_TRUNC), 0o600)
            os.ftruncate(descriptor, size)  # counts from here on; others need not wait while pages are made
        try:
            os.posix_fallocate(descriptor, kept, size - kept)  # no room later would be SIGBUS, not an exception
        except OSError as error:
            remove(path)
            raise OverloadedError(f"No room for frames in {self._directory}: {error.strerror}.") from error
        finally:
            os.close(descriptor)
        return True

    def _take_spare(self, path: Path, size: int, room: int) -> int:
        """Give `path` to the file at hand that fits best; returns its size, 0 without one. Needs the lock.

        That is the smallest of those that are large enough and not much larger, else the largest of the others, if it
        is not much smaller.
        """
        spares = {status.st_size: spare for spare, status in self._spares().items()}
        enough = [kept for kept in spares if size <= kept <= min(room, _LARGEST_SURPLUS * size)]
        shorter = [kept for kept in spares if size / _LARGEST_LACK <= kept < size]
        kept = min(enough) if enough else max(shorter, default=0)
        if kept:
            spares[kept].rename(path)
        return kept

    def _spares(self) -> dict[Path, os.stat_result]:
        """Files kept for reuse. Needs the lock."""
        return {path: path.stat() for path in self._directory.glob(f"{_SPARE}*")}

    def _make_place(self, room: int) -> None:
        """Remove spare files, the oldest first, until the others fit in `room`. Needs the lock."""
        spares = self._spares()
        left = sum(status.st_size for status in spares.values())
        for spare, status in sorted(spares.items(), key=lambda item: item[1].st_ctime):
            if left <= room:
                return
            remove(spare)
            left -= status.st_size


class FileFrameWriter:
    """See `common.ports.FrameWriter`."""

    def __init__(self, part: Path, path: Path, header: Header, mapped: mmap.mmap) -> None:
        self._part = part
        self._path = path
        self._header = header
        self._mapped = mapped
        self._arrays = map_arrays(mapped, header)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """See the port."""
        return self._arrays

    def commit(self, rows: int | None = None) -> None:
        """See the port."""
        if rows is not None:
            self._header = keep_rows(self._header, rows)
        write_header(self._mapped, self._header)
        self._arrays = {}
        self._part.rename(self._path)

    def discard(self) -> None:
        """See the port."""
        self._arrays = {}
        remove(self._part)
