"""Cutting a video into segments."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Frames
from workers.decode.clock import MediaClock
from workers.decode.sampling import sample_frames
from workers.decode.segments import frames_layout, plan_segments
from workers.decode.stream import VideoInfo, VideoStream


def a_video(times_ms: list[int], *, width_px: int = 100, height_px: int = 100, duration_s: float = 0.0) -> VideoInfo:
    stream = VideoStream(
        codec="h264",
        format_name="mov,mp4,m4a,3gp,3g2,mj2",
        width_px=width_px,
        height_px=height_px,
        rotation=0,
        fps=25.0,
        duration_s=duration_s,
        clock=MediaClock(1, 1000, 0),
        timing="stamped",
        keyframe_gap_s=1.0,
    )
    return VideoInfo(stream, np.array(times_ms, np.int64))


def test_no_frames_make_no_segments() -> None:
    assert plan_segments(a_video([]), sample_fps=5, max_frames=32, max_bytes=1 << 20) == []


def test_one_frame_makes_one_segment_that_is_not_empty() -> None:
    (segment,) = plan_segments(a_video([70]), sample_fps=5, max_frames=32, max_bytes=1)
    assert (segment.ordinal, segment.start_ms, segment.end_ms) == (0, 70, 71)
    assert segment.frame_indices.tolist() == [0]
    assert segment.frame_times_ms.tolist() == [70]


def test_ranges_meet_and_the_last_one_reaches_the_end_of_the_video() -> None:
    info = a_video(list(range(0, 1000, 40)), duration_s=1.0004)
    segments = plan_segments(info, sample_fps=25, max_frames=10, max_bytes=1 << 30)
    assert [(one.start_ms, one.end_ms) for one in segments] == [(0, 320), (320, 640), (640, 1001)]
    assert [len(one.frame_indices) for one in segments] == [8, 8, 9]


@pytest.mark.parametrize(("max_bytes", "frames"), [(1, 1), (30_000, 1), (60_000, 2), (89_999, 2), (1 << 30, 8)])
def test_a_segment_has_as_many_frames_as_its_bytes_allow_but_at_least_one(max_bytes: int, frames: int) -> None:
    segments = plan_segments(a_video(list(range(0, 3840, 40))), sample_fps=25, max_frames=8, max_bytes=max_bytes)
    assert {len(one.frame_indices) for one in segments} == {frames}


@settings(deadline=None)
@given(st.lists(st.integers(1, 900), min_size=1, max_size=80), st.floats(0.2, 60.0), st.integers(1, 9))
def test_every_sampled_frame_is_in_exactly_one_segment(gaps_ms: list[int], sample_fps: float, max_frames: int) -> None:
    info = a_video(list(itertools.accumulate(gaps_ms)))
    segments = plan_segments(info, sample_fps=sample_fps, max_frames=max_frames, max_bytes=1 << 40)
    planned = np.concatenate([one.frame_indices for one in segments])
    assert planned.tolist() == sample_frames(info.frame_times_s, sample_fps).tolist()
    assert np.concatenate([one.frame_times_ms for one in segments]).tolist() == info.frame_times_ms[planned].tolist()
    assert [one.ordinal for one in segments] == list(range(len(segments)))
    counts = [len(one.frame_indices) for one in segments]
    assert len(counts) == -(-len(planned) // max_frames)
    assert max(counts) - min(counts) <= 1
    for one, following in itertools.pairwise(segments):
        assert one.end_ms == following.start_ms
        assert one.frame_times_ms[-1] < following.start_ms


def test_a_stream_survives_the_journey_through_json() -> None:
    stream = a_video([0]).stream
    assert VideoStream.from_wire({**stream.to_wire(), "frames": 7}) == stream


@pytest.mark.parametrize(("planar", "pixels"), [(False, (3, 4, 6, 3)), (True, (3, 6, 6))])
def test_the_layout_is_that_of_frames(planar: bool, pixels: tuple[int, ...]) -> None:
    layout = frames_layout(3, width_px=6, height_px=4, planar=planar)
    frames = Frames(**{name: np.zeros(shape, dtype) for name, (dtype, shape) in layout.items()})
    assert frames.pixels.shape == pixels
    assert frames.is_rgb != planar
