"""What ffmpeg says about a file it opens, and how it complains.

No ffprobe is needed this way: the imageio-ffmpeg wheel carries none. Lines are anchored at ffmpeg's own indentation,
which a title or a comment inside the media cannot imitate.
"""

import re
from dataclasses import dataclass
from typing import Self

from common.errors import BadInputError
from common.ffmpeg import FfmpegProcess
from workers.decode.colour import Colour

_INPUT = re.compile(r"^Input #0, (\S+), from ", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_START = re.compile(r"^  Duration: [^\n]*, start: (-?\d+)\.(\d{6})", re.MULTILINE)
_MAPPED = re.compile(r"^  Stream #0:(\d+) -> #0:0 \(copy\)", re.MULTILINE)
_ROTATION = re.compile(r"^ {6,}display ?matrix: rotation of (-?\d+\.\d+) degrees", re.MULTILINE | re.IGNORECASE)
_FPS = re.compile(r", (\d+(?:\.\d+)?)(k?) (fps|tbr)\b")
_AUDIO = re.compile(r"^  Stream #0:\d+[^\n]*: Audio: ", re.MULTILINE)

_CUT_SHORT = ("moov atom not found", "partial file", "File ended prematurely")
_NO_VIDEO = ("matches no streams",)


@dataclass(frozen=True, slots=True)
class Banner:
    """What ffmpeg prints on opening a file.

    Attributes:
        format_name: the container.
        declared_s: duration that the container declares; None when it declares none or ffmpeg only guesses it.
        start_us: when the container starts, on the scale of its time stamps; None when unknown.
        rotation: degrees counter-clockwise for display, in [0, 360).
        has_audio: whether there is an audio stream.
        fps: average frames a second to two decimals, or else ffmpeg's guess; None when it has neither.
        colour: what its planes mean; None where frames must be converted to be passed on.
    """

    format_name: str
    declared_s: float | None
    start_us: int | None
    rotation: int
    has_audio: bool
    fps: float | None = None
    colour: Colour | None = None

    @classmethod
    def parse(cls, said: str) -> Self:
        """Read it from ffmpeg's error channel after a copy of one video stream."""
        name = _INPUT.search(said)
        declared = None if "Estimating duration from bitrate" in said else _DURATION.search(said)
        start = _START.search(said)
        start_us = None
        if start is not None:
            sign = -1 if start[1].startswith("-") else 1
            start_us = int(start[1]) * 1_000_000 + sign * int(start[2])
        return cls(
            format_name=name[1] if name else "",
            declared_s=int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3]) if declared else None,
            start_us=start_us,
            rotation=_find_rotation(said),
            has_audio=_AUDIO.search(said) is not None,
            fps=_find_fps(said),
            colour=Colour.parse(_about_video(said).partition("\n")[0]),
        )


def _about_video(said: str) -> str:
    """The lines about the stream that was copied."""
    mapped = _MAPPED.search(said)
    if mapped is None:
        return ""
    about = re.search(
        rf"^  Stream #0:{mapped[1]}\b.*?(?=^  Stream #0:|^Stream mapping)", said, re.MULTILINE | re.DOTALL
    )
    return about[0] if about else ""


def _find_rotation(said: str) -> int:
    rotation = _ROTATION.search(_about_video(said))
    return round(float(rotation[1])) % 360 if rotation else 0


def _find_fps(said: str) -> float | None:
    first_line = _about_video(said).partition("\n")[0]
    rates = {name: float(number) * (1000 if k else 1) for number, k, name in _FPS.findall(first_line)}
    return rates.get("fps") or rates.get("tbr") or None


def check_complete(said: str) -> None:
    """Raise BadInputError (`truncated_media`) if ffmpeg met the end of the file before the end of its index."""
    if any(words in said for words in _CUT_SHORT):
        raise cut_short()


def cut_short() -> BadInputError:
    """The error for a file whose end is missing."""
    return BadInputError(
        "The file ends before its own index says it should: it was cut short on the way; upload it again.",
        "truncated_media",
    )


def why_unreadable(process: FfmpegProcess) -> BadInputError:
    """The error for a file of which ffmpeg gave nothing."""
    check_complete(process.said)
    if any(words in process.said for words in _NO_VIDEO):
        return BadInputError("The file holds no video; audio and cover art have no faces to follow.", "no_video_stream")
    if "Format not on whitelist" in process.said:
        return BadInputError("The file is no image, and no video in a container that is accepted here.", "bad_media")
    return BadInputError(
        f"The file is no image or video that can be decoded: {process.complaint()}.",
        "bad_media",
    )
