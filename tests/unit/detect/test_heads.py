"""Both output contracts, on outputs written by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from workers.detect.letterbox import InputSize
from workers.detect.scrfd import decode_scrfd, expected_shapes
from workers.detect.yunet import OUTPUTS, decode_yunet

SIDE = 64
Arrays = list[npt.NDArray[np.float32]]


def silent_scrfd(frames: int) -> Arrays:
    places = [(SIDE // stride) ** 2 * 2 for stride in (8, 16, 32)]
    return [np.zeros((frames, count, width), np.float32) for width in (1, 4, 10) for count in places]


def silent_yunet(frames: int) -> dict[str, npt.NDArray[np.float32]]:
    widths = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    return {
        name: np.zeros((frames, (SIDE // int(name.split("_")[1])) ** 2, widths[name.split("_")[0]]), np.float32)
        for name in OUTPUTS
    }


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_silent_outputs_hold_no_faces(frames: int) -> None:
    assert len(decode_scrfd(silent_scrfd(frames), size=InputSize.square(SIDE), min_det_score=0.5)) == 0
    assert len(decode_yunet(silent_yunet(frames), size=InputSize.square(SIDE), min_det_score=0.5)) == 0


def test_scrfd_distances_are_in_strides_from_the_location() -> None:
    outputs = silent_scrfd(2)
    column, row, anchor, stride = 2, 1, 1, 16
    place = (row * (SIDE // stride) + column) * 2 + anchor
    outputs[1][1, place] = 0.75
    outputs[4][1, place] = [1, 0.5, 2, 1.5]
    outputs[7][1, place] = np.arange(10) / 10
    found = decode_scrfd(outputs, size=InputSize.square(SIDE), min_det_score=0.75)
    assert found.frame.tolist() == [1]
    assert found.det_scores.tolist() == [0.75]
    assert found.boxes.tolist() == [[32 - 16, 16 - 8, 32 + 32, 16 + 24]]
    assert np.allclose(found.landmarks[0], np.array([32, 16]) + np.arange(10).reshape(5, 2) * 1.6)


def test_scrfd_outputs_without_a_batch_axis_are_one_frame() -> None:
    outputs = silent_scrfd(1)
    outputs[0][0, 5] = 0.9
    outputs[3][0, 5] = 1
    with_axis = decode_scrfd(outputs, size=InputSize.square(SIDE), min_det_score=0.5)
    without = decode_scrfd([output[0] for output in outputs], size=InputSize.square(SIDE), min_det_score=0.5)
    assert without.boxes.tolist() == with_axis.boxes.tolist()
    assert without.frame.tolist() == [0]


def test_fifteen_scrfd_outputs_mean_five_strides_and_one_anchor() -> None:
    side = 256
    places = [(side // stride) ** 2 for stride in (8, 16, 32, 64, 128)]
    outputs = [np.zeros((1, count, width), np.float32) for width in (1, 4, 10) for count in places]
    outputs[4][0, 3] = 0.9
    outputs[9][0, 3] = 0.5
    found = decode_scrfd(outputs, size=InputSize.square(side), min_det_score=0.5)
    assert found.boxes.tolist() == [[64, 64, 192, 192]]


def test_yunet_centres_are_offsets_and_sizes_are_logarithms() -> None:
    outputs = silent_yunet(2)
    column, row, stride = 1, 3, 8
    place = row * (SIDE // stride) + column
    outputs["cls_8"][0, place] = 0.64
    outputs["obj_8"][0, place] = 1.0
    outputs["bbox_8"][0, place] = [0.5, -0.5, np.log(2), np.log(4)]
    outputs["kps_8"][0, place] = 1
    found = decode_yunet(outputs, size=InputSize.square(SIDE), min_det_score=0.79)
    assert found.frame.tolist() == [0]
    assert found.det_scores == pytest.approx([0.8])
    assert np.allclose(found.boxes, [[12 - 8, 20 - 16, 12 + 8, 20 + 16]], atol=1e-4)
    assert np.allclose(found.landmarks[0], [[16, 32]] * 5)


def test_faces_are_ordered_by_frame_whatever_stride_found_them() -> None:
    outputs = silent_scrfd(3)
    for level, frame in enumerate((2, 0, 1)):
        outputs[level][frame, 0] = 0.9
    assert decode_scrfd(outputs, size=InputSize.square(SIDE), min_det_score=0.5).frame.tolist() == [0, 1, 2]


def test_a_score_that_is_no_number_is_no_face() -> None:
    outputs = silent_scrfd(1)
    outputs[0][0, 0] = np.nan
    assert len(decode_scrfd(outputs, size=InputSize.square(SIDE), min_det_score=0.5)) == 0


@pytest.mark.parametrize("count", [6, 9, 10, 15])
def test_the_number_of_scrfd_outputs_says_which_strides_and_whether_there_are_landmarks(count: int) -> None:
    side = 256
    shapes = expected_shapes(count, InputSize.square(side))
    strides = (8, 16, 32) if count in (6, 9) else (8, 16, 32, 64, 128)
    assert shapes[: len(strides)] == [((side // stride) ** 2, 1) for stride in strides]
    outputs = [np.zeros((2, *shape), np.float32) for shape in shapes]
    level, place = len(strides) - 1, 3
    outputs[level][1, place] = 0.9
    outputs[level + len(strides)][1, place] = 0.5
    found = decode_scrfd(outputs, size=InputSize.square(side), min_det_score=0.5)
    assert found.frame.tolist() == [1]
    assert (found.boxes[0, 2:] - found.boxes[0, :2]).tolist() == [strides[-1]] * 2
    has_landmarks = count in (9, 15)
    assert found.landmarks.shape == (1, 5, 2)
    assert np.isfinite(found.landmarks).all() == has_landmarks
    assert np.isnan(found.landmarks).all() != has_landmarks
