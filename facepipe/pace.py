"""How fast something goes, and how long it will still take."""

import time
from collections.abc import Callable

from facepipe.bars import Bar
from facepipe.console import count


class Pace:
    """Shows a count on a bar, with the rate since the beginning and the time left. May be told by several threads.

    Args:
        noun: what is counted, such as `image`.
        total: how many there are; None: not known.
    """

    def __init__(self, bar: Bar, noun: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = bar
        self._noun = noun
        self._total = total
        self._clock = clock
        self._began_s = clock()
        self._done = 0
        self._passed_over = 0

    def advance(self, number: int, *, is_work: bool = True) -> None:
        """So many more are done; without `is_work` they took no time and say nothing about the rate."""
        self._done += number
        if not is_work:
            self._passed_over += number
        self._bar.update(self._done, self._total, self.text())

    def text(self) -> str:
        """`12 of 40 images, 3.0 images/s, 0:00:09 left`."""
        worked = self._done - self._passed_over
        elapsed_s = self._clock() - self._began_s
        of = "" if self._total is None else f" of {count(self._total, self._noun)}"
        parts = [f"{self._done}{of}" if of else count(self._done, self._noun)]
        if worked and elapsed_s > 0:
            rate = worked / elapsed_s
            parts.append(f"{rate:.1f} {self._noun}s/s")
            if self._total is not None and self._total > self._done:
                parts.append(f"{time_left((self._total - self._done) / rate)} left")
        return ", ".join(parts)


def time_left(seconds: float) -> str:
    """h:mm:ss, rounded up."""
    whole = int(-(-seconds // 1))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
