"""Telling ffmpeg which time stamps are meant, as an expression of its filters."""

from collections.abc import Iterable, Sequence
from typing import Final

from workers.decode.clock import MediaClock

#: More frames would make a command line longer than Linux takes (128 KiB for one argument).
MAX_SELECTED: Final = 1024

Range = tuple[int, int]


def select_expression(times_ms: Sequence[int], clock: MediaClock) -> str:
    """An expression that is true for frames whose media time is one of `times_ms`.

    Time stamps are compared as integers, so nothing depends on rounding, on the frames before, or on where decoding
    began.

    Args:
        times_ms: ascending, at least one, at most `MAX_SELECTED`.
    """
    if not 0 < len(times_ms) <= MAX_SELECTED:
        raise ValueError(f"expected 1 to {MAX_SELECTED} frames, got {len(times_ms)}")
    return contains_pts(join_ranges([clock.pts_range(ms) for ms in times_ms]))


def join_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in as few ranges as can be, ascending; first and last number belong to a range."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            begin, end = joined.pop()
            joined.append((begin, max(end, last)))
        else:
            joined.append((first, last))
    return joined


def contains_pts(ranges: Sequence[Range]) -> str:
    """An expression that is true where `pts` is in one of the ranges, which are apart and ascending; at least one.

    It is a search tree: a frame costs about ten comparisons, however many ranges there are.
    """
    if len(ranges) == 1:
        first, last = ranges[0]
        return f"between(pts,{first},{last})"
    middle = len(ranges) // 2
    return f"if(lt(pts,{ranges[middle][0]}),{contains_pts(ranges[:middle])},{contains_pts(ranges[middle:])})"
