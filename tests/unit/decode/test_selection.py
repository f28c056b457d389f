"""The expression by which ffmpeg picks frames, evaluated here by ffmpeg's own rules."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.decode.clock import MediaClock
from workers.decode.selection import MAX_SELECTED, select_expression

CLOCK = MediaClock(1, 90_000, 1_400_000)


def evaluate(expression: str, pts: int) -> bool:
    """`if`, `lt` and `between` of ffmpeg's expressions, as Python."""
    functions = {
        "choose": lambda condition, then, otherwise: then if condition else otherwise,
        "lt": lambda left, right: left < right,
        "between": lambda value, low, high: low <= value <= high,
        "pts": pts,
    }
    return bool(eval(re.sub(r"\bif\(", "choose(", expression), {"__builtins__": {}}, functions))


def test_no_frames_make_no_expression() -> None:
    with pytest.raises(ValueError, match="got 0"):
        select_expression([], CLOCK)


def test_more_frames_than_a_command_line_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="1025"):
        select_expression(range(MAX_SELECTED + 1), CLOCK)


def test_the_longest_expression_fits_into_one_argument() -> None:
    day_ms = 86_400_000
    expression = select_expression(range(day_ms, day_ms + MAX_SELECTED * 40, 40), MediaClock(1, 10**9, 0))
    assert len(expression.replace(",", "\\\\,")) < 128 * 1024


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=80), st.lists(st.integers(120_000, 600_000), max_size=50))
def test_exactly_the_planned_milliseconds_pass(times_ms: list[int], others: list[int]) -> None:
    times_ms = sorted(times_ms)
    expression = select_expression(times_ms, CLOCK)
    edges = [edge + step for ms in times_ms for edge in CLOCK.pts_range(ms) for step in (-1, 0, 1)]
    for pts in [*edges, *others]:
        assert evaluate(expression, pts) == (CLOCK.millisecond(pts) in times_ms)
