"""Planar frames give the pieces that RGB frames give."""

import cv2
import numpy as np
import pytest
import skimage

from common.types import Frames
from workers.decode.colour import Colour
from workers.detect.pictures import PlanarPictures, RgbPictures, Window, open_pictures


@pytest.fixture(scope="module")
def rgb() -> RgbPictures:
    photograph = cv2.GaussianBlur(skimage.data.astronaut()[:480], (5, 5), 2)
    return RgbPictures(np.stack([photograph, photograph[::-1]]))


@pytest.fixture(scope="module")
def planar(rgb: RgbPictures) -> PlanarPictures:
    whole = [rgb.reduced(frame, Window(0, 0, 512, 480), 1) for frame in range(2)]
    planes = np.stack([cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2YUV_I420) for one in whole])
    return PlanarPictures(planes, np.stack([Colour("unknown", False).yuv_to_rgb] * 2))


def test_sizes_are_those_of_the_frames(rgb: RgbPictures, planar: PlanarPictures) -> None:
    assert len(rgb) == len(planar) == 2
    assert (rgb.width_px, rgb.height_px) == (planar.width_px, planar.height_px) == (512, 480)


@pytest.mark.parametrize("size", [(512, 480), (320, 300), (640, 600), (64, 60)])
def test_whole_frames(rgb: RgbPictures, planar: PlanarPictures, size: tuple[int, int]) -> None:
    for frame in range(2):
        given, expected = planar.scaled(frame, *size), rgb.scaled(frame, *size)
        assert given.shape == (size[1], size[0], 3)
        assert np.abs(given.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("corner", [(100, 80), (101, 81), (0, 79), (37, 0)])
def test_parts(rgb: RgbPictures, planar: PlanarPictures, corner: tuple[int, int], factor: int) -> None:
    left, top = corner
    window = Window(left, top, left + 300, top + 240)
    given, expected = planar.reduced(1, window, factor), rgb.reduced(1, window, factor)
    assert given.shape == (240 // factor, 300 // factor, 3)
    assert np.abs(given.astype(int) - expected).mean() < 3
    assert np.abs(given.astype(int).mean(axis=2) - expected.mean(axis=2)).max() < 16


def test_brightness(rgb: RgbPictures, planar: PlanarPictures) -> None:
    rows, columns = np.arange(5, 480, 31), np.arange(3, 512, 37)
    offset = planar.luma(rows, columns) - rgb.luma(rows, columns)
    assert np.abs(offset - offset.mean()).max() < 4


def test_frames_say_which_they_are() -> None:
    numbers = np.zeros(2, np.int64)
    assert isinstance(open_pictures(Frames(np.zeros((2, 4, 6, 3), np.uint8), numbers, numbers)), RgbPictures)
    planes = Frames(np.zeros((2, 6, 6), np.uint8), numbers, numbers, np.zeros((2, 3, 4), np.float32))
    assert isinstance(open_pictures(planes), PlanarPictures)
