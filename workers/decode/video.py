"""Decoding the planned frames of a video straight into the room reserved for them."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, groupby

import ffmpeg

from common.errors import BadInputError
from common.ffmpeg import FfmpegProcess, SidePipe
from common.records import Segment
from workers.decode.colour import PLANAR_FORMATS
from workers.decode.command import VIDEO, Decoder, announce, announced_pts, compile_command, open_media
from workers.decode.room import DecodedSegment, MakeRoom, SegmentRoom
from workers.decode.selection import MAX_SELECTED, select_expression
from workers.decode.spare import drop_expression
from workers.decode.stream import VideoStream

_UNINDEXED_FORMATS = {"mpegts", "mpeg"}
_MARGIN_S = 1.0
_FAR_S = 10.0


def read_segments(
    path: str,
    stream: VideoStream,
    segments: Sequence[Segment],
    decoder: Decoder,
    *,
    make_room: MakeRoom,
    check: Callable[[], None],
) -> Generator[DecodedSegment, None, None]:
    """Decode segments in order; each is committed and yielded as soon as its last frame is there.

    One ffmpeg streams through each run of neighbouring segments. It starts at a keyframe before the first frame where
    the container can do that, and farther back when it turns out to have started too late. Pixels go from the pipe into
    `writer.arrays["pixels"]` without a copy. The frames do not depend on how segments are put together.

    Args:
        path: the local file that `stream` was probed from.
        segments: ascending.
        make_room: called for each segment when its first frame has been decoded.
        check: called at least once a decoded frame and four times a second; raises to stop.

    Yields:
        One result a segment, in order. A segment of which no frame decodes carries an error; the others go on.

    Raises:
        TransientError: ffmpeg was killed or stalled.
        Whatever `make_room` and `check` raise. No room stays reserved for segments not yielded.
    """
    for run in _split_runs(segments):
        left = run
        while left:  # what is left of a run that ended too early gets a start of its own
            done = 0
            for result in _Run(path, stream, left, decoder, make_room=make_room, check=check).read():
                done += 1
                yield result
            left = left[done:]


def _split_runs(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Stretches without a gap, none with more frames than one command line can name."""
    for _, stretch in groupby(enumerate(segments), lambda item: item[1].ordinal - item[0]):
        run: list[Segment] = []
        frames = 0
        for _, segment in stretch:
            frames += len(segment.frame_indices)
            if run and frames > MAX_SELECTED:
                yield run
                run, frames = [], len(segment.frame_indices)
            run.append(segment)
        if run:
            yield run


class _Run:
    """One ffmpeg's share: neighbouring segments."""

    def __init__(
        self,
        path: str,
        stream: VideoStream,
        segments: Sequence[Segment],
        decoder: Decoder,
        *,
        make_room: MakeRoom,
        check: Callable[[], None],
    ) -> None:
        self._path = path
        self._stream = stream
        self._segments = segments
        self._decoder = decoder
        self._make_room = make_room
        self._check = check
        self._times_ms = [int(ms) for segment in segments for ms in segment.frame_times_ms]

    def read(self) -> Iterator[DecodedSegment]:
        """Yield results for at least the first segment; fewer than all if ffmpeg ends before the end."""
        complaint = ""
        for seek_s in self._starts():
            if seek_s is None and complaint:
                break
            with self._start(seek_s) as process:
                times = self._decoded_times(process)
                if seek_s is not None:
                    is_sound, first = self._skip_lead(times)
                    if is_sound and first is None:
                        complaint = _last_words(process)
                    if not is_sound or first is None:
                        continue
                    times = chain([first], times)
                yield from self._deliver(process, times)
                return
        yield self._room(self._segments[0]).close(complaint)

    def _skip_lead(self, times: Iterator[int]) -> tuple[bool, int | None]:
        """Pass over what a seek gives before the first frame wanted.

        Returns:
            Whether decoding started early enough, and in order (some decoders lose the order for good when they start
            beside a keyframe); and the time of the first frame that is not before the first one wanted, if any.
        """
        last = None
        for ms in times:
            if last is None and ms > self._times_ms[0]:
                return False, ms
            if last is not None and ms < last:
                return False, ms
            if ms >= self._times_ms[0]:
                return True, ms
            last = ms
        return last is not None, None

    def _starts(self) -> Iterator[float | None]:
        """Where to start decoding, in s on the stream's own scale, one place after the other; None is the beginning.

        Without an index a seek ends between keyframes, so it must aim a whole keyframe gap ahead. Close to the
        beginning seeking gains nothing, and some containers get it wrong.
        """
        stream = self._stream
        if stream.timing != "sequential":
            gap_s = stream.keyframe_gap_s + _MARGIN_S
            leads_s = [gap_s, 2 * gap_s, 3 * gap_s + _FAR_S]
            if stream.timing == "stamped" and stream.format_name not in _UNINDEXED_FORMATS:
                leads_s.insert(0, 0.0)
            first_s = self._times_ms[0] / 1000 - 0.001  # the millisecond was rounded
            for lead_s in leads_s:
                if first_s - lead_s > _MARGIN_S:
                    yield first_s - lead_s + stream.clock.start_us / 1e6
        yield None

    def _start(self, seek_s: float | None) -> FfmpegProcess:
        stream = self._stream
        drop = drop_expression(self._path, stream, self._decoder, self._times_ms, seek_s=seek_s, check=self._check)
        side = SidePipe()
        media = open_media(self._path, self._decoder, timing=stream.timing, seek_s=seek_s, drop=drop)
        video = announce(media[VIDEO], side.write_fd)
        # ffmpeg keeps its latest frame until the next one or the end: the end must come right after the last one wanted
        video = video.filter("trim", end_pts=stream.clock.pts_range(self._times_ms[-1])[1] + 1)
        video = video.filter("select", select_expression(self._times_ms, stream.clock))
        video = video.filter("scale", stream.width_px, stream.height_px)
        video = video.filter("format", "rgb24" if stream.colour is None else "|".join(PLANAR_FORMATS))
        output = ffmpeg.output(video, "pipe:", format="rawvideo", fps_mode="passthrough")
        command = compile_command(output, self._decoder)
        return FfmpegProcess(command, stall_timeout_s=self._decoder.stall_timeout_s, check=self._check, side=side)

    def _decoded_times(self, process: FfmpegProcess) -> Iterator[int]:
        """Media time of each frame that was decoded, wanted or not."""
        for line in process.side_lines():
            pts = announced_pts(line)
            if pts is not None:
                self._check()
                yield self._stream.clock.millisecond(pts)

    def _deliver(self, process: FfmpegProcess, times: Iterator[int]) -> Iterator[DecodedSegment]:
        wanted = frozenset(self._times_ms)
        rooms = deque(self._room(segment) for segment in self._segments)
        try:
            for ms in times:
                while rooms and rooms[0].is_past(ms):
                    yield rooms.popleft().close(process.complaint())
                if rooms and ms in wanted and not rooms[0].take(ms, process):
                    break
                if rooms and rooms[0].is_complete:
                    yield rooms.popleft().close("")
                if not rooms:
                    return
            yield rooms.popleft().close(_last_words(process))
        finally:
            for room in rooms:
                room.discard()

    def _room(self, segment: Segment) -> SegmentRoom:
        return SegmentRoom(segment, self._make_room, self._stream)


def _last_words(process: FfmpegProcess) -> str:
    try:
        process.finish()
    except BadInputError as crash:
        return crash.message.rstrip(".")
    return process.complaint()
