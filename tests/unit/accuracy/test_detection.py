import numpy as np

from benchmarks.accuracy.crowds import GRIDS, SIDE_PX, make_crowds
from benchmarks.accuracy.detection import Agreement
from common.types import Detections


def faces(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = corners[:, None, :2] + places[None] * (corners[:, None, 2:] - corners[:, None, :2])
    return Detections(np.zeros(len(corners), np.int32), corners, landmarks, np.full(len(corners), score, np.float32))


def test_recall_counts_sure_faces_alone_and_precision_doubtful_ones_too() -> None:
    agreement = Agreement()
    sure, doubtful = faces((0, 0, 40, 40), (100, 0, 140, 40)), faces((200, 0, 240, 40), score=0.5)
    reference = Detections(
        *(np.concatenate([getattr(sure, name), getattr(doubtful, name)]) for name in sure.to_arrays())
    )
    agreement.count(reference, faces((2, 0, 42, 40), (200, 0, 240, 40), (300, 300, 340, 340)))
    figures = agreement.figures()
    assert figures["faces"] == 2
    assert figures["recall"] == 0.5
    assert figures["precision"] == round(2 / 3, 4)
    assert figures["landmark_error"] == round(2 / 16, 4)


def test_nothing_found_in_nothing() -> None:
    agreement = Agreement()
    agreement.count(faces(), faces())
    agreement.count(faces((0, 0, 40, 40)), faces())
    assert agreement.figures() == {"faces": 1, "recall": 0.0, "precision": 0.0, "landmark_error": 0.0}


def test_crowds_show_every_photograph_once() -> None:
    values = np.arange(sum(grid * grid for grid in GRIDS)) % 200 + 20
    photographs = [np.full((250, 250, 3), value, np.uint8) for value in values]
    crowds = list(make_crowds(photographs))
    assert [crowd.shape for crowd in crowds] == [(SIDE_PX, SIDE_PX, 3)] * len(GRIDS)
    first = crowds[0]
    assert [int(first[80 + 160 * (i // 4), 80 + 160 * (i % 4), 0]) for i in range(16)] == values[:16].tolist()
