"""The doors of the house: what the stages need of the outside, without saying who provides it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol

import numpy.typing as npt

from common.types import Arrays

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""Array name to (numpy dtype string, shape)."""


class FrameWriter(Protocol):
    """An entry being written. Nobody sees it before `commit`."""

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Writable arrays of the layout asked for; fill them in place."""

    def commit(self, rows: int | None = None) -> None:
        """Publish the entry; with `rows`, every array keeps only its first `rows` rows."""

    def discard(self) -> None:
        """Give the space back; harmless after `commit`."""


class FrameStore(Protocol):
    """Bounded room for decoded frames and crops between two stages.

    Keys are `WorkRef.key`, a colon and the kind, such as `…:frames`. Entries are immutable once committed.
    """

    def create(self, key: str, layout: Layout, *, urgent: bool, wait: Callable[[], None]) -> FrameWriter:
        """Reserve room for a whole entry, waiting while the store is full.

        Reserving whole entries up front is what makes waiting safe: a half-written entry never waits for room.

        Args:
            urgent: interactive work, and what empties the room; may use its last fifth, which frames leave free.
            wait: called about every 20 ms while waiting; raises to give up.
        Raises:
            BadInputError: the entry alone exceeds the capacity.
        """

    def put(self, key: str, arrays: Arrays, *, urgent: bool, wait: Callable[[], None]) -> None:
        """`create`, fill and `commit` in one."""

    def open(self, key: str) -> AbstractContextManager[dict[str, npt.NDArray[Any]]]:
        """Read-only arrays, valid inside the `with`, without a copy where the backend can.

        Raises:
            TransientError: no such entry (released, swept, or the store lost it); the step is run again.
        """

    def release(self, key: str) -> None:
        """Free an entry; freeing it twice is harmless."""

    def keys(self) -> Iterator[str]:
        """Every entry, also half-written ones, for the sweeper."""

    def used_bytes(self) -> int:
        """Room taken, reservations included."""

    def trim(self, idle_s: float) -> None:
        """Give back memory that is kept for reuse and was not used for so long."""


class BlobStore(Protocol):
    """Uploads, crops and thumbnails. Keys are slash-separated paths of `[A-Za-z0-9._-]` parts."""

    def incoming(self) -> "BlobWriter":
        """Begin an upload of unknown size."""

    def put(self, key: str, data: bytes) -> None:
        """Store small data under `key`, durably, replacing what was there."""

    def put_all(self, files: Mapping[str, bytes]) -> None:
        """`put` for many keys, in less time than one after the other. An error or a crash may leave some of them."""

    def open(self, key: str) -> BinaryIO:
        """Read from the start. Raises NotFoundError."""

    def read(self, key: str) -> bytes:
        """All of it. Raises NotFoundError."""

    def path(self, key: str) -> str:
        """A local path for programs that need one, such as ffmpeg. Raises NotFoundError."""

    def delete(self, prefix: str) -> None:
        """Remove `prefix` itself or everything below it; nothing there is harmless."""

    def list(self, prefix: str) -> Iterator[tuple[str, float]]:
        """(key, Unix time of writing) of everything below `prefix`, for the sweeper."""


class BlobWriter(Protocol):
    """An upload under way; a binary file object that hashes what is written."""

    def write(self, data: bytes) -> int:
        """Append."""

    def commit(self, key: str) -> None:
        """Make it durable under `key` and close."""

    def discard(self) -> None:
        """Throw it away and close; harmless after `commit`."""

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""

    @property
    def size(self) -> int:
        """Bytes written so far."""


class ModelSession(Protocol):
    """A loaded network: named float arrays in, arrays out in the graph's order."""

    @property
    def inputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """Name and shape of each input; a string or None is a dynamic axis."""

    @property
    def outputs(self) -> Sequence[tuple[str, tuple[int | str | None, ...]]]:
        """Name and shape of each output."""

    def run(self, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """One run; thread-safe."""
