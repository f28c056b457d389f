"""The frames of a video as the decoder itself announces them."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass

import ffmpeg
import numpy as np

from common.ffmpeg import FfmpegProcess, SidePipe
from common.types import Int64s
from workers.decode.banner import why_unreadable
from workers.decode.command import (
    VIDEO,
    Decoder,
    announce,
    announced_pts,
    compile_command,
    copied_size,
    open_media,
)
from workers.decode.stream import Timing


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFrames:
    """Frames as they came out of the decoder.

    Attributes:
        pts: (frames,) int64 time stamps, at least one, in the order of coming.
        width_px, height_px: upright size of the first frame.
    """

    pts: Int64s
    width_px: int
    height_px: int


def decode_times(
    path: str, decoder: Decoder, *, timing: Timing, limit: int | None, check: Callable[[], None]
) -> DecodedFrames:
    """Decode a video from its start for the time stamps of its frames.

    Args:
        limit: stop after so many frames; None decodes everything.

    Raises:
        BadInputError: not one frame decodes.
    """
    side = SidePipe()
    video = announce(open_media(path, decoder, timing=timing)[VIDEO], side.write_fd)
    if limit is not None:
        video = video.filter("trim", end_frame=limit)
    output = ffmpeg.output(video.filter("select", "not(n)"), "pipe:", format="framecrc", fps_mode="passthrough")
    stamps = array("q")
    size: tuple[int, int] | None = None
    command = compile_command(output, decoder)
    with FfmpegProcess(command, stall_timeout_s=decoder.stall_timeout_s, check=check, side=side) as process:
        for line in process.side_lines():
            pts = announced_pts(line)
            if pts is not None:
                stamps.append(pts)
        for line in process.lines():
            size = size or copied_size(line)
        process.finish()
        if not stamps or size is None:
            raise why_unreadable(process)
    return DecodedFrames(np.frombuffer(stamps, np.int64), *size)
