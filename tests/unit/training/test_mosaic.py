import numpy as np
import pytest

from training.lfw import SIDE_PX, Photographs
from training.mosaic import Mosaics, mirror, turn_quarters, weather

RNG_SEED = 5


def photographs(count: int = 4) -> Photographs:
    """Pictures of noise, each with a face in the middle and every second one with another in a corner."""
    rng = np.random.default_rng(0)
    owners = [row for row in range(count) for _ in range(1 + row % 2)]
    middle, corner = [80, 70, 170, 180], [0, 0, 40, 50]
    boxes = np.array([box for row in range(count) for box in (middle, corner)[: 1 + row % 2]], np.float32)
    return Photographs(
        names=np.array([f"Somebody_{row}/Somebody_{row}_0001.jpg" for row in range(count)]),
        images=rng.integers(0, 256, (count, SIDE_PX, SIDE_PX, 3)).astype(np.uint8),
        crops=np.zeros((count, 144, 144, 3), np.uint8),
        main_boxes=np.tile(np.float32(middle), (count, 1)),
        photograph=np.array(owners, np.int32),
        boxes=boxes,
        landmarks=np.zeros((len(boxes), 5, 2), np.float32),
        scores=np.ones(len(boxes), np.float32),
        is_held_out=np.zeros(count, bool),
    )


@pytest.mark.parametrize("side_px", [320, 640])
def test_pictures_have_the_side_asked_for_and_differ(side_px: int) -> None:
    mosaics = Mosaics(photographs(), np.arange(4), np.random.default_rng(RNG_SEED))
    pictures = [mosaics.make(side_px) for _ in range(6)]
    assert {(picture.shape, picture.dtype.name) for picture in pictures} == {((side_px, side_px, 3), "uint8")}
    assert len({picture.tobytes() for picture in pictures}) == 6


def test_the_same_chance_makes_the_same_pictures() -> None:
    one, other = (Mosaics(photographs(), np.arange(4), np.random.default_rng(RNG_SEED)) for _ in range(2))
    assert all((one.make(320) == other.make(320)).all() for _ in range(5))


def test_only_the_photographs_asked_for_are_shown() -> None:
    few = photographs()
    few.images[0], few.images[1:] = 10, 250
    mosaics = Mosaics(few, np.array([0]), np.random.default_rng(RNG_SEED))
    whole = [mosaics._view(0, 64, 64, share=(0.5, 1.0)) for _ in range(20)]
    assert max(np.median(view) for view in whole) < 100


def marked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture with five lit pixels, which are the landmarks, of five colours, and a box about them."""
    picture = np.zeros((32, 32, 3), np.uint8)
    landmarks = np.array([[5, 6], [12, 7], [9, 10], [6, 14], [11, 15]], np.float32)
    for colour, (x, y) in enumerate(landmarks.astype(int), start=1):
        picture[y, x] = colour
    return picture, np.array([[4, 5, 13, 16]], np.float32), landmarks[None]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4])
def test_faces_turn_with_the_picture(quarters: int) -> None:
    picture, boxes, landmarks = turn_quarters(*marked(), quarters)
    columns, rows = landmarks[0].astype(int).T
    assert picture[rows, columns, 0].tolist() == [1, 2, 3, 4, 5]
    assert (landmarks[0] > boxes[0, :2]).all()
    assert (landmarks[0] < boxes[0, 2:]).all()


def test_a_mirror_exchanges_left_and_right() -> None:
    picture, boxes, landmarks = mirror(*marked())
    columns, rows = landmarks[0].astype(int).T
    assert picture[rows, columns, 0].tolist() == [2, 1, 3, 5, 4]
    assert landmarks[0, 0, 0] < landmarks[0, 1, 0]
    assert boxes.tolist() == [[18, 5, 27, 16]]


@pytest.mark.parametrize("strength", [1, 1.7, 2])
def test_weather_changes_pictures_but_not_their_shape(strength: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    picture = rng.integers(0, 256, (48, 48, 3)).astype(np.uint8)
    before = picture.copy()
    seen = [weather(picture, rng, strength=strength) for _ in range(40)]
    assert {(view.shape, view.dtype.name) for view in seen} == {((48, 48, 3), "uint8")}
    assert any((view != before).any() for view in seen)
    assert (picture == before).all()
