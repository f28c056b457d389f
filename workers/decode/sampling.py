"""Which frames of a video are looked at."""

import numpy as np
import numpy.typing as npt

from common.types import Int64s

#: Part of an interval that rounding may take from a frame that is due: 0.28 s times 25 is 7.000000000000001, 0.29 s
#: times 100 is 28.999999999999996.
_SLACK = 1e-6


def sample_frames(frame_times_s: npt.NDArray[np.float64], sample_fps: float) -> Int64s:
    """Choose about `sample_fps` frames a second: the first one in each stretch of `1 / sample_fps` seconds.

    Whether a frame is taken depends on its own time and that of the frame before it alone. A video with fewer frames a
    second than asked for gives all of them; one with a changing rate gives none twice.

    Args:
        frame_times_s: (frames,) float64, ascending.
        sample_fps: > 0.

    Returns:
        (taken,) int64 positions, ascending; the first frame is always among them. Empty for no frames.
    """
    if sample_fps <= 0:
        raise ValueError(f"sample_fps must be positive, got {sample_fps}")
    if len(frame_times_s) == 0:
        return np.zeros(0, np.int64)
    ticks = np.floor(frame_times_s * sample_fps + _SLACK)
    taken = np.concatenate([[True], ticks[1:] > ticks[:-1]])
    return np.flatnonzero(taken).astype(np.int64)
