import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.detect.letterbox import InputBatch, InputSize, Letterbox
from workers.detect.pictures import RgbPictures

SIZES = st.integers(1, 9000)
SIDES = st.integers(2, 64).map(lambda blocks: blocks * 32)


@pytest.mark.parametrize(
    ("width", "height", "side", "covered"),
    [
        (1, 1, 640, (640, 640)),
        (1280, 720, 640, (640, 360)),
        (720, 1280, 640, (360, 640)),
        (250, 250, 640, (640, 640)),
        (8000, 2, 640, (640, 1)),
        (2, 8000, 640, (1, 640)),
    ],
)
def test_the_longer_side_fills_the_input(width: int, height: int, side: int, covered: tuple[int, int]) -> None:
    letterbox = Letterbox.fit(width, height, InputSize.square(side))
    assert (letterbox.width_px, letterbox.height_px) == covered


@settings(deadline=None)
@given(SIZES, SIZES, SIDES, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_undoing_the_letterbox_gives_the_point_back(
    width: int, height: int, side: int, places: list[tuple[float, float]]
) -> None:
    letterbox = Letterbox.fit(width, height, InputSize.square(side))
    points = np.array(places, np.float32) * np.array([width, height], np.float32)
    inside = letterbox.to_input(points)
    assert (inside <= np.array([letterbox.width_px, letterbox.height_px]) * 1.0001).all()
    assert np.allclose(letterbox.to_frame(inside), points, rtol=1e-5)
    corners = letterbox.to_frame(np.array([[0, 0], [letterbox.width_px, letterbox.height_px]], np.float32))
    assert np.allclose(corners, [[0, 0], [width, height]], rtol=1e-5)


def test_no_frames_give_an_empty_batch() -> None:
    batch = InputBatch(Letterbox.fit(10, 10, InputSize.square(64)), 4, colour="rgb", mean=127.5, std=128)
    assert batch.fill(RgbPictures(np.zeros((0, 10, 10, 3), np.uint8)), range(0)).shape == (0, 3, 64, 64)


@pytest.mark.parametrize(("colour", "mean", "std"), [("rgb", 127.5, 128.0), ("bgr", 0.0, 1.0)])
def test_frames_are_scaled_normalised_and_padded_with_black(colour: str, mean: float, std: float) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 96, 3), np.uint8)
    batch = InputBatch(Letterbox.fit(96, 48, InputSize.square(64)), 2, colour=colour, mean=mean, std=std)
    batch.fill(RgbPictures(255 - frames), range(2))
    planes = batch.fill(RgbPictures(frames), range(2))
    assert planes.shape == (2, 3, 64, 64)
    assert planes.dtype == np.float32
    for plane, frame in zip(planes, frames, strict=True):
        scaled = cv2.resize(frame, (64, 32)).astype(np.float64)
        expected = (scaled - mean) / std
        if colour == "bgr":
            expected = expected[..., ::-1]
        assert np.allclose(plane[:, :32].transpose(1, 2, 0), expected, atol=1e-6)
        assert np.allclose(plane[:, 32:], (0 - mean) / std)


def test_a_short_last_batch_holds_its_own_frames_alone() -> None:
    batch = InputBatch(Letterbox.fit(32, 32, InputSize.square(32)), 3, colour="rgb", mean=0, std=1)
    batch.fill(RgbPictures(np.full((3, 32, 32, 3), 7, np.uint8)), range(3))
    planes = batch.fill(RgbPictures(np.full((1, 32, 32, 3), 9, np.uint8)), range(1))
    assert planes.shape[0] == 1
    assert (planes == 9).all()
