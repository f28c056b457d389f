"""The demo's pictures: made the same every time, and never a copy of an enrolment image."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.ffmpeg import find_ffmpeg
from deploy.demo.montage import render_frames, write_enrolment, write_montage
from deploy.demo.scenes import HEIGHT_PX, SCENES, WIDTH_PX, Scene

SHORT = (Scene(0.2, SCENES[0].layers), Scene(0.2, SCENES[1].layers))


def test_no_scenes_have_no_frames() -> None:
    assert list(render_frames(())) == []


def test_frames_are_the_same_on_every_run_and_differ_from_each_other() -> None:
    first, second = (list(islice(render_frames(SHORT), 2)) for _ in range(2))
    assert first[0].shape == (HEIGHT_PX, WIDTH_PX, 3)
    assert first[0].dtype == np.uint8
    assert np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], first[1])


def test_the_video_has_every_frame(tmp_path: Path) -> None:
    shares: list[float] = []
    write_montage(tmp_path / "m.mp4", SHORT, ffmpeg_path=find_ffmpeg(), progress=shares.append)
    video = cv2.VideoCapture(str(tmp_path / "m.mp4"))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == len(shares) == 10
    assert shares[-1] == 1.0
    assert [file.name for file in tmp_path.iterdir()] == ["m.mp4"]


def test_an_ffmpeg_that_fails_leaves_no_video(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not make the demo video"):
        write_montage(tmp_path / "m.mp4", SHORT, ffmpeg_path="/bin/false")
    assert list(tmp_path.iterdir()) == []


def test_enrolment_has_three_different_images_for_everybody_known(tmp_path: Path) -> None:
    people = write_enrolment(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {person.name for person in people}
    for person in people:
        assert len({file.read_bytes() for file in (tmp_path / person.name).iterdir()}) == 3
