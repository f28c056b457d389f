"""A place for one thing, in which a newer one takes the place of the older one."""

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Newest(Generic[Item]):
    """Between one thread that brings faster than another one takes. What is never taken counts as skipped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._skipped = 0
        self._is_closed = False

    def put(self, item: Item) -> None:
        """Bring an item; never waits. After `close` it is dropped."""
        with self._changed:
            if self._is_closed:
                return
            self._skipped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The newest item that nobody has taken yet, waiting for one.

        Args:
            timeout_s: None waits until there is one.

        Returns:
            None when there is none in time, or never again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Nothing more is brought; what lies there may still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether it is closed and all is taken."""
        with self._changed:
            return self._is_closed and self._item is None

    @property
    def skipped(self) -> int:
        """Items that gave way to a newer one so far."""
        with self._changed:
            return self._skipped
