"""From the time stamps inside a media file to media time, exactly."""

from dataclasses import dataclass
from math import lcm

import numpy as np

from common.types import Int64s

_US = 1_000_000
_MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MediaClock:
    """The clock of one video stream: time stamp `pts` is shown `pts * numerator / denominator` s less the start.

    Everything is integer arithmetic, because the planner and every decoder must agree to the millisecond, and half
    milliseconds do occur (16 frames a second at a time base of 1/90000).

    Attributes:
        numerator, denominator: time base in seconds, both > 0.
        start_us: when the container starts, on the same scale as the time stamps.
    """

    numerator: int
    denominator: int
    start_us: int

    def __post_init__(self) -> None:
        if self.numerator <= 0 or self.denominator <= 0:
            raise ValueError(f"time base {self.numerator}/{self.denominator} is not positive")

    def seconds(self, pts: Int64s) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        """(frames,) float64 media time in s of (frames,) time stamps."""
        unit, factor, offset = self._scale()
        return (self._widen(pts, factor, offset) * factor - offset).astype(np.float64) / unit

    def milliseconds(self, pts: Int64s) -> Int64s:
        """(frames,) int64 media time in ms of (frames,) time stamps, halves rounded up."""
        unit, factor, offset = self._scale()
        ticks = self._widen(pts, factor * 2000, offset * 2000 + unit)
        return np.asarray((2000 * (ticks * factor - offset) + unit) // (2 * unit), np.int64)

    def millisecond(self, pts: int) -> int:
        """The same for one time stamp."""
        unit, factor, offset = self._scale()
        return (2000 * (pts * factor - offset) + unit) // (2 * unit)

    def pts_range(self, ms: int) -> tuple[int, int]:
        """First and last time stamp whose media time is `ms`; the first is beyond the last when there is none."""
        unit, factor, offset = self._scale()
        low = (2 * ms - 1) * unit + 2000 * offset  # 2000 * factor * pts >= low
        high = (2 * ms + 1) * unit + 2000 * offset  # 2000 * factor * pts < high
        return -(-low // (2000 * factor)), -(-high // (2000 * factor)) - 1

    def _scale(self) -> tuple[int, int, int]:
        """Ticks a second that both scales divide, ticks per time stamp, and the start in ticks."""
        unit = lcm(self.denominator, _US)
        return unit, self.numerator * (unit // self.denominator), self.start_us * (unit // _US)

    @staticmethod
    def _widen(pts: Int64s, factor: int, offset: int) -> Int64s:
        """The same numbers, as Python's where the products would not fit into 64 bits."""
        largest = int(np.abs(pts).max(initial=0)) * factor + abs(offset)
        return pts if largest <= _MAX_INT64 else pts.astype(object)
