import numpy as np
import pytest

from workers.embed.select import select_faces


@pytest.mark.parametrize(
    ("tracklet", "worth", "times", "count", "chosen"),
    [
        ([], [], [], 3, []),
        ([0], [0.0], [5], 3, [0]),
        ([0, 0, 0], [0.1, 0.3, 0.2], [0, 1, 2], 3, [1, 2, 0]),
        ([0, 0, 0], [0.1, 0.3, 0.2], [0, 1, 2], 1, [1]),
        ([1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 1, [3, 2]),
        ([0, 0], [0.5, 0.5], [1, 0], 1, [0]),
        # The best two are neighbours: the later part gives its best before they both come.
        ([0] * 4, [0.9, 0.8, 0.1, 0.2], [0, 100, 800, 900], 2, [0, 3]),
        # All at one time: simply the best.
        ([0] * 4, [0.1, 0.4, 0.2, 0.3], [7, 7, 7, 7], 2, [1, 3]),
    ],
)
def test_the_best_faces_are_chosen_spread_over_time(
    tracklet: list[int], worth: list[float], times: list[int], count: int, chosen: list[int]
) -> None:
    found = select_faces(
        np.array(tracklet, np.int32),
        np.array(worth, np.float32),
        np.array(times, np.int64),
        per_tracklet=count,
    )
    assert found.tolist() == chosen


def test_a_part_without_faces_leaves_its_place_to_the_best_of_the_rest() -> None:
    times = np.array([0, 1, 2, 3, 899], np.int64)
    found = select_faces(np.zeros(5, np.int32), np.array([0.5, 0.6, 0.7, 0.8, 0.1], np.float32), times, per_tracklet=3)
    assert found.tolist() == [3, 2, 4]
