"""Packets that need not be decoded: pictures that nothing refers to and nobody wants.

H.264 says of each picture whether others are predicted from it. With B-frames about half of them are not, and where a
few frames a second are wanted, most of those can be dropped before the decoder. What remains decodes bit by bit as
before. H.265 has no such mark that holds across its temporal layers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import ffmpeg

from common.errors import ConfigurationError
from common.ffmpeg import FfmpegProcess, version_of
from workers.decode.command import VIDEO, Decoder, compile_command, open_media
from workers.decode.selection import contains_pts, join_ranges
from workers.decode.stream import VideoStream

#: ffmpeg takes bitstream filters of an input since then.
_OLDEST: Final = (7, 1)

#: Longer expressions would not fit in an argument (128 KiB).
_MAX_RANGES: Final = 2048

#: Where less than this share of the frames is wanted, looking for what can be dropped pays.
_WORTH: Final = 0.5

_PACKET: Final = re.compile(rb"0, *(-?\d+), *(-?\d+),")


def drop_expression(
    path: str,
    stream: VideoStream,
    decoder: Decoder,
    times_ms: Sequence[int],
    *,
    seek_s: float | None,
    check: Callable[[], None],
) -> str | None:
    """An expression that is true for packets that `decoder` need not see, for ffmpeg's `noise` bitstream filter.

    Args:
        times_ms: media times of the frames that are wanted, ascending.
        seek_s: where decoding starts, as for `open_media`.
        check: raises to stop.

    Returns:
        None where nothing can be dropped or it is not worth looking.
    """
    span_s = (times_ms[-1] - times_ms[0]) / 1000
    is_apt = decoder.drops and stream.codec == "h264" and stream.timing == "stamped"
    if not is_apt or len(times_ms) > _WORTH * span_s * stream.fps or not _takes_filters(decoder.program):
        return None
    last_pts = stream.clock.pts_range(times_ms[-1])[1]
    needed = _list_references(path, decoder, seek_s=seek_s, last_pts=last_pts, check=check)
    if not needed:
        return None
    wanted = [stream.clock.pts_range(ms) for ms in times_ms]
    kept = join_ranges([*wanted, *((pts, pts) for pts in needed)])
    if len(kept) > _MAX_RANGES:
        return None
    return f"between(pts,{min(needed)},{max(needed)})*not({contains_pts(kept)})"


def _takes_filters(program: str) -> bool:
    try:
        return version_of(program) >= _OLDEST
    except ConfigurationError:  # whoever starts it to decode says so
        return False


def _list_references(
    path: str, decoder: Decoder, *, seek_s: float | None, last_pts: int, check: Callable[[], None]
) -> list[int]:
    """Time stamps of the pictures that others refer to, up to `last_pts`; none where ffmpeg cannot tell for sure."""
    video = open_media(path, decoder, timing="stamped", seek_s=seek_s)[VIDEO]
    listing = {"format": "framecrc", "c": "copy", "copyinkf": None, "bsf:v": "filter_units=discard=nonref"}
    output = ffmpeg.output(video, "pipe:", **listing).global_args("-loglevel", "error")
    needed: list[int] = []
    command = compile_command(output, decoder)
    with FfmpegProcess(command, stall_timeout_s=decoder.stall_timeout_s, check=check) as process:
        for line in process.lines():
            packet = _PACKET.match(line)
            if packet is None:
                continue
            if int(packet[1]) > last_pts:
                break
            needed.append(int(packet[2]))
        has_complaints = bool(process.said.strip())
    return [] if has_complaints else needed
