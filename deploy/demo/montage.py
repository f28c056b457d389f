"""The script of `scenes.py` as an H.264 video, and the enrolment photographs of those whom the demo knows.

Enrolment images and video frames come from the same photographs, but never share a pixel: each is turned, mirrored,
scaled, lit, made grainy and compressed in its own way.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import ffmpeg
import numpy as np
import numpy.typing as npt

from deploy.demo.photographs import PEOPLE, Person, Uint8s, load_photograph
from deploy.demo.scenes import FPS, HEIGHT_PX, SCENES, WIDTH_PX, Layer, Scene, View, view_at

Int16s = npt.NDArray[np.int16]

#: How each enrolment image is taken: pixels per pixel of the photograph, turn in degrees, brightness, mirrored.
_SITTINGS: Final = ((1.7, 0.0, 1.12, False), (1.3, 5.0, 0.85, False), (1.5, -3.0, 1.0, True))

#: Size of the mat around an enrolment photograph, in sizes of the photograph.
_MAT: Final = 1.6

#: Grain pictures that take turns within a scene.
_GRAINS: Final = 7


def write_montage(
    path: Path,
    scenes: Sequence[Scene] = SCENES,
    *,
    ffmpeg_path: str,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Render a script to `path`, an MP4 of 1280x720 at 25 frames a second.

    Args:
        path: replaced only when the video is complete.
        ffmpeg_path: an ffmpeg with libx264.
        progress: told the share done, 0..1.

    Raises:
        OSError: ffmpeg could not be run or failed; the text says what it said.
    """
    part = path.with_suffix(".part.mp4")
    video = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{WIDTH_PX}x{HEIGHT_PX}", r=FPS)
    output = video.output(str(part), vcodec="libx264", crf=27, preset="veryfast", pix_fmt="yuv420p", g=50)
    process: Any = ffmpeg.run_async(
        output.global_args("-v", "error", "-nostats"),
        cmd=ffmpeg_path,
        pipe_stdin=True,
        pipe_stderr=True,
        overwrite_output=True,
    )
    total = sum(scene.frames for scene in scenes)
    try:
        for done, frame in enumerate(render_frames(scenes), start=1):
            process.stdin.write(frame.data)
            if progress:
                progress(done / total)
        process.stdin.close()
    except BrokenPipeError:
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    complaint = process.stderr.read().decode(errors="replace").strip()
    process.stderr.close()
    if process.wait() != 0:
        part.unlink(missing_ok=True)
        raise OSError(f"ffmpeg could not make the demo video: {complaint or 'it gave no reason'}")
    part.replace(path)


def render_frames(scenes: Sequence[Scene]) -> Iterator[Uint8s]:
    """Every frame of the script, (720, 1280, 3) uint8 RGB; the grain is the same on every run."""
    for scene in scenes:
        grains = [_grain(WIDTH_PX, HEIGHT_PX, scene.noise, seed) for seed in range(_GRAINS)]
        for frame in range(scene.frames):
            brightness = _share(frame, scene.frames, scene.light)
            yield _expose(_compose(scene, frame), brightness, grains[frame % _GRAINS])


def write_enrolment(folder: Path) -> list[Person]:
    """Write `folder/<name>/<n>.jpg`, three images for each known person; returns these people."""
    known = [person for person in PEOPLE.values() if person.is_known]
    for person in known:
        target = folder / person.name
        target.mkdir(parents=True, exist_ok=True)
        for number, (scale, turn_deg, brightness, is_mirrored) in enumerate(_SITTINGS, start=1):
            picture = _sitting(person, scale, turn_deg)
            picture = _expose(picture, brightness, _grain(picture.shape[1], picture.shape[0], 2.0, 100 + number))
            if is_mirrored:
                picture = picture[:, ::-1]
            cv2.imwrite(str(target / f"{number}.jpg"), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    return known


def script_digest() -> str:
    """Changes whenever the video would: names the cached file."""
    sources = (Path(__file__), Path(__file__).with_name("scenes.py"), Path(__file__).with_name("photographs.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _compose(scene: Scene, frame: int) -> Uint8s:
    canvas = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    for layer in scene.layers:
        _draw(canvas, layer, view_at(layer, frame, scene.frames))
    return canvas


def _draw(canvas: Uint8s, layer: Layer, view: View) -> None:
    """Put a layer on the canvas, in place."""
    x1, y1, x2, y2 = (round(value) for value in layer.cut)
    pixels = load_photograph(layer.photograph)[y1:y2, x1:x2]
    matrix = cv2.getRotationMatrix2D(((x2 - x1) / 2, (y2 - y1) / 2), view.turn_deg, view.scale)
    matrix[0, 2] += view.x_px - (x2 - x1) / 2
    matrix[1, 2] += view.y_px - (y2 - y1) / 2
    height, width = canvas.shape[:2]
    cv2.warpAffine(
        pixels, matrix, (width, height), dst=canvas, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT
    )


def _sitting(person: Person, scale: float, turn_deg: float) -> Uint8s:
    """The person's window, enlarged and turned, on a grey mat: a detector misses a face that fills the picture."""
    x1, y1, x2, y2 = person.window
    width, height = round((x2 - x1) * scale * _MAT), round((y2 - y1) * scale * _MAT)
    canvas = np.full((height, width, 3), 96, np.uint8)
    view = View(width / 2, height / 2, scale, turn_deg)
    _draw(canvas, Layer(person.photograph, person.window, view, view), view)
    return canvas


def _grain(width: int, height: int, noise: float, seed: int) -> Int16s:
    """Grey grain, (height, width, 3) int16, half as fine as the pixels, as sensors show it."""
    rough = np.random.default_rng(seed).standard_normal((height // 2 + 1, width // 2 + 1), np.float32) * noise
    fine = cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.repeat(fine.round().astype(np.int16)[:, :, None], 3, axis=2)


def _expose(picture: Uint8s, brightness: float, grain: Int16s) -> Uint8s:
    """Another exposure of the picture: brighter or darker, with grain."""
    lit = cv2.convertScaleAbs(picture, alpha=brightness)
    return cv2.add(lit, grain, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def _share(frame: int, frames: int, ends: tuple[float, float]) -> float:
    return ends[0] + (ends[1] - ends[0]) * frame / max(frames - 1, 1)
