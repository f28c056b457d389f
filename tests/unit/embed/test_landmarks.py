import numpy as np
import pytest
from insightface.data import get_object
from insightface.utils import transform

from workers.embed.align import TEMPLATE
from workers.embed.landmarks import decode_landmarks, estimate_pose, five_points
from workers.embed.mean_shape import MEAN_SHAPE


def turned(pitch: float, yaw: float, roll: float) -> np.ndarray:
    """The mean face, turned by degrees, enlarged and moved; (1, 68, 3)."""
    x, y, z = np.radians([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn = about_z @ about_y @ about_x
    return np.asarray(MEAN_SHAPE @ turn.T * 80 + [300, 200, 5], np.float32)[None]


def test_the_mean_face_is_insightfaces() -> None:
    assert np.abs(MEAN_SHAPE - get_object("meanshape_68.pkl")).max() < 1e-6


@pytest.mark.parametrize("angles", [(0, 0, 0), (20, 0, 0), (0, -35, 0), (0, 0, 90), (-15, 50, 10), (30, -70, -160)])
def test_a_turned_head_has_the_angles_it_was_turned_by(angles: tuple[float, float, float]) -> None:
    assert estimate_pose(turned(*angles))[0] == pytest.approx(angles, abs=1e-2)


def test_up_right_and_clockwise_are_positive() -> None:
    nose, right_eye = 30, 45
    ahead = turned(0, 0, 0)[0]
    assert turned(20, 0, 0)[0, nose, 1] < ahead[nose, 1]
    assert turned(0, 20, 0)[0, nose, 0] > ahead[nose, 0]
    assert turned(0, 0, 20)[0, right_eye, 1] > ahead[right_eye, 1]


def test_poses_of_several_faces_are_insightfaces() -> None:
    noise = np.random.default_rng(1).normal(0, 4, (5, 68, 3))
    points = np.concatenate(
        [turned(*angles) for angles in ((0, 0, 0), (9, 8, 7), (-20, 30, 5), (1, -60, 3), (4, 5, 80))]
    )
    points = (points + noise).astype(np.float32)
    for pose, face in zip(estimate_pose(points), points, strict=True):
        _, rotation, _ = transform.P2sRt(transform.estimate_affine_matrix_3d23d(get_object("meanshape_68.pkl"), face))
        assert pose == pytest.approx(transform.matrix2angle(rotation), abs=1e-2)


def test_nobody_and_points_in_one_place_have_no_pose() -> None:
    assert estimate_pose(np.zeros((0, 68, 3), np.float32)).shape == (0, 3)
    assert np.isnan(estimate_pose(np.zeros((1, 68, 3), np.float32))).all()


@pytest.mark.parametrize(("contract", "shape"), [("landmark_2d_106", (0, 106, 2)), ("landmark_3d_68", (0, 68, 3))])
def test_no_faces_have_no_points(contract: str, shape: tuple[int, ...]) -> None:
    width = 212 if contract == "landmark_2d_106" else 3309
    raw, boxes = np.zeros((0, width), np.float32), np.zeros((0, 4), np.float32)
    points = decode_landmarks(raw, boxes, contract, side_px=192)
    assert points.shape == shape
    assert five_points(points).shape == (0, 5, 2)


def test_minus_one_and_one_are_the_sides_of_the_crop_and_the_last_68_points_count() -> None:
    box = np.array([[100, 100, 200, 180]], np.float32)
    raw = np.zeros((1, 1103, 3), np.float32)
    raw[0, -68] = (-1, 1, 0.5)
    points = decode_landmarks(raw.reshape(1, -1), box, "landmark_3d_68", side_px=192)[0]
    assert points[0].tolist() == [75, 215, 37.5]
    assert points[1].tolist() == [150, 140, 0]


def test_the_five_points_of_a_frontal_mean_face_lie_as_in_the_template() -> None:
    five = five_points(turned(0, 0, 0))[0]

    def normalised(points: np.ndarray) -> np.ndarray:
        centred = points - points.mean(axis=0)
        return np.asarray(centred / np.linalg.norm(centred))

    # The tip of the mean nose lies higher than ArcFace's, the rest within a twentieth.
    unlike = np.abs(normalised(five) - normalised(TEMPLATE))
    assert unlike[[0, 1, 3, 4]].max() < 0.05
    assert unlike[2].max() < 0.12


def test_of_106_points_the_pupils_nose_tip_and_mouth_corners_are_taken() -> None:
    points = np.zeros((1, 106, 2), np.float32)
    places = {34: (39, 51), 38: (37, 51), 88: (74, 52), 92: (72, 52), 86: (56, 72), 52: (41, 92), 61: (71, 92)}
    for index, place in places.items():
        points[0, index] = place
    assert five_points(points)[0].tolist() == [[38, 51], [73, 52], [56, 72], [41, 92], [71, 92]]
