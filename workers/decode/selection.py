"""Telling ffmpeg which frames of a run to pass on, as an expression of its `select` filter."""

from collections.abc import Sequence
from typing import Final

from workers.decode.clock import MediaClock

#: More frames would make a command line longer than Linux takes (128 KiB for one argument).
MAX_SELECTED: Final = 1024


def select_expression(times_ms: Sequence[int], clock: MediaClock) -> str:
    """An expression that is true for frames whose media time is one of `times_ms`.

    Time stamps are compared as integers, so nothing depends on rounding, on the frames before, or on where decoding
    began. It is a search tree: a frame costs about ten comparisons, however many frames are wanted.

    Args:
        times_ms: ascending, at least one, at most `MAX_SELECTED`.
    """
    if not 0 < len(times_ms) <= MAX_SELECTED:
        raise ValueError(f"expected 1 to {MAX_SELECTED} frames, got {len(times_ms)}")
    ranges: list[tuple[int, int]] = []
    for ms in times_ms:
        first, last = clock.pts_range(ms)
        if ranges and first <= ranges[-1][1] + 1:
            first = ranges.pop()[0]
        ranges.append((first, last))
    return _search(ranges)


def _search(ranges: Sequence[tuple[int, int]]) -> str:
    if len(ranges) == 1:
        first, last = ranges[0]
        return f"between(pts,{first},{last})"
    middle = len(ranges) // 2
    return f"if(lt(pts,{ranges[middle][0]}),{_search(ranges[:middle])},{_search(ranges[middle:])})"
