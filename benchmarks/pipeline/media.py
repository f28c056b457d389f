"""What is measured: the demo's montage, enlarged to 1080p and repeated; nothing is downloaded."""

from pathlib import Path

import ffmpeg

from deploy.demo.montage import write_montage

WIDTH_PX, HEIGHT_PX = 1920, 1080


def make_video(folder: Path, seconds: int, *, ffmpeg_path: str, start_s: int = 0) -> Path:
    """A 1920x1080 H.264 video at 25 frames a second, B-frames included; kept in `folder` for the next run.

    Args:
        start_s: where in the montage it begins, so that several videos differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    video = folder / f"montage-1080p-{seconds}s-from-{start_s}s.mp4"
    if not video.exists():
        montage = folder / "montage.mp4"
        if not montage.exists():
            write_montage(montage, ffmpeg_path=ffmpeg_path, progress=lambda _: None)
        part = video.with_suffix(".part.mp4")
        stream = ffmpeg.input(str(montage), stream_loop=-1, ss=start_s).filter("scale", WIDTH_PX, HEIGHT_PX)
        output = stream.output(str(part), t=seconds, vcodec="libx264", preset="veryfast", crf=23, g=50, an=None)
        output.global_args("-v", "error").run(cmd=ffmpeg_path, overwrite_output=True)
        part.replace(video)
    return video


def make_still(folder: Path, seconds: int, *, ffmpeg_path: str) -> Path:
    """A camera before which nothing happens: one frame of the montage, shown for so long."""
    video = folder / f"still-1080p-{seconds}s.mp4"
    if not video.exists():
        picture = make_photo(folder, ffmpeg_path=ffmpeg_path)
        part = video.with_suffix(".part.mp4")
        stream = ffmpeg.input(str(picture), loop=1, framerate=25)
        output = stream.output(str(part), t=seconds, vcodec="libx264", preset="veryfast", crf=23, g=50)
        output.global_args("-v", "error").run(cmd=ffmpeg_path, overwrite_output=True)
        part.replace(video)
    return video


def make_photo(folder: Path, *, ffmpeg_path: str) -> Path:
    """One frame of the video as a JPEG file."""
    photo = folder / "photo-1080p.jpg"
    if not photo.exists():
        video = make_video(folder, 10, ffmpeg_path=ffmpeg_path)
        part = photo.with_suffix(".part.jpg")
        output = ffmpeg.input(str(video), ss=4).output(str(part), **{"frames:v": 1, "q:v": 3})
        output.global_args("-v", "error").run(cmd=ffmpeg_path, overwrite_output=True)
        part.replace(photo)
    return photo
