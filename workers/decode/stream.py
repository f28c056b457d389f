"""What is known about a video before it is decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from common.types import Int64s
from workers.decode.clock import MediaClock
from workers.decode.colour import Colour

Timing = Literal["stamped", "counted", "sequential"]
"""Where a frame's time comes from, and so how it is found again.

stamped: presentation time stamps of its packet. counted: decoding time stamps alone (AVI). sequential: the container's
stamps are missing or jump; times hold only when everything before is decoded too, so nothing is skipped.
"""


@dataclass(frozen=True, slots=True)
class VideoStream:
    """What a decoder needs to know of a video; travels as JSON in the job's `media`.

    Attributes:
        codec: ffmpeg's name, such as `h264`.
        format_name: ffmpeg's name of the container; several, separated by commas, when they share a demuxer.
        width_px, height_px: upright, after the rotation.
        rotation: degrees that the stored picture is turned counter-clockwise for display, in [0, 360).
        fps: average frames a second; 0 for a single frame without a duration.
        duration_s: from the container's start to the end of the last frame.
        clock: meaning of the time stamps.
        timing: see `Timing`.
        keyframe_gap_s: longest time from one keyframe to the next, or to the end.
        colour: how its planes become RGB; None: ffmpeg converts its frames.
    """

    codec: str
    format_name: str
    width_px: int
    height_px: int
    rotation: int
    fps: float
    duration_s: float
    clock: MediaClock
    timing: Timing
    keyframe_gap_s: float
    colour: Colour | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame as it is passed on."""
        return self.width_px * self.height_px * 3 // (1 if self.colour is None else 2)

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready form, with `kind`."""
        return {
            "kind": "video",
            "codec": self.codec,
            "format_name": self.format_name,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "rotation": self.rotation,
            "fps": self.fps,
            "duration_s": self.duration_s,
            "clock": [self.clock.numerator, self.clock.denominator, self.clock.start_us],
            "timing": self.timing,
            "keyframe_gap_s": self.keyframe_gap_s,
            "colour": None if self.colour is None else [self.colour.matrix, self.colour.is_full],
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Inverse of `to_wire`; further keys are ignored."""
        return cls(
            codec=wire["codec"],
            format_name=wire["format_name"],
            width_px=wire["width_px"],
            height_px=wire["height_px"],
            rotation=wire["rotation"],
            fps=wire["fps"],
            duration_s=wire["duration_s"],
            clock=MediaClock(*wire["clock"]),
            timing=wire["timing"],
            keyframe_gap_s=wire["keyframe_gap_s"],
            colour=None if wire.get("colour") is None else Colour(*wire["colour"]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """A probed video: its stream, and when each of its frames is shown.

    Attributes:
        stream: what decoding needs.
        frame_pts: (frames,) int64, strictly ascending time stamps on `stream.clock`; position i is frame i.
    """

    stream: VideoStream
    frame_pts: Int64s

    @property
    def frame_times_s(self) -> npt.NDArray[np.float64]:
        """(frames,) float64 media time."""
        return self.stream.clock.seconds(self.frame_pts)

    @property
    def frame_times_ms(self) -> Int64s:
        """(frames,) int64 media time, halves rounded up."""
        return self.stream.clock.milliseconds(self.frame_pts)
