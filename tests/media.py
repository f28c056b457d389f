"""Videos and pictures made by code; each frame of a video carries its own number in its pixels."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from common.types import Uint8s

GRID_ROWS, GRID_COLUMNS = 3, 4

#: Encoder and its options by codec; `{gop}` and `{bframes}` are filled in. A scene cut would add keyframes.
ENCODERS: dict[str, str] = {
    "h264": "-c:v libx264 -preset ultrafast -qp 18 -g {gop} -bf {bframes} -x264-params scenecut=0",
    "h264-open-gop": "-c:v libx264 -preset ultrafast -qp 18 -g {gop} -bf {bframes} -x264-params scenecut=0:open-gop=1",
    "h264-intra-refresh": "-c:v libx264 -preset ultrafast -qp 18 -g {gop} -bf 0 "
    "-x264-params scenecut=0:intra-refresh=1",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params "
    "log-level=none:qp=18:keyint={gop}:min-keyint={gop}:bframes={bframes}:scenecut=0:open-gop=1",
    "vp8": "-c:v libvpx -b:v 400k -deadline realtime -cpu-used 8 -g {gop}",
    "vp9": "-c:v libvpx-vp9 -b:v 400k -deadline realtime -cpu-used 8 -g {gop}",
    "av1": "-c:v libsvtav1 -preset 12 -crf 20 -g {gop}",
    "mpeg4": "-c:v mpeg4 -q:v 2 -g {gop} -bf {bframes}",
    "mpeg2": "-c:v mpeg2video -q:v 2 -g {gop} -bf {bframes}",
    "mjpeg": "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A video to be made.

    Attributes:
        kept: numbers of the frames to keep on the timeline of `fps`; None keeps all, others make the rate vary.
        audio_s: length of a tone beside the pictures; 0 for none.
        options: further output options of ffmpeg.
    """

    suffix: str = "mp4"
    codec: str = "h264"
    frames: int = 50
    fps: int = 25
    width_px: int = 128
    height_px: int = 96
    gop: int = 25
    bframes: int = 2
    kept: tuple[int, ...] | None = None
    audio_s: float = 0.0
    options: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[int]:
        """Number that each frame of the video carries, in order of showing."""
        return list(range(self.frames)) if self.kept is None else list(self.kept)

    @property
    def times_s(self) -> list[float]:
        """When each frame is shown, after the first one."""
        return [(number - self.numbers[0]) / self.fps for number in self.numbers]


def make_video(path: Path, recipe: Recipe) -> Path:
    """Make a video at `path`; its name's ending chooses nothing, `recipe.suffix` does."""
    encoder = ENCODERS[recipe.codec].format(gop=recipe.gop, bframes=recipe.bframes)
    size = f"{recipe.width_px}x{recipe.height_px}"
    command = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", str(recipe.fps), "-i", "pipe:0"]
    if recipe.audio_s:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={recipe.audio_s}", "-ar", "44100"]
    if recipe.kept is not None:
        command += ["-vf", f"select='{_any_of(recipe.kept)}'", "-fps_mode", "vfr"]
    command += [*encoder.split(), *([] if "mjpeg" in recipe.codec else ["-pix_fmt", "yuv420p"]), *recipe.options]
    run_ffmpeg(*command, str(path), stdin=stamped_frames(recipe.frames, recipe.width_px, recipe.height_px).tobytes())
    return path


def _any_of(numbers: Sequence[int]) -> str:
    """A tree, since ffmpeg takes no more than a hundred terms in a row."""
    if len(numbers) == 1:
        return f"eq(n,{numbers[0]})"
    middle = len(numbers) // 2
    return f"if(lt(n,{numbers[middle]}),{_any_of(numbers[:middle])},{_any_of(numbers[middle:])})"


def run_ffmpeg(*arguments: str, stdin: bytes = b"") -> None:
    """Run the ffmpeg of the imageio-ffmpeg wheel, which has every encoder used here; fails loudly."""
    command = [encoder_program(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode(errors='replace')}")


@lru_cache(maxsize=1)
def encoder_program() -> str:
    """The ffmpeg that makes the test videos."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def stamped_frames(count: int, width_px: int, height_px: int) -> Uint8s:
    """(count, height, width, 3) uint8 RGB; frame i shows i in binary, as a grid of dark and light fields."""
    fields = np.arange(GRID_ROWS * GRID_COLUMNS)
    bits = (np.arange(count)[:, None] >> fields & 1).reshape(count, GRID_ROWS, GRID_COLUMNS)
    rows = np.arange(height_px) * GRID_ROWS // height_px
    columns = np.arange(width_px) * GRID_COLUMNS // width_px
    grey = (40 + 170 * bits[:, rows][:, :, columns]).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def read_stamp(pixels: Uint8s) -> int:
    """The number in an upright (height, width, 3) frame, read from the middle of each field."""
    height, width = pixels.shape[:2]
    number = 0
    for field in range(GRID_ROWS * GRID_COLUMNS):
        row, column = divmod(field, GRID_COLUMNS)
        middle = pixels[int((row + 0.5) * height / GRID_ROWS), int((column + 0.5) * width / GRID_COLUMNS)]
        number |= int(middle.mean() > 125) << field
    return number


def picture(width_px: int = 60, height_px: int = 40) -> Image.Image:
    """A picture whose quarters are red, green, blue and white, clockwise from the upper left."""
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    top, left = height_px // 2, width_px // 2
    pixels[:top, :left] = 255, 0, 0
    pixels[:top, left:] = 0, 255, 0
    pixels[top:, left:] = 0, 0, 255
    pixels[top:, :left] = 255, 255, 255
    return Image.fromarray(pixels)


def quarters(pixels: Uint8s) -> Sequence[str]:
    """Colours of the quarters, clockwise from the upper left: letters of red, green, blue, white."""
    height, width = pixels.shape[:2]
    points = [(0.25, 0.25), (0.25, 0.75), (0.75, 0.75), (0.75, 0.25)]
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w", (0, 0, 0): "k"}
    seen = [pixels[int(height * y), int(width * x)] > 127 for y, x in points]
    return [names.get((int(red), int(green), int(blue)), "?") for red, green, blue in seen]
