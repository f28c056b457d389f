"""The video that is measured: the demo's montage, enlarged to 1080p and repeated; nothing is downloaded."""

from pathlib import Path

import ffmpeg

from deploy.demo.montage import write_montage


def make_video(folder: Path, seconds: int, *, ffmpeg_path: str) -> Path:
    """A 1920x1080 H.264 video at 25 frames a second; kept in `folder` for the next run."""
    folder.mkdir(parents=True, exist_ok=True)
    video = folder / f"montage-1080p-{seconds}s.mp4"
    if not video.exists():
        montage = folder / "montage.mp4"
        if not montage.exists():
            write_montage(montage, ffmpeg_path=ffmpeg_path, progress=lambda _: None)
        part = video.with_suffix(".part.mp4")
        stream = ffmpeg.input(str(montage), stream_loop=-1).filter("scale", 1920, 1080)
        output = stream.output(str(part), t=seconds, vcodec="libx264", preset="veryfast", crf=23, g=50, an=None)
        output.global_args("-v", "error").run(cmd=ffmpeg_path, overwrite_output=True)
        part.replace(video)
    return video
