"""Command lines of ffmpeg: how a video is opened and how its frames announce themselves.

Probing and decoding share these lines, so that what was probed is what is decoded.
"""

import re
import shutil
from dataclasses import dataclass
from typing import Any

import ffmpeg

from common.ffmpeg import CONTAINERS, PROTOCOLS
from workers.decode.stream import Timing

#: The first video stream that is no cover art.
VIDEO = "V:0"

_MAX_FRAME_PX = 1 << 28
_SIZE = re.compile(rb"#dimensions 0: (\d+)x(\d+)")
_PTS = re.compile(rb"frame:\d+ +pts:(-?\d+) ")


@dataclass(frozen=True, slots=True)
class Decoder:
    """How ffmpeg decodes.

    Attributes:
        program: path of ffmpeg.
        threads: decoder threads.
        hwaccel: value of ffmpeg's `-hwaccel`; `none` for the processor.
        stall_timeout_s: see `FfmpegProcess`.
        niceness: how far ffmpeg stands back behind the thread that starts it.
        drops: whether packets that nobody needs are kept from the decoder; see `workers.decode.spare`.
    """

    program: str
    threads: int = 1
    hwaccel: str = "none"
    stall_timeout_s: float = 60.0
    niceness: int = 0
    drops: bool = True


def open_media(
    path: str,
    decoder: Decoder,
    *,
    timing: Timing,
    seek_s: float | None = None,
    upright: bool = True,
    drop: str | None = None,
) -> Any:
    """A file as an ffmpeg-python input; `[VIDEO]` of it is its first real video stream.

    Args:
        seek_s: time stamp in s, on the stream's own scale, to start near or before; None starts at the beginning.
        upright: whether pictures are turned as the file says.
        drop: expression that is true for packets that the decoder is not to see; see `workers.decode.spare`.
    """
    options: dict[str, Any] = {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": CONTAINERS,
        "threads": decoder.threads,
        "max_pixels": _MAX_FRAME_PX,
    }
    if timing != "sequential":
        options["copyts"] = None
    if decoder.hwaccel != "none":
        options["hwaccel"] = decoder.hwaccel
    if drop is not None:
        options["bsf:v"] = f"noise=drop={_quoted(drop)}"
    if not upright:
        options["noautorotate"] = None
    if seek_s is not None:
        options |= {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{seek_s:.6f}"}
    return ffmpeg.input(f"file:{path}", **options)


def _quoted(expression: str) -> str:
    """One value of a bitstream filter's option list, whose separators are commas."""
    return "'" + expression + "'"


def copy_packets(stream: Any, decoder: Decoder) -> list[str]:
    """The command that lists every packet of `stream` on its output, in ffmpeg's framecrc format."""
    output = ffmpeg.output(stream, "pipe:", format="framecrc", c="copy", copyinkf=None)
    return compile_command(output, decoder)


def announce(video: Any, side_fd: int) -> Any:
    """Write one line for each decoded frame to `side_fd` before the frame goes on; see `announced_pts`.

    Metadata that came with the media is dropped first: a line of ours must not be forged by a file.
    """
    video = video.filter("metadata", mode="delete")
    video = video.filter("metadata", mode="add", key="facepipe", value="1")
    return video.filter("metadata", mode="print", key="facepipe", file=f"pipe:{side_fd}", direct=1)


def announced_pts(line: bytes) -> int | None:
    """Time stamp in a line that `announce` made ffmpeg write; None for its other lines."""
    match = _PTS.match(line)
    return int(match[1]) if match else None


def compile_command(output: Any, decoder: Decoder) -> list[str]:
    """The command line for an ffmpeg-python output."""
    nice = shutil.which("nice") if decoder.niceness else None
    start = [] if nice is None else [nice, "-n", str(decoder.niceness)]
    program = [decoder.program, "-nostdin", "-hide_banner", "-nostats", "-filter_threads", str(decoder.threads)]
    command: list[str] = ffmpeg.compile(output, cmd=[*start, *program])
    return command


def copied_size(line: bytes) -> tuple[int, int] | None:
    """Width and height in a header line of the framecrc format; None for its other lines."""
    match = _SIZE.match(line)
    return (int(match[1]), int(match[2])) if match else None
