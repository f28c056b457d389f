"""Bulk work steps aside, inside one process, while somebody waits for an answer.

Threads of a process take turns at the interpreter. A thread of bulk work has a low priority with the kernel, so when it
holds the interpreter it may hold it for long, and a call beside it waits as if it had that priority itself. Where bulk
work asks whether to go on, it therefore waits first until no call is under way.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LONGEST_WAIT_S: Final = 0.1


class Courtesy:
    """See the module; thread-safe.

    Args:
        longest_wait_s: bulk work goes on after so long, however many calls there are.
    """

    def __init__(self, longest_wait_s: float = _LONGEST_WAIT_S) -> None:
        self._longest_wait_s = longest_wait_s
        self._lock = threading.Lock()
        self._calls = 0
        self._is_clear = threading.Event()
        self._is_clear.set()

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """Around a call."""
        with self._lock:
            self._calls += 1
            self._is_clear.clear()
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                if not self._calls:
                    self._is_clear.set()

    def give_way(self) -> None:
        """In bulk work, where it could be interrupted: returns at once where there is no call."""
        if not self._is_clear.is_set():
            self._is_clear.wait(self._longest_wait_s)
