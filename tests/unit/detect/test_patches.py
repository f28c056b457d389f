import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Detections
from workers.detect.patches import MAX_SIDE_PX, cut_patches
from workers.detect.pictures import RgbPictures

RANDOM = np.random.default_rng(1).integers(1, 256, (2, 90, 120, 3), np.uint8)


def faces(*boxes: tuple[float, float, float, float], frame: int = 0) -> Detections:
    count = len(boxes)
    return Detections(
        np.full(count, frame, np.int32),
        np.array(boxes, np.float32).reshape(count, 4),
        np.zeros((count, 5, 2), np.float32),
        np.ones(count, np.float32),
    )


def test_no_faces_give_no_patches() -> None:
    patches = cut_patches(RgbPictures(RANDOM), faces())
    assert (len(patches), len(patches.data)) == (0, 0)
    assert len(cut_patches(RgbPictures(RANDOM[:0]), faces())) == 0


COORDINATES = st.floats(-150, 270, width=32)


@settings(deadline=None, max_examples=60)
@given(COORDINATES, COORDINATES, st.floats(1, 130), st.floats(1, 130))
def test_a_small_patch_is_the_picture_itself_and_black_beyond_it(
    x: float, y: float, width: float, height: float
) -> None:
    patches = cut_patches(RgbPictures(RANDOM), faces((x, y, x + width, y + height), frame=1))
    image = patches.image(0)
    side = len(image)
    assert 1.8 * max(width, height) - 1e-2 <= side <= 1.8 * max(width, height) + 1.01
    assert patches.scale[0] == 1
    left, top = (int(value) for value in patches.origin[0])
    assert abs(left + side / 2 - (x + width / 2)) <= 1
    assert abs(top + side / 2 - (y + height / 2)) <= 1
    canvas = np.zeros((90 + 800, 120 + 800, 3), np.uint8)
    canvas[400:490, 400:520] = RANDOM[1]
    assert (image == canvas[top + 400 : top + 400 + side, left + 400 : left + 400 + side]).all()


@pytest.mark.parametrize(
    ("x", "y", "size"), [(400, 300, 190), (401.3, 299.2, 233.7), (0, 0, 500), (-200, 100, 600), (700, 500, 333)]
)
def test_a_pixel_of_a_reduced_patch_shows_the_place_that_origin_and_scale_name(x: float, y: float, size: float) -> None:
    rows, columns = np.mgrid[:700, :900]
    picture = np.stack([rows * 255 / 700, columns * 255 / 900, np.full_like(rows, 200)], axis=-1).astype(np.float32)
    patches = cut_patches(RgbPictures(np.rint(picture).astype(np.uint8)[None]), faces((x, y, x + size, y + size)))
    image = patches.image(0).astype(float)
    assert MAX_SIDE_PX / 2 < len(image) <= MAX_SIDE_PX
    assert (1 / patches.scale[0]) % 1 == 0
    at = np.stack(np.meshgrid(np.arange(len(image)), np.arange(len(image))), axis=-1) / patches.scale[0]
    at += patches.origin[0]
    block = 1 / patches.scale[0]
    is_inside = ((at > block) & (at < [899 - block, 699 - block])).all(axis=-1)
    assert is_inside.sum() > 2000
    assert np.abs(image[..., 0] - at[..., 1] * 255 / 700)[is_inside].max() < 1.01
    assert np.abs(image[..., 1] - at[..., 0] * 255 / 900)[is_inside].max() < 1.01
    is_outside = ((at < -3) | (at > [903, 703])).any(axis=-1)
    assert (image[is_outside] == 0).all()


def test_a_huge_face_makes_no_huge_patch() -> None:
    picture = np.full((1, 40, 3000, 3), 255, np.uint8)
    patches = cut_patches(RgbPictures(picture), faces((-1e9, -1e9, 1e9, 1e9), (0, 0, 3000, 40)))
    assert (patches.side <= MAX_SIDE_PX).all()


def test_frames_may_be_read_only() -> None:
    frozen = RANDOM.copy()
    frozen.flags.writeable = False
    assert len(cut_patches(RgbPictures(frozen), faces((10, 10, 50, 50), (-30, 0, 300, 200)))) == 2
