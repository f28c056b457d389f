"""Media time from time stamps."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.decode.clock import MediaClock

TIME_BASES = [(1, 1000), (1, 90_000), (1, 12_800), (1, 25), (1001, 30_000), (1, 1_000_000_000), (1, 705_600_000)]


def test_no_stamps_give_no_times() -> None:
    clock = MediaClock(1, 1000, 0)
    assert clock.milliseconds(np.zeros(0, np.int64)).tolist() == []
    assert clock.seconds(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize(
    ("clock", "pts", "ms"),
    [
        (MediaClock(1, 1000, 0), 0, 0),
        (MediaClock(1, 1000, -3_000), 40, 43),
        (MediaClock(1, 90_000, 1_400_000), 126_000, 0),
        (MediaClock(1, 90_000, 0), 5_625, 63),  # 62.5 ms
        (MediaClock(1, 90_000, 1_400_000), 131_625, 63),  # 62.5 ms after a start that no float holds
        (MediaClock(1, 2_000, 0), -1, 0),  # -0.5 ms
        (MediaClock(1001, 30_000, 0), 1, 33),
        (MediaClock(1, 1_000_000_000, 0), 86_400 * 10**9 + 500_000, 86_400_001),
    ],
)
def test_halves_are_rounded_up_and_the_start_is_taken_off(clock: MediaClock, pts: int, ms: int) -> None:
    assert clock.milliseconds(np.array([pts])).tolist() == [ms]
    assert clock.millisecond(pts) == ms


def test_products_beyond_64_bits_are_exact() -> None:
    clock = MediaClock(1, 2**31 - 1, 0)
    pts = 86_400 * (2**31 - 1)
    assert clock.milliseconds(np.array([pts])).tolist() == [86_400_000]
    assert clock.seconds(np.array([pts])).tolist() == [86_400.0]


@settings(deadline=None)
@given(st.sampled_from(TIME_BASES), st.integers(-2_000_000, 2_000_000), st.integers(-(10**9), 10**12))
def test_milliseconds_equal_exact_fractions(base: tuple[int, int], start_us: int, pts: int) -> None:
    clock = MediaClock(*base, start_us)
    exact = (Fraction(pts * base[0], base[1]) - Fraction(start_us, 10**6)) * 1000
    expected = (exact + Fraction(1, 2)).__floor__()
    assert clock.millisecond(pts) == expected
    assert clock.milliseconds(np.array([pts])).tolist() == [expected]
    assert clock.seconds(np.array([pts]))[0] == pytest.approx(float(exact) / 1000, rel=1e-12, abs=1e-9)


@settings(deadline=None)
@given(st.sampled_from(TIME_BASES), st.integers(-2_000_000, 2_000_000), st.integers(0, 10**8))
def test_the_range_of_a_millisecond_holds_its_stamps_and_no_others(
    base: tuple[int, int], start_us: int, ms: int
) -> None:
    clock = MediaClock(*base, start_us)
    first, last = clock.pts_range(ms)
    assert first <= last + 1
    assert clock.millisecond(first - 1) < ms
    assert clock.millisecond(last + 1) > ms
    if first <= last:
        assert clock.millisecond(first) == clock.millisecond(last) == ms


@pytest.mark.parametrize("base", [(0, 1), (1, 0), (-1, 25)])
def test_a_time_base_must_be_positive(base: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not positive"):
        MediaClock(*base, 0)
