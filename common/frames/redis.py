"""Frame store of several hosts: one Redis string an entry. Use a Redis of its own, without persistence.

Redis keys:
    facepipe:frames:<key>     string, laid out as `common.frames.layout` says; lives for an hour at most
    facepipe:frames           hash, entry key to its bytes, reservations included: the account of the room taken
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy.typing as npt
import redis

from common.errors import TransientError
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
from common.ports import Layout
from common.types import Arrays

_ACCOUNT = "facepipe:frames"
_LIFETIME_S = 3600

# KEYS[1] the account; ARGV: entry key, bytes, room. 1 when reserved, 0 when full.
_RESERVE = """
local used = 0
for _, bytes in ipairs(redis.call('hvals', KEYS[1])) do used = used + tonumber(bytes) end
if used + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


class RedisFrameStore:
    """See `common.ports.FrameStore`.

    Args:
        client: a Redis that all hosts reach.
        capacity_bytes: room for all entries of all hosts together.
    """

    def __init__(self, client: redis.Redis, capacity_bytes: int) -> None:
        self._redis = client
        self._capacity = capacity_bytes
        self._reserve = client.register_script(_RESERVE)

    def create(self, key: str, layout: Layout, *, urgent: bool, wait: Callable[[], None]) -> "RedisFrameWriter":
        """See the port."""
        header, size = plan_layout(layout)
        room = room_for(self._capacity, urgent=urgent)
        if size > room:
            raise too_large(size, room)
        with _translated():
            while not self._reserve(keys=[_ACCOUNT], args=[key, size, room]):
                wait()
                time.sleep(POLL_S)
        return RedisFrameWriter(self, self._redis, key, header, size)

    def put(self, key: str, arrays: Arrays, *, urgent: bool, wait: Callable[[], None]) -> None:
        """See the port."""
        fill(self.create(key, layout_of(arrays), urgent=urgent, wait=wait), arrays)

    @contextmanager
    def open(self, key: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """See the port."""
        with _translated():
            data = cast("bytes | None", self._redis.get(_entry(key)))
        if data is None:
            raise TransientError(f"Frames {key} are gone; the segment is run again.")
        yield map_arrays(data, read_header(data))

    def release(self, key: str) -> None:
        """See the port."""
        with _translated(), self._redis.pipeline() as pipe:
            pipe.unlink(_entry(key))
            pipe.hdel(_ACCOUNT, key)
            pipe.execute()

    def keys(self) -> Iterator[str]:
        """See the port."""
        with _translated():
            for key in cast("list[bytes]", self._redis.hkeys(_ACCOUNT)):
                yield key.decode()

    def trim(self, idle_s: float) -> None:
        """See the port; nothing is kept here."""

    def used_bytes(self) -> int:
        """See the port."""
        with _translated():
            return sum(int(size) for size in cast("list[bytes]", self._redis.hvals(_ACCOUNT)))


class RedisFrameWriter:
    """See `common.ports.FrameWriter`."""

    def __init__(self, store: RedisFrameStore, client: redis.Redis, key: str, header: Header, size: int) -> None:
        self._store = store
        self._redis = client
        self._key = key
        self._header = header
        self._buffer: bytearray | None = bytearray(size)
        self._arrays = map_arrays(self._buffer, header)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """See the port."""
        return self._arrays

    def commit(self, rows: int | None = None) -> None:
        """See the port."""
        if self._buffer is None:
            raise ValueError("this entry was committed or discarded before")
        if rows is not None:
            self._header = keep_rows(self._header, rows)
        write_header(self._buffer, self._header)
        with _translated():
            self._redis.set(_entry(self._key), memoryview(self._buffer), ex=_LIFETIME_S)
        self._close()

    def discard(self) -> None:
        """See the port."""
        if self._buffer is not None:
            self._close()
            self._store.release(self._key)

    def _close(self) -> None:
        self._arrays = {}
        self._buffer = None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise TransientError(f"The frame store cannot be reached: {error}") from error


def _entry(key: str) -> str:
    return f"{_ACCOUNT}:{key}"
