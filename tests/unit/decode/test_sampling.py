"""Which frames are looked at."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.decode.sampling import sample_frames


@pytest.mark.parametrize(
    ("times_s", "sample_fps", "taken"),
    [
        ([], 5, []),
        ([0.0], 5, [0]),
        ([7.3], 5, [0]),
        ([0.0, 0.5, 1.0], 5, [0, 1, 2]),  # fewer frames than asked for
        ([0.0, 0.1, 0.2, 0.3, 0.4], 5, [0, 2, 4]),
        ([0.0, 0.0, 0.0], 5, [0]),
        ([0.08, 0.12, 0.16, 0.2, 0.24, 0.4], 5, [0, 3, 5]),
        ([0.0, 3.0, 3.05, 3.1, 3.25], 5, [0, 1, 4]),  # a gap is not filled
        ([-0.3, -0.1, 0.1], 5, [0, 1, 2]),
        ([0.0, 4.0, 8.0, 10.0], 0.1, [0, 3]),
    ],
)
def test_the_first_frame_of_each_interval_is_taken(times_s: list[float], sample_fps: float, taken: list[int]) -> None:
    indices = sample_frames(np.array(times_s, np.float64), sample_fps)
    assert indices.dtype == np.int64
    assert indices.tolist() == taken


@pytest.mark.parametrize(("fps", "sample_fps"), [(60, 5), (30, 10), (25, 5), (50, 25), (24, 24), (100, 7)])
def test_a_constant_rate_is_thinned_evenly(fps: int, sample_fps: int) -> None:
    taken = sample_frames(np.arange(fps * 60) / fps, sample_fps)
    assert len(taken) == sample_fps * 60
    assert set(np.diff(taken)) <= {math.floor(fps / sample_fps), math.ceil(fps / sample_fps)}


@settings(deadline=None)
@given(st.lists(st.floats(0.0005, 3.0), min_size=1, max_size=60), st.floats(0.1, 60.0), st.integers(0, 59))
def test_the_choice_is_local(gaps_s: list[float], sample_fps: float, cut: int) -> None:
    """Cutting a video before any frame changes the choice for that frame at most: segments may be decoded alone."""
    times_s = np.cumsum(gaps_s)
    cut = min(cut, len(times_s) - 1)
    whole = set(sample_frames(times_s, sample_fps).tolist())
    rest = {cut + index for index in sample_frames(times_s[cut:], sample_fps).tolist()}
    assert rest - {cut} == {index for index in whole if index > cut}


@pytest.mark.parametrize("sample_fps", [0, -1])
def test_a_rate_must_be_positive(sample_fps: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        sample_frames(np.zeros(1), sample_fps)
