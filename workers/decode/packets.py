"""Every packet of a video stream, listed without decoding anything."""

import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import BadInputError
from common.ffmpeg import FfmpegProcess
from common.types import Int64s
from workers.decode.banner import Banner, check_complete, why_unreadable
from workers.decode.command import VIDEO, Decoder, copied_size, copy_packets, open_media

#: ffmpeg's AV_NOPTS_VALUE.
NO_STAMP = -(2**63)

_KEY = 1
_DISCARD = 4
_TIME_BASE = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_CODEC = re.compile(rb"#codec_id 0: (\S+)")


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The packets of one video stream that are meant to be shown, in the order of the file.

    Attributes:
        banner: what ffmpeg said about the file.
        codec: ffmpeg's name.
        time_base: numerator and denominator, seconds.
        pts, dts: (packets,) int64 time stamps, `NO_STAMP` where there is none.
        duration: (packets,) int64, 0 where unknown.
        is_key: (packets,) bool.
    """

    banner: Banner
    codec: str
    time_base: tuple[int, int]
    pts: Int64s
    dts: Int64s
    duration: Int64s
    is_key: npt.NDArray[np.bool_]


def list_packets(
    path: str, decoder: Decoder, *, max_side_px: int, max_duration_s: float, check: Callable[[], None]
) -> Packets:
    """Read a whole file, quickly, for the time stamps of its first video stream.

    Packets that an edit list cuts away are left out.

    Raises:
        BadInputError: `no_video_stream`, `truncated_media`, `too_large` or `bad_media`.
    """
    header = _Header(max_side_px)
    stamps = array("q")
    video = open_media(path, decoder, timing="stamped")[VIDEO]
    with FfmpegProcess(copy_packets(video, decoder), stall_timeout_s=decoder.stall_timeout_s, check=check) as process:
        for line in process.lines():
            if line.startswith(b"#"):
                header.read(line)
                continue
            _, dts, pts, duration, _, _, *flags = line.split(b",")
            flag = int(flags[0][3:], 16) if flags and flags[0].startswith(b" F=") else _KEY
            if not flag & _DISCARD:
                stamps.extend((int(pts), int(dts), int(duration), flag & _KEY))
                if _is_longer(stamps[1], stamps[-3], header.time_base, max_duration_s):
                    raise too_long(max_duration_s)
        process.finish()
        if not stamps:
            raise why_unreadable(process)
        check_complete(process.said)
        banner = Banner.parse(process.said)
    table = np.frombuffer(stamps, np.int64).reshape(-1, 4)
    is_key = table[:, 3].astype(np.bool_)
    return Packets(banner, header.codec, header.time_base, table[:, 0], table[:, 1], table[:, 2], is_key)


def last_audio_s(path: str, decoder: Decoder, check: Callable[[], None]) -> float:
    """When the last audio packet of a file ends, in s on the scale of the time stamps; -inf without any."""
    bases: dict[int, float] = {}
    last = float("-inf")
    audio = open_media(path, decoder, timing="stamped")["a"]
    with FfmpegProcess(copy_packets(audio, decoder), stall_timeout_s=decoder.stall_timeout_s, check=check) as process:
        for line in process.lines():
            if line.startswith(b"#"):
                if base := _TIME_BASE.match(line):
                    bases[int(base[1])] = int(base[2]) / int(base[3])
                continue
            stream, _, pts, duration, *_ = line.split(b",")
            if int(pts) != NO_STAMP:
                last = max(last, (int(pts) + int(duration)) * bases[int(stream)])
        process.finish()
    return last


def too_long(max_duration_s: float) -> BadInputError:
    """The error for a video beyond the limit."""
    return BadInputError(
        f"The video is longer than {max_duration_s:g} s, the limit of this server: cut it into parts.", "too_large"
    )


def check_side(width_px: int, height_px: int, max_side_px: int) -> None:
    """Raise BadInputError (`too_large`) for a picture whose longer side is beyond the limit."""
    if max(width_px, height_px) > max_side_px:
        raise BadInputError(
            f"The video is {width_px}x{height_px} pixels; the longest side allowed here is {max_side_px}:"
            " make it smaller.",
            "too_large",
        )


class _Header:
    """The lines before the first packet."""

    def __init__(self, max_side_px: int) -> None:
        self._max_side_px = max_side_px
        self.codec = ""
        self.time_base = (0, 1)

    def read(self, line: bytes) -> None:
        if codec := _CODEC.match(line):
            self.codec = codec[1].decode()
        elif base := _TIME_BASE.match(line):
            self.time_base = int(base[2]), int(base[3])
        elif size := copied_size(line):
            check_side(*size, self._max_side_px)


def _is_longer(first: int, last: int, time_base: tuple[int, int], limit_s: float) -> bool:
    return NO_STAMP not in (first, last) and (last - first) * time_base[0] > limit_s * time_base[1]
