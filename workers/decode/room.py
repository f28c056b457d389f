"""The room of one segment in the frame store, filled frame by frame."""

from collections.abc import Callable
from dataclasses import dataclass

from common.errors import BadInputError
from common.ffmpeg import FfmpegProcess
from common.ports import FrameWriter
from common.records import Segment
from workers.decode.stream import VideoStream

MakeRoom = Callable[[Segment], FrameWriter | None]
"""Reserves room of `frames_layout` for a segment, waiting if need be; None when nobody wants the segment any more."""


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """What became of one segment.

    Attributes:
        segment: as planned.
        frames: how many of its frames were decoded and committed; fewer than planned where the media is damaged.
        error: why there is none at all; None when frames were committed or nobody wanted them.
    """

    segment: Segment
    frames: int
    error: BadInputError | None = None


class SegmentRoom:
    """Takes the frames of one segment as they come.

    Room is reserved when the first frame is there, not before: a segment that waits for room has a frame to put in it.

    Args:
        stream: what the frames are.
    """

    def __init__(self, segment: Segment, make_room: MakeRoom, stream: VideoStream) -> None:
        self.segment = segment
        self._make_room = make_room
        self._frame_bytes = stream.frame_bytes
        self._yuv_to_rgb = 0 if stream.colour is None else stream.colour.yuv_to_rgb
        self._times_ms = segment.frame_times_ms.tolist()
        self._next = 0
        self._rows = 0
        self._is_unwanted = False
        self._writer: FrameWriter | None = None

    @property
    def is_complete(self) -> bool:
        """Whether no further frame can belong to it."""
        return self._next == len(self._times_ms)

    def is_past(self, ms: int) -> bool:
        """Whether all of it lies before `ms`."""
        return bool(self._times_ms[-1] < ms)

    def take(self, ms: int, process: FfmpegProcess) -> bool:
        """Read the frame shown at `ms`, which is next in ffmpeg's output; False if the output ends in it.

        Frames come in order. Planned frames before `ms` that did not come are missing. A second frame of the same
        millisecond is read and dropped.
        """
        if self._writer is None and not self._is_unwanted:
            self._writer = self._make_room(self.segment)
            self._is_unwanted = self._writer is None
        while not self.is_complete and self._times_ms[self._next] < ms:
            self._next += 1
        is_planned = not self.is_complete and self._times_ms[self._next] == ms
        if self._writer is None or not is_planned:
            scratch = memoryview(bytearray(self._frame_bytes))
            if process.read_into(scratch) < self._frame_bytes:
                return False
        else:
            arrays = self._writer.arrays
            pixels = memoryview(arrays["pixels"][self._rows].reshape(-1))
            if process.read_into(pixels) < self._frame_bytes:
                return False
            arrays["frame_index"][self._rows] = self.segment.frame_indices[self._next]
            arrays["media_time_ms"][self._rows] = ms
            arrays["yuv_to_rgb"][self._rows] = self._yuv_to_rgb
            self._rows += 1
        self._next += is_planned
        return True

    def close(self, complaint: str) -> DecodedSegment:
        """Publish what came; `complaint` is ffmpeg's own, for a segment of which nothing came."""
        planned = len(self._times_ms)
        try:
            if self._writer is not None and self._rows:
                self._writer.commit(None if self._rows == planned else self._rows)
        finally:
            self.discard()
        if self._rows or self._is_unwanted:
            return DecodedSegment(self.segment, self._rows)
        start_ms, end_ms = self.segment.start_ms, self.segment.end_ms
        text = f"No frame between {start_ms} and {end_ms} ms can be decoded: {complaint}."
        return DecodedSegment(self.segment, 0, BadInputError(text, "bad_media"))

    def discard(self) -> None:
        """Give the room back; harmless once it is published."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
