import numpy as np

from common.types import Detections
from workers.detect.process import keep_sure


def faces(*scores: float) -> Detections:
    count = len(scores)
    boxes = np.arange(4 * count, dtype=np.float32).reshape(-1, 4)
    landmarks = np.arange(10 * count, dtype=np.float32).reshape(-1, 5, 2)
    return Detections(np.arange(count, dtype=np.int32), boxes, landmarks, np.array(scores, np.float32))


def test_a_doubtful_face_counts_in_the_company_of_a_sure_one() -> None:
    found = faces(0.45, 0.9, 0.5, 0.55, 0.44)
    kept, tracklet = keep_sure(found, np.array([1, 0, 1, 2, 0], np.int32), 0.55)
    assert kept.det_scores.tolist() == found.det_scores[[1, 3, 4]].tolist()
    assert kept.frame.tolist() == [1, 3, 4]
    assert np.array_equal(kept.boxes, found.boxes[[1, 3, 4]])
    assert tracklet.tolist() == [0, 1, 0]
    assert tracklet.dtype == np.int32


def test_nothing_is_left_of_nothing() -> None:
    kept, tracklet = keep_sure(faces(), np.zeros(0, np.int32), 0.6)
    assert (len(kept), len(tracklet)) == (0, 0)
    kept, tracklet = keep_sure(faces(0.5), np.zeros(1, np.int32), 0.6)
    assert (len(kept), len(tracklet)) == (0, 0)
