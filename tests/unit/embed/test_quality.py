import cv2
import numpy as np
import pytest

from common.settings import EmbedSettings
from common.types import Detections
from workers.embed.align import TEMPLATE
from workers.embed.quality import Quality, measure_sharpness, rate_geometry, rate_pose, rate_size

FRONTAL = TEMPLATE[None]


def turned(yaw: float, roll: float = 0.0) -> np.ndarray:
    """Landmarks of a head turned about its axis, as seen from the front; (1, 5, 2)."""
    depth = np.array([0.0, 0.0, 25.0, 3.0, 3.0])
    x, y = (TEMPLATE - TEMPLATE.mean(axis=0)).T
    seen = np.stack([x * np.cos(yaw) + depth * np.sin(yaw), y], axis=-1)
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.asarray(seen @ turn.T + 56, np.float32)[None]


def some_detections(side: float, score: float, landmarks: np.ndarray) -> Detections:
    box = np.array([[0, 0, side, side * 1.2]], np.float32)
    return Detections(np.zeros(1, np.int32), box, landmarks, np.array([score], np.float32))


def test_no_faces_have_no_qualities() -> None:
    nobody = Detections(
        np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    )
    assert rate_geometry(nobody).shape == (0,)
    quality = Quality.measure(nobody, np.zeros(0, np.int64), np.zeros((0, 112, 112, 3), np.uint8))
    assert quality.total.shape == quality.sharpness.shape == (0,)


@pytest.mark.parametrize(("side", "size"), [(0, 0), (16, 0), (112, 1), (4000, 1)])
def test_size_has_a_least_and_a_full_side(side: float, size: float) -> None:
    assert rate_size(np.array([[0, 0, side, 2 * side]], np.float32)).tolist() == [size]


def test_a_larger_face_is_better() -> None:
    sizes = rate_size(np.array([[5, 5, 5 + s, 5 + s] for s in (20, 40, 60, 100)], np.float32))
    assert (np.diff(sizes) > 0).all()


def test_the_template_is_frontal_and_turning_lowers_pose_either_way() -> None:
    assert rate_pose(FRONTAL)[0] > 0.98
    angles = np.radians([0, 10, 20, 30, 45, 60])
    for sign in (1, -1):
        poses = np.concatenate([rate_pose(turned(sign * angle)) for angle in angles])
        assert (np.diff(poses) < 0).all()
        assert poses[3] < 0.6
        assert poses[5] < 0.1


def test_the_enrolment_bound_refuses_profiles_alone() -> None:
    bound = EmbedSettings().min_enrol_frontality
    for sign in (1, -1):
        assert rate_pose(turned(sign * np.radians(35)))[0] > 2 * bound
        assert rate_pose(turned(sign * np.radians(60)))[0] < bound / 2


def test_roll_does_not_matter() -> None:
    assert rate_pose(turned(0.3, roll=1.0)) == pytest.approx(rate_pose(turned(0.3)), abs=1e-4)


def test_landmarks_on_a_line_or_a_point_have_no_pose() -> None:
    line = np.stack([np.arange(5), np.arange(5)], axis=-1).astype(np.float32)
    assert rate_pose(np.stack([line, np.zeros((5, 2), np.float32)])).tolist() == [0, 0]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_crop_is_not_sharp(level: int) -> None:
    assert measure_sharpness(np.full((1, 112, 112, 3), level, np.uint8)).tolist() == [0]


def textures(sigma: float) -> np.ndarray:
    """Pictures with detail at every size, as photographs have, blurred by `sigma` pixels; (6, 112, 112, 3)."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(112), np.fft.fftfreq(112)))
    pictures = []
    for _ in range(6):
        spectrum = np.fft.fft2(random.normal(size=(112, 112))) / np.maximum(frequency, 1 / 112)
        spectrum *= np.exp(-2 * (np.pi * sigma * frequency) ** 2)
        grey = np.fft.ifft2(spectrum).real
        grey = (grey - grey.min()) / (grey.max() - grey.min()) * 220 + 10
        pictures.append(np.repeat(grey[..., None], 3, axis=2))
    return np.rint(pictures).astype(np.uint8)


def test_more_blur_is_less_sharp_and_the_enrolment_bound_lies_between() -> None:
    by_blur = np.stack([measure_sharpness(textures(sigma)) for sigma in (0, 1, 2, 4)])
    assert (np.diff(by_blur, axis=0) <= 0).all()
    bound = EmbedSettings().min_enrol_sharpness
    assert (by_blur[0] > 2 * bound).all()
    assert (by_blur[3] < bound).all()


def test_motion_blur_in_one_direction_is_seen() -> None:
    sharp = textures(0)[:1]
    for along_x, along_y in ((4, 0.1), (0.1, 4)):
        moved = cv2.GaussianBlur(sharp[0], (0, 0), sigmaX=along_x, sigmaY=along_y)[None]
        assert measure_sharpness(moved)[0] < 0.5 * measure_sharpness(sharp)[0]


def test_contrast_does_not_matter() -> None:
    picture = textures(1)[:1]
    dull = (picture.astype(np.float32) * 0.4 + 70).astype(np.uint8)
    assert measure_sharpness(dull) == pytest.approx(measure_sharpness(picture), abs=0.08)


def test_the_edge_of_the_picture_does_not_make_a_blurred_face_sharp() -> None:
    blurred = textures(4)
    cut = blurred.copy()
    cut[:, :, 70:] = 0
    cut[:, 80:] = 0
    assert (measure_sharpness(cut) < 0.15).all()


def test_quality_is_between_zero_and_one_and_each_part_lowers_it() -> None:
    crop = textures(0)[:1]
    first = np.zeros(1, np.int64)

    def quality(detections: Detections, crops: np.ndarray) -> float:
        return float(Quality.measure(detections, first, crops).total[0])

    best = quality(some_detections(120, 0.95, FRONTAL), crop)
    assert 0.5 < best <= 1
    for worse in (
        quality(some_detections(40, 0.95, FRONTAL), crop),
        quality(some_detections(120, 0.6, FRONTAL), crop),
        quality(some_detections(120, 0.95, turned(0.6)), crop),
        quality(some_detections(120, 0.95, FRONTAL), textures(2)[:1]),
    ):
        assert 0 <= worse < 0.95 * best
