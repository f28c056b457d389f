"""Videos with a wanted number of faces: 24 tiles that drift on 1080p, so many of them people and the rest things."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import ffmpeg
import numpy as np

from deploy.demo.photographs import PEOPLE, Uint8s, load_photograph

WIDTH_PX: Final = 1920
HEIGHT_PX: Final = 1080
FPS: Final = 25
MOST_FACES: Final = 24

_COLUMNS: Final = 6
_CELL_W_PX, _CELL_H_PX = WIDTH_PX // _COLUMNS, HEIGHT_PX * _COLUMNS // MOST_FACES
_SIDE_PX: Final = 240
_DRIFT_PX: Final = 14
_THINGS: Final = ("cup", "rocket")


def make_tiles(folder: Path, faces: int, seconds: int, *, ffmpeg_path: str) -> Path:
    """A 1920x1080 H.264 video at 25 frames a second; kept in `folder` for the next run.

    Args:
        faces: people among the tiles, 0 to 24.

    Raises:
        OSError: ffmpeg could not be run or failed.
    """
    video = folder / f"tiles-1080p-{faces}-faces-{seconds}s.mp4"
    if video.exists():
        return video
    folder.mkdir(parents=True, exist_ok=True)
    part = video.with_suffix(".part.mp4")
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="bgr24", s=f"{WIDTH_PX}x{HEIGHT_PX}", r=FPS)
    output = source.output(str(part), vcodec="libx264", preset="veryfast", crf=23, g=50, pix_fmt="yuv420p")
    process: Any = ffmpeg.run_async(
        output.global_args("-v", "error"), cmd=ffmpeg_path, pipe_stdin=True, overwrite_output=True
    )
    try:
        for frame in render_tiles(faces, seconds * FPS):
            process.stdin.write(frame.data)
    finally:
        process.stdin.close()
        status = process.wait()
    if status != 0:
        raise OSError(f"ffmpeg could not make {video.name}: status {status}")
    part.replace(video)
    return video


def render_tiles(faces: int, frames: int) -> Iterator[Uint8s]:
    """The frames, (1080, 1920, 3) uint8 BGR; each is the same array, overwritten.

    Raises:
        ValueError: more faces than tiles.
    """
    if not 0 <= faces <= MOST_FACES:
        raise ValueError(f"0 to {MOST_FACES} faces have room, not {faces}")
    tiles = [_person(number) if number < faces else _thing(number) for number in range(MOST_FACES)]
    # Faces are spread over the picture, however few they are.
    cells = [number * 7 % MOST_FACES for number in range(MOST_FACES)]
    canvas = np.empty((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for frame in range(frames):
        canvas[:] = 96
        for number, (tile, cell) in enumerate(zip(tiles, cells, strict=True)):
            turn = 2 * math.pi * (frame / FPS / (5 + number % 3) + number / MOST_FACES)
            x = cell % _COLUMNS * _CELL_W_PX + (_CELL_W_PX - _SIDE_PX) // 2 + round(_DRIFT_PX * math.sin(turn))
            y = cell // _COLUMNS * _CELL_H_PX + (_CELL_H_PX - _SIDE_PX) // 2 + round(_DRIFT_PX * math.cos(turn))
            canvas[y : y + _SIDE_PX, x : x + _SIDE_PX] = tile
        yield canvas


def _person(number: int) -> Uint8s:
    person = list(PEOPLE.values())[number % len(PEOPLE)]
    x1, y1, x2, y2 = map(int, person.window)
    return _square(load_photograph(person.photograph)[y1:y2, x1:x2])


def _thing(number: int) -> Uint8s:
    photograph = load_photograph(_THINGS[number % len(_THINGS)])
    height_px, width_px = photograph.shape[:2]
    x = number * 53 % (width_px - _SIDE_PX)
    y = number * 31 % (height_px - _SIDE_PX)
    return _square(photograph[y : y + _SIDE_PX, x : x + _SIDE_PX])


def _square(pixels: Uint8s) -> Uint8s:
    """RGB as a BGR tile."""
    scaled = cv2.resize(pixels, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled[:, :, ::-1]).astype(np.uint8, copy=False)
