import cv2
import numpy as np
import pytest
from insightface.utils import face_align

from common.types import Detections, Patches
from workers.detect.patches import cut_patches
from workers.detect.pictures import RgbPictures
from workers.embed.box_crops import cut_box_crops, points_in_frame

NOISE = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
SMOOTH = np.asarray(cv2.GaussianBlur(NOISE, (0, 0), 3), np.float32)
PICTURE = np.rint((SMOOTH - SMOOTH.min()) * 254 / np.ptp(SMOOTH) + 1).astype(np.uint8)


def a_detection(*box: float) -> Detections:
    return Detections(
        np.zeros(1, np.int32), np.array([box], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32)
    )


def crop_of(detections: Detections, side_px: int) -> np.ndarray:
    patches = cut_patches(RgbPictures(PICTURE[None]), detections)
    return cut_box_crops(patches, detections.boxes, np.zeros(1, np.int64), side_px=side_px)[0]


def crop_of_insightface(box: np.ndarray, side_px: int) -> np.ndarray:
    """As in their `Attribute.get`."""
    width, height = box[2] - box[0], box[3] - box[1]
    centre = (box[2] + box[0]) / 2, (box[3] + box[1]) / 2
    crop, _ = face_align.transform(PICTURE, centre, side_px, side_px / (max(width, height) * 1.5), 0)
    return np.asarray(crop)


def test_no_faces_have_no_crops() -> None:
    nobody = Patches.join([], np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    assert cut_box_crops(nobody, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), side_px=96).shape == (
        0,
        96,
        96,
        3,
    )


@pytest.mark.parametrize("side_px", [96, 192])
@pytest.mark.parametrize(
    "box",
    [(300, 200, 390, 320.5), (40.25, 30.5, 61, 55.75), (-20, 10, 60, 110), (840, 640, 930, 720)],
    ids=["inside", "small", "left edge", "corner"],
)
def test_the_crop_of_a_patch_is_what_insightface_cuts_of_the_frame(
    box: tuple[float, float, float, float], side_px: int
) -> None:
    detection = a_detection(*box)
    ours = crop_of(detection, side_px).astype(int)
    unlike = np.abs(ours - crop_of_insightface(detection.boxes[0], side_px))
    # On the very edge of the picture a sample falls on the one or on the other side.
    assert (unlike > 4).mean() < 0.01


def test_the_crop_of_a_reduced_patch_shows_the_same_with_less_aliasing() -> None:
    detection = a_detection(250, 150, 600, 550)
    assert cut_patches(RgbPictures(PICTURE[None]), detection).scale[0] < 0.5
    ours = crop_of(detection, 96).astype(float)
    theirs = crop_of_insightface(detection.boxes[0], 96).astype(float)
    assert np.abs(ours - theirs).mean() < 6
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98


def test_some_of_several_faces_are_cut_in_the_order_asked_for() -> None:
    boxes = np.array([[300, 200, 390, 320], [40, 30, 61, 55], [500, 100, 700, 300]], np.float32)
    several = Detections(np.zeros(3, np.int32), boxes, np.zeros((3, 5, 2), np.float32), np.ones(3, np.float32))
    patches = cut_patches(RgbPictures(PICTURE[None]), several)
    crops = cut_box_crops(patches, boxes, np.array([2, 0]), side_px=96)
    assert (crops[0] == crop_of(a_detection(500, 100, 700, 300), 96)).all()
    assert (crops[1] == crop_of(a_detection(300, 200, 390, 320), 96)).all()


def test_a_box_without_extent_has_a_crop() -> None:
    assert crop_of(a_detection(100, 100, 100, 100), 96).shape == (96, 96, 3)


def test_the_corners_of_a_crop_lie_about_the_box_in_the_frame() -> None:
    box = np.array([[100, 100, 200, 180]], np.float32)
    points = points_in_frame(np.array([[[0, 0, 0], [96, 96, 48]]], np.float32), box, side_px=96)
    assert points.tolist() == [[[75, 65, 0], [225, 215, 75]]]
