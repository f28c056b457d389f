"""Whether the pipeline named the right people at the right times. Pure."""

from collections.abc import Mapping, Sequence

from deploy.demo.scenes import Interval
from facepipe.console import clock
from facepipe.documents import Appearance

#: Frames are looked at five times a second, and a face is found a little before or after it is wholly in the picture.
TOLERANCE_MS = 600

Truth = Mapping[str, Sequence[Interval]]


def find_mistakes(appearances: Sequence[Appearance], known: Truth, strangers: Truth) -> list[str]:
    """What is wrong with an answer, one sentence each; empty when everything is right.

    Args:
        appearances: the answer.
        known: who was enrolled, and when each of them can be seen.
        strangers: the same for people who were not; the answer may number them as it likes.
    """
    mistakes = []
    for name in sorted(known.keys() | {one.name for one in appearances if one.subject_id is not None}):
        said = [Interval(one.start_ms, one.end_ms) for one in appearances if one.name == name]
        mistakes += _compare(name, said, known.get(name, ()))
    unknown = [one for one in appearances if one.subject_id is None]
    strange = [interval for intervals in strangers.values() for interval in intervals]
    mistakes += [
        f"{one.name} was seen from {_span(one)}, when no stranger is in the picture."
        for one in unknown
        if not any(_overlap_ms(one, interval) * 2 >= one.end_ms - one.start_ms for interval in strange)
    ]
    mistakes += [
        f"{name}, in the picture from {_span(interval)}, was not seen."
        for name, intervals in strangers.items()
        for interval in intervals
        if not any(_overlap_ms(one, interval) * 2 >= interval.end_ms - interval.start_ms for one in unknown)
    ]
    return mistakes


def _compare(name: str, said: Sequence[Interval], true: Sequence[Interval]) -> list[str]:
    left = list(said)
    mistakes = []
    for interval in true:
        close = next((one for one in left if _is_close(one, interval)), None)
        if close is None:
            mistakes.append(f"{name} is in the picture from {_span(interval)}, which was not said.")
        else:
            left.remove(close)
    mistakes += [f"{name} was named from {_span(one)}, which is not so." for one in left]
    return mistakes


def _is_close(one: Interval, other: Interval) -> bool:
    return max(abs(one.start_ms - other.start_ms), abs(one.end_ms - other.end_ms)) <= TOLERANCE_MS


def _overlap_ms(one: Appearance, interval: Interval) -> int:
    return min(one.end_ms, interval.end_ms) - max(one.start_ms, interval.start_ms)


def _span(interval: Interval | Appearance) -> str:
    return f"{clock(interval.start_ms)} to {clock(interval.end_ms)}"
