"""Frames of a video as pictures: every N-th one as the decoder counts, made smaller, as JPEG files or plain RGB.

The rules are those of tae898/video2frames, so that its clients get the frames they expect: frames are counted,
not timed; the picture is not turned; and Pillow's `thumbnail` makes it smaller.
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import ffmpeg
from PIL import Image

from common.contracts import Extract
from common.errors import BadInputError, FacepipeError
from common.ffmpeg import FfmpegProcess
from workers.decode.banner import why_unreadable
from workers.decode.command import VIDEO, Decoder, compile_command, open_media
from workers.decode.packets import Packets, check_side, list_packets

_LAST_COUNT: Final = re.compile(r"^frame= *(\d+) ", re.MULTILINE)
_PPM: Final = re.compile(rb"P6\n(\d+) (\d+)\n255\n")
_LONGEST_HEADER: Final = 32
_MOST_SKIPPED: Final = 1 << 30
_NTSC: Final = Fraction(1000, 1001)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was taken from a video.

    Attributes:
        decoded: frames that the video has.
        fps: its average frames a second.
        indices: which frames were taken, ascending.
        sizes: width and height of each picture in pixels.
        ends: where each picture ends among all that was written, in bytes.
        width_px, height_px: of the frames before they were made smaller.
    """

    decoded: int
    fps: float
    indices: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]
    width_px: int
    height_px: int

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def extract_frames(
    path: str,
    decoder: Decoder,
    wanted: Extract,
    *,
    max_side_px: int,
    max_duration_s: float,
    write: Callable[[bytes], object],
    check: Callable[[], None],
) -> Extracted:
    """Decode a whole video and write every N-th frame; one frame is held in memory at a time.

    Args:
        write: called once a picture, in order.
        check: called often; raises to stop.

    Raises:
        BadInputError: `bad_media`, `no_video_stream`, `truncated_media`; `too_large`: the video, or its pictures.
        TransientError: ffmpeg was killed or stalled.
    """
    packets = list_packets(path, decoder, max_side_px=max_side_px, max_duration_s=max_duration_s, check=check)
    fps = average_fps(packets)
    step = every_nth(fps, wanted.fps_max)
    expected = -(-len(packets.pts) // step)
    sizes: list[tuple[int, int]] = []
    ends: list[int] = []
    width = height = total = 0
    with FfmpegProcess(_command(path, decoder, step), stall_timeout_s=decoder.stall_timeout_s, check=check) as process:
        for frame in _frames(process, max_side_px):
            width, height = frame.size
            picture = shrink(frame, wanted.width_max_px, wanted.height_max_px)
            if wanted.encoding == "rgb":
                _check_room(expected * picture.width * picture.height * 3, wanted.max_bytes)
            data = encode_jpeg(picture) if wanted.encoding == "jpeg" else picture.tobytes()
            total += len(data)
            _check_room(total, wanted.max_bytes)
            write(data)
            sizes.append(picture.size)
            ends.append(total)
        process.finish()
        if not sizes:
            raise why_unreadable(process)
        decoded = _count(process.said)
    indices = tuple(range(0, decoded, step))
    if len(indices) != len(sizes):
        raise FacepipeError(f"ffmpeg gave {len(sizes)} frames instead of {len(indices)}.")
    return Extracted(decoded, fps, indices, tuple(sizes), tuple(ends), width, height)


def average_fps(packets: Packets) -> float:
    """The average frames a second as libavformat counts them.

    ffmpeg tells two decimals; packets tell the rest where they agree with those, else the rate of television that does.

    Raises:
        BadInputError: ffmpeg does not even have a guess.
    """
    said = packets.banner.fps
    if said is None:
        raise BadInputError("The video does not tell its frames a second, which this call counts by.", "bad_media")
    length = int(packets.duration.sum())
    candidates = [round(Fraction(said)) * _NTSC]
    if length > 0 and (packets.duration > 0).all():
        candidates.insert(0, Fraction(len(packets.duration) * packets.time_base[1], length * packets.time_base[0]))
    for candidate in candidates:
        if abs(float(candidate) - said) <= 0.005 + 1e-9:
            return float(candidate)
    return said


def every_nth(fps: float, fps_max: float) -> int:
    """How many frames one is taken of: the quotient, halves to even, at least 1."""
    return max(1, round(min(fps / fps_max, _MOST_SKIPPED)))


def shrink(frame: Image.Image, width_max_px: int, height_max_px: int) -> Image.Image:
    """The frame, made smaller to fit where it does not; its sides keep their proportion as nearly as whole pixels can.

    Args:
        frame: RGB; left as it is.
    """
    small = frame.copy()
    small.thumbnail((width_max_px, height_max_px))
    return small


def encode_jpeg(picture: Image.Image) -> bytes:
    """A JPEG file of Pillow's own quality, 75."""
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def _command(path: str, decoder: Decoder, step: int) -> list[str]:
    """Two outputs: one only counts every frame that was decoded, the other has those that are taken.

    ffmpeg's last line on its error channel counts the first output.
    """
    both = open_media(path, decoder, timing="sequential", upright=False)[VIDEO].split()
    counted = ffmpeg.output(both[0], "-", format="null", fps_mode="passthrough")
    chosen = both[1].filter("select", f"not(mod(n,{step}))").filter("format", "rgb24")
    taken = ffmpeg.output(chosen, "pipe:1", format="image2pipe", vcodec="ppm", fps_mode="passthrough")
    return compile_command(ffmpeg.merge_outputs(counted, taken), decoder)


def _frames(process: FfmpegProcess, max_side_px: int) -> Iterator[Image.Image]:
    while (size := _read_header(process)) is not None:
        check_side(*size, max_side_px)
        pixels = bytearray(size[0] * size[1] * 3)
        if process.read_into(memoryview(pixels)) < len(pixels):
            return
        yield Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1)


def _read_header(process: FfmpegProcess) -> tuple[int, int] | None:
    """Width and height of the next picture; None at the end."""
    header = bytearray()
    byte = memoryview(bytearray(1))
    while header.count(b"\n") < 3:
        if not process.read_into(byte) or len(header) > _LONGEST_HEADER:
            return None
        header += byte
    match = _PPM.fullmatch(header)
    return (int(match[1]), int(match[2])) if match else None


def _check_room(total: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise BadInputError(
            f"The frames have more than {max_bytes} bytes together: ask for fewer a second, or for smaller ones.",
            "too_large",
        )


def _count(said: str) -> int:
    counts = _LAST_COUNT.findall(said)
    if not counts:
        raise FacepipeError("ffmpeg did not say how many frames it decoded.")
    return int(counts[-1])
