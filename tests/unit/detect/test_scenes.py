import numpy as np
import pytest

from workers.detect.pictures import RgbPictures
from workers.detect.scenes import find_cuts, signatures


def a_scene(seed: int) -> np.ndarray:
    """A smooth random picture, (120, 160, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8)).astype(np.uint8)


@pytest.mark.parametrize("count", [0, 1])
def test_no_frames_and_one_frame_have_no_cut_inside(count: int) -> None:
    frames = np.zeros((count, 20, 30, 3), np.uint8)
    assert find_cuts(signatures(RgbPictures(frames))).tolist() == [True] * count


@pytest.mark.parametrize("shape", [(1, 1), (2, 700), (1080, 1920)])
def test_any_size_of_frame_has_a_signature(shape: tuple[int, int]) -> None:
    assert signatures(RgbPictures(np.full((2, *shape, 3), 50, np.uint8))).shape == (2, 256)


def test_another_scene_is_a_cut() -> None:
    frames = np.stack([a_scene(1), a_scene(1), a_scene(2), a_scene(2), a_scene(1)])
    assert find_cuts(signatures(RgbPictures(frames))).tolist() == [True, False, True, False, True]


def test_something_moving_noise_and_light_are_no_cuts() -> None:
    frames = np.stack([a_scene(3)] * 8).astype(np.int16)
    for i in range(8):
        frames[i, 40:80, 10 + 12 * i : 50 + 12 * i] = 250
    frames[4:] += 30
    frames += np.random.default_rng(0).integers(-12, 13, frames.shape, np.int16)
    assert find_cuts(signatures(RgbPictures(frames.clip(0, 255).astype(np.uint8)))).tolist() == [True] + [False] * 7


def test_dark_noise_is_one_scene() -> None:
    frames = np.random.default_rng(0).integers(0, 12, (5, 90, 90, 3)).astype(np.uint8)
    assert find_cuts(signatures(RgbPictures(frames))).sum() == 1
