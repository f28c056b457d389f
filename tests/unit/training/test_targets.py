import numpy as np
import pytest

from common.types import Float32s
from training.targets import ANCHORS_PX, STRIDES, assign, places_of

SIDE_PX = 320


def face(x: float, y: float, side: float) -> tuple[Float32s, Float32s]:
    """A square box about a middle, and five landmarks of which each is somewhere else."""
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    landmarks = np.array([[x + step, y - step] for step in range(5)], np.float32)
    return box, landmarks


def assigned(*faces: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, boxes and counts for faces of (x, y, side, score)."""
    boxes, landmarks = zip(*(face(x, y, side) for x, y, side, _ in faces), strict=True)
    scores = np.array([score for *_, score in faces], np.float32)
    targets = assign(np.stack(boxes), np.stack(landmarks), scores, side_px=SIDE_PX)
    return targets.places, targets.boxes, targets.counts


def test_places_lie_as_scrfd_has_them() -> None:
    places = places_of(64)
    assert len(places.x) == sum(2 * (64 // stride) ** 2 for stride in STRIDES)
    assert places.x[:6].tolist() == [0, 0, 8, 8, 16, 16]
    assert places.y[14:18].tolist() == [0, 0, 8, 8]
    assert places.anchor_px[:2].tolist() == list(ANCHORS_PX[0])
    assert (places.stride_px[-1], places.x[-1], places.y[-1]) == (32, 32, 32)


def test_a_picture_without_faces_asks_for_none() -> None:
    nothing = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    targets = assign(*nothing, side_px=SIDE_PX)
    assert len(targets.places) == 0
    assert targets.counts.min() == 1


@pytest.mark.parametrize("side", [9, 13, 30, 70, 150, 300])
def test_a_face_is_answered_for_near_its_middle_by_anchors_of_its_size(side: float) -> None:
    places = places_of(SIDE_PX)
    rows, boxes, counts = assigned((160, 161, side, 0.9))
    assert len(rows) > 0
    assert (boxes == face(160, 161, side)[0]).all()
    assert (counts[rows] == 1).all()
    assert np.abs(np.log2(places.anchor_px[rows] / side)).max() <= 0.85
    assert np.abs(places.x[rows] - 160).max() <= max(0.22 * side, 0.7 * 32)


def test_a_face_that_the_edge_cuts_is_answered_for_where_it_can_be_seen() -> None:
    rows, boxes, _ = assigned((-20, 100, 80, 0.9))
    assert len(rows) > 0
    assert (places_of(SIDE_PX).x[rows] < 20).all()
    assert boxes[0, 0] == -60


@pytest.mark.parametrize(("side", "score"), [(60, 0.69), (60, 0.3), (7, 0.95)])
def test_doubtful_and_tiny_faces_count_neither_for_nor_against(side: float, score: float) -> None:
    places = places_of(SIDE_PX)
    rows, _, counts = assigned((160, 160, side, score))
    assert len(rows) == 0
    is_inside = (np.abs(places.x - 160) < side / 2) & (np.abs(places.y - 160) < side / 2)
    assert (counts == ~is_inside).all()


def test_a_sure_face_counts_though_a_doubtful_one_lies_around_it() -> None:
    rows, boxes, counts = assigned((160, 160, 200, 0.5), (150, 150, 30, 0.9))
    assert (boxes == face(150, 150, 30)[0]).all()
    assert (counts[rows] == 1).all()


def test_where_two_faces_meet_each_place_answers_for_the_nearer() -> None:
    rows, boxes, _ = assigned((150, 160, 60, 0.9), (190, 160, 60, 0.9))
    middles = (boxes[:, 0] + boxes[:, 2]) / 2
    assert set(middles.tolist()) == {150.0, 190.0}
    nearer = np.where(np.abs(places_of(SIDE_PX).x[rows] - 150) <= np.abs(places_of(SIDE_PX).x[rows] - 190), 150, 190)
    assert (middles == nearer).all()


def test_landmarks_come_with_their_box() -> None:
    box, landmarks = face(100, 100, 50)
    targets = assign(box[None], landmarks[None], np.array([0.9], np.float32), side_px=SIDE_PX)
    assert (targets.landmarks == landmarks.ravel()).all()
