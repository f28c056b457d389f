"""The media of a chaos run, made by code: videos and pictures with faces, a poison file, and a video with a hole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from common.ffmpeg import find_ffmpeg
from deploy.demo.montage import render_frames, write_enrolment, write_montage
from deploy.demo.photographs import Person
from deploy.demo.scenes import SCENES, Scene
from tests.media import run_ffmpeg


@dataclass(frozen=True, slots=True)
class Medium:
    """One file to submit.

    Attributes:
        ends: the state in which a job of it ends.
    """

    name: str
    path: Path
    ends: str


def short_scenes(duration_s: float, scenes: Sequence[Scene] = SCENES) -> list[Scene]:
    """The same scenes, cut to `duration_s` each."""
    return [replace(scene, duration_s=duration_s) for scene in scenes]


def make_media(folder: Path) -> tuple[list[Medium], list[Person]]:
    """Write the media and the enrolment images below `folder`; gives the media and who may be enrolled."""
    folder.mkdir(parents=True, exist_ok=True)
    people = write_enrolment(folder / "people")
    crowd, pair = folder / "crowd.mp4", folder / "pair.mp4"
    write_montage(crowd, short_scenes(1.6), ffmpeg_path=find_ffmpeg())
    write_montage(pair, short_scenes(2.4, SCENES[1:2]), ffmpeg_path=find_ffmpeg())
    still = folder / "still.jpg"
    frame = next(iter(render_frames(short_scenes(0.04, SCENES[-1:]))))
    cv2.imwrite(str(still), frame[:, :, ::-1])
    poison = folder / "poison.mp4"
    poison.write_bytes(b"This is no video, whatever its name says.\n" * 500)
    media = [
        Medium("crowd", crowd, "succeeded"),
        Medium("pair", pair, "succeeded"),
        Medium("still", still, "succeeded"),
        Medium("portrait", folder / "people" / people[0].name / "1.jpg", "succeeded"),
        Medium("hole", _with_a_hole(pair, folder), "partial"),
        Medium("poison", poison, "failed"),
    ]
    return media, people


def _with_a_hole(video: Path, folder: Path) -> Path:
    """The same video as motion JPEG, with the second half of its pictures overwritten with zeros."""
    path = folder / "hole.mov"
    run_ffmpeg("-i", str(video), "-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p", str(path))
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data) - 2) if data[at : at + 3] == b"\xff\xd8\xff"]
    for start in starts[len(starts) // 2 :]:
        end = data.index(b"\xff\xd9", start) + 2
        data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path
