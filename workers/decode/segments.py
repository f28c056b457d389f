"""Cutting a video into segments: the unit of retry, of progress and of cancellation."""

from itertools import pairwise

import numpy as np

from common.ports import Layout
from common.records import Segment
from workers.decode.sampling import sample_frames
from workers.decode.stream import VideoInfo


def plan_segments(info: VideoInfo, *, sample_fps: float, max_frames: int, max_bytes: int) -> list[Segment]:
    """Cut the sampled frames of a video into as few stretches as there can be, of counts that differ by one at most.

    Media times are milliseconds, halves rounded up. A segment's range runs from its first frame to the first frame of
    the next one, the last segment's to the end of the video; so the ranges are contiguous.

    Args:
        sample_fps: see `sample_frames`.
        max_frames: frames in one segment at most, >= 1.
        max_bytes: decoded bytes of one segment at most; one frame is always allowed.

    Returns:
        In order, `ordinal` counting from 0; every sampled frame is in exactly one of them.
    """
    stream = info.stream
    size = most_frames(stream.frame_bytes, max_frames=max_frames, max_bytes=max_bytes)
    indices = sample_frames(info.frame_times_s, sample_fps)
    times_ms = info.frame_times_ms[indices]
    count = -(-len(indices) // size)
    bounds = [ordinal * len(indices) // count for ordinal in range(count + 1)] if count else [0]
    starts_ms = [int(times_ms[first]) for first in bounds[:-1]]
    end_ms = max(int(np.ceil(stream.duration_s * 1000)), int(times_ms[-1]) + 1) if len(indices) else 0
    ends_ms = [*starts_ms[1:], end_ms]
    return [
        Segment(
            ordinal=ordinal,
            start_ms=starts_ms[ordinal],
            end_ms=ends_ms[ordinal],
            frame_indices=indices[first:beyond],
            frame_times_ms=times_ms[first:beyond],
        )
        for ordinal, (first, beyond) in enumerate(pairwise(bounds))
    ]


def most_frames(frame_bytes: int, *, max_frames: int, max_bytes: int) -> int:
    """Frames in one segment at most; one is always allowed."""
    return max(1, min(max_frames, max_bytes // frame_bytes))


def frames_layout(frames: int, *, width_px: int, height_px: int, planar: bool) -> Layout:
    """Layout of `common.types.Frames` in a frame store, as I420 if `planar`, else as RGB."""
    return {
        "pixels": ("|u1", (frames, height_px * 3 // 2, width_px) if planar else (frames, height_px, width_px, 3)),
        "frame_index": ("<i8", (frames,)),
        "media_time_ms": ("<i8", (frames,)),
        "yuv_to_rgb": ("<f4", (frames, 3, 4)),
    }
