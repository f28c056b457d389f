import numpy as np
import pytest

from workers.detect.nms import overlaps, suppress

BOX = [0.0, 0.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("boxes", "scores", "kept"),
    [
        ([], [], []),
        ([BOX], [0.5], [0]),
        ([BOX, BOX], [0.5, 0.6], [1]),
        ([BOX, BOX], [0.5, 0.5], [0]),
        ([BOX, [20, 0, 30, 10]], [0.5, 0.6], [1, 0]),
        # Overlap of exactly one third, which is the bound: both stay.
        ([BOX, [5, 0, 15, 10]], [0.6, 0.5], [0, 1]),
        ([BOX, [4, 0, 14, 10]], [0.6, 0.5], [0]),
        # The middle one falls to the first and so cannot suppress the third.
        ([BOX, [4, 0, 14, 10], [8, 0, 18, 10]], [0.9, 0.8, 0.7], [0, 2]),
    ],
)
def test_of_overlapping_faces_the_best_stays(boxes: list[list[float]], scores: list[float], kept: list[int]) -> None:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    assert suppress(array, np.array(scores, np.float32), nms_iou=1 / 3 + 1e-6, limit=100).tolist() == kept


def test_no_more_than_the_limit_are_kept_and_they_are_the_best() -> None:
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(5)], np.float32)
    scores = np.array([0.1, 0.5, 0.3, 0.4, 0.2], np.float32)
    assert suppress(boxes, scores, nms_iou=0.4, limit=3).tolist() == [1, 3, 2]


def test_empty_boxes_overlap_nothing() -> None:
    flat = np.array([[3, 3, 3, 3], [0, 0, 10, 10]], np.float32)
    assert overlaps(flat[0], flat).tolist() == [0, 0]
