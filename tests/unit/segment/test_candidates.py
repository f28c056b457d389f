"""Reading outputs, choosing and suppressing, on arrays small enough to check by hand."""

import numpy as np
import pytest

from common.errors import ConfigurationError
from common.inference.picture_input import PictureReader
from common.packs import PictureInput
from workers.segment.candidates import Candidates, choose_candidates, suppress
from workers.segment.heads import read_yolact, read_yolo


def candidates(boxes: list[list[float]], scores: list[float]) -> Candidates:
    count = len(boxes)
    return Candidates(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.zeros(count, np.int64),
        np.zeros((count, 1), np.float32),
        np.zeros((1, 2, 2), np.float32),
    )


def reader(fit: str, *, side: int = 64, **changes: object) -> PictureReader:
    given = {"side_px": side, "mean": [0, 0, 0], "std": [255, 255, 255], "fit": fit}
    return PictureReader(PictureInput.model_validate(given | changes))


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose_candidates(candidates([], []), min_score=0.0).tolist() == []
    assert suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), nms_iou=0.5, limit=3).tolist() == []


def test_what_is_not_finite_empty_or_weak_is_no_object() -> None:
    nan, inf = np.nan, np.inf
    boxes = [[0, 0, 9, 9], [0, 0, nan, 9], [0, 0, inf, 9], [5, 5, 5, 9], [9, 9, 0, 0], [0, 0, 9, 9], [0, 0, 9, 9]]
    scores = [0.3, 0.9, 0.9, 0.9, 0.9, nan, 0.6]
    assert choose_candidates(candidates(boxes, scores), min_score=0.2).tolist() == [6, 0]


def test_only_objects_of_one_class_suppress_each_other() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [20, 0, 30, 10]], np.float32)
    classes = np.array([1, 1, 2, 1])
    assert suppress(boxes, classes, nms_iou=0.5, limit=9).tolist() == [0, 2, 3]
    assert suppress(boxes, classes, nms_iou=0.9, limit=9).tolist() == [0, 1, 2, 3]  # 0.9 is not more than 0.9
    assert suppress(boxes, classes, nms_iou=0.5, limit=2).tolist() == [0, 2]


def test_yolo_is_read_in_either_order_with_and_without_objectness() -> None:
    prototypes = np.zeros((2, 3, 3), np.float32)
    row = [10, 20, 4, 8, 0.1, 0.6, 0.3, 7, 9]
    plain = np.array([row], np.float32)
    with_objectness = np.array([[*row[:4], 0.5, *row[4:]]], np.float32)
    for predictions, score in ((plain, 0.6), (plain.T, 0.6), (with_objectness, 0.3), (with_objectness.T, 0.3)):
        found = read_yolo(predictions, prototypes, classes=3)
        assert found.boxes.tolist() == [[8, 16, 12, 24]]
        assert found.scores.tolist() == pytest.approx([score])
        assert found.classes.tolist() == [1]
        assert found.coefficients.tolist() == [[7, 9]]
    with pytest.raises(ConfigurationError, match="7 classes and 2 prototypes make 13 numbers"):
        read_yolo(plain, prototypes, classes=7)


def test_yolact_is_read_against_its_priors() -> None:
    found = read_yolact(
        {
            "loc": np.array([[1, -1, 0, 5 * np.log(2)]], np.float32),
            "priors": np.array([[0.5, 0.5, 0.2, 0.4]], np.float32),
            "conf": np.array([[0.2, 0.1, 0.7]], np.float32),
            "mask": np.array([[3]], np.float32),
            "proto": np.arange(4, dtype=np.float32).reshape(2, 2, 1),
        },
        side_px=100,
    )
    assert found.boxes.tolist()[0] == pytest.approx([42, 6, 62, 86], abs=1e-3)
    assert (found.classes.tolist(), found.scores.tolist()) == ([1], pytest.approx([0.7]))
    assert found.prototypes.tolist() == [[[0, 1], [2, 3]]]


def test_a_letterbox_keeps_proportions_and_gives_them_back() -> None:
    pixels = np.full((20, 40, 3), 255, np.uint8)
    array, placement = reader("letterbox", padding=51).read(pixels)
    assert array.shape == (1, 3, 64, 64)
    assert (array[0, :, 16:48] == 1).all()
    assert np.allclose(array[0, :, :16], 0.2)
    assert np.allclose(array[0, :, 48:], 0.2)
    inside = placement.boxes_in_picture(np.array([[16, 24, 32, 40], [-9, -9, 99, 99]], np.float32))
    assert inside.tolist() == [[10, 5, 20, 15], [0, 0, 40, 20]]


def test_stretching_does_not() -> None:
    array, placement = reader("stretch").read(np.full((20, 40, 3), 255, np.uint8))
    assert (array == 1).all()
    assert placement.boxes_in_picture(np.array([[16, 16, 32, 32]], np.float32)).tolist() == [[10, 5, 20, 10]]


def test_planes_have_their_own_mean_and_order() -> None:
    pixels = np.array([[[10, 20, 30]]], np.uint8)
    array, _ = reader("stretch", side=16, colour="bgr", mean=[1, 2, 3], std=[1, 2, 4]).read(pixels)
    assert array[0, :, 0, 0].tolist() == [29, 9, 1.75]
