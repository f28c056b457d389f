import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.utils import face_align

from common.types import Detections, Patches
from workers.detect.patches import cut_patches
from workers.detect.pictures import RgbPictures
from workers.embed.align import TEMPLATE, align, align_crops, estimate_transforms, landmarks_in_patch

NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
SMOOTH = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 3), np.float32)
PICTURE = np.rint((SMOOTH - SMOOTH.min()) * 254 / np.ptp(SMOOTH) + 1).astype(np.uint8)

#: OpenCV places bilinear samples on a grid of 1/32 pixel, so equal transforms may differ by a grey level or two.
ROUNDING = 3


def move(points: np.ndarray, scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn.T * scale + shift, np.float32)


def test_no_landmarks_give_no_transforms_and_no_crops() -> None:
    assert estimate_transforms(np.zeros((0, 5, 2), np.float32)).shape == (0, 2, 3)
    nobody = Detections(*(np.zeros(shape, np.float32) for shape in ((0,), (0, 4), (0, 5, 2), (0,))))  # type: ignore[arg-type]
    patches = Patches.join([], np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    assert align_crops(patches, nobody, np.zeros(0, np.int64)).shape == (0, 112, 112, 3)


@settings(deadline=None)
@given(st.floats(0.1, 30), st.floats(-3.1, 3.1), st.tuples(st.floats(-500, 5000), st.floats(-500, 5000)))
def test_a_moved_template_is_brought_back(scale: float, angle: float, shift: tuple[float, float]) -> None:
    landmarks = move(TEMPLATE, scale, angle, shift)
    (transform,) = estimate_transforms(landmarks[None])
    back = landmarks @ transform[:, :2].T + transform[:, 2]
    assert np.allclose(back, TEMPLATE, atol=0.02 + 0.005 / scale)
    assert np.linalg.det(transform[:, :2]) > 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=5, max_size=5, unique=True))
def test_no_other_similarity_comes_closer(points: list[tuple[float, float]]) -> None:
    landmarks = np.array(points, np.float32)
    (transform,) = estimate_transforms(landmarks[None])

    def miss(matrix: np.ndarray) -> float:
        return float(((landmarks @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE) ** 2).sum())

    best = miss(transform)
    turn = complex(transform[0, 0], transform[1, 0])
    for factor in (1.01, 0.99, np.exp(0.01j), np.exp(-0.01j)):
        other = turn * factor
        matrix = np.array([[other.real, -other.imag, 0], [other.imag, other.real, 0]])
        matrix[:, 2] = TEMPLATE.mean(axis=0) - matrix[:, :2] @ landmarks.mean(axis=0)
        assert miss(matrix) >= best - 1e-3


def test_many_transforms_are_those_of_each() -> None:
    landmarks = np.random.default_rng(0).uniform(0, 300, (20, 5, 2)).astype(np.float32)
    together = estimate_transforms(landmarks)
    assert np.array_equal(together, np.concatenate([estimate_transforms(one[None]) for one in landmarks]))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # insightface calls what scikit-image calls old
@pytest.mark.parametrize("seed", range(5))
def test_the_crop_is_insightfaces(seed: int) -> None:
    random = np.random.default_rng(seed)
    landmarks = move(TEMPLATE, random.uniform(0.4, 2.5), random.uniform(-0.6, 0.6), (100, 60))
    landmarks += random.normal(0, 3, (5, 2)).astype(np.float32)
    ours = align(PICTURE, estimate_transforms(landmarks[None])[0])
    assert np.abs(ours.astype(int) - face_align.norm_crop(PICTURE, landmarks)).max() <= ROUNDING


def test_coinciding_landmarks_give_a_crop_and_no_crash() -> None:
    crop = align(PICTURE, estimate_transforms(np.full((1, 5, 2), 50, np.float32))[0])
    assert crop.shape == (112, 112, 3)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.2])
@pytest.mark.parametrize("centre", [(200.0, 150.0), (20.0, 290.0)])
def test_the_crop_of_a_patch_is_the_crop_of_the_frame(scale: float, centre: tuple[float, float]) -> None:
    landmarks = move(TEMPLATE - 56, scale, 0.2, centre)[None]
    half = 56 * scale
    box = np.array([[centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half]], np.float32)
    detections = Detections(np.zeros(1, np.int32), box, landmarks, np.ones(1, np.float32))
    patches = cut_patches(RgbPictures(PICTURE[None]), detections)
    assert patches.scale[0] == 1
    crop = align_crops(patches, detections, np.zeros(1, np.int64))[0]
    whole = align(PICTURE, estimate_transforms(landmarks)[0])
    unlike = np.abs(crop.astype(int) - whole) > ROUNDING
    # On the very edge of the picture a sample falls on the one or on the other side.
    assert unlike.mean() < 0.005


def test_landmarks_follow_their_patch() -> None:
    patches = Patches.join(
        [np.zeros((4, 4, 3), np.uint8)] * 2,
        np.array([[10, 20], [-8, 4]], np.float32),
        np.array([1, 0.5], np.float32),
    )
    landmarks = np.tile(np.array([12, 24], np.float32), (2, 5, 1))
    moved = landmarks_in_patch(landmarks, patches)
    assert moved[:, 0].tolist() == [[2, 4], [10, 10]]
