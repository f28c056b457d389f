from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.types import Detections
from workers.detect.tracklets import link

Place = tuple[float, float, float]  # centre x, centre y, side


def linked(frames: Sequence[Sequence[Place]], *, cut_at: Sequence[int] = (), step_ms: int = 200) -> list[list[int]]:
    """Tracklet numbers, frame by frame."""
    places = [place for frame in frames for place in frame]
    boxes = np.array([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s in places], np.float32).reshape(-1, 4)
    count = len(places)
    detections = Detections(
        np.repeat(np.arange(len(frames)), [len(frame) for frame in frames]).astype(np.int32),
        boxes,
        np.zeros((count, 5, 2), np.float32),
        np.ones(count, np.float32),
    )
    cuts = np.zeros(len(frames), bool)
    cuts[list(cut_at)] = True
    numbers = link(detections, np.arange(len(frames), dtype=np.int64) * step_ms, cuts)
    assert numbers.dtype == np.int32
    return [numbers[detections.frame == frame].tolist() for frame in range(len(frames))]


A, B = (100.0, 100.0, 50.0), (300.0, 100.0, 50.0)


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        ([], []),
        ([[]], [[]]),
        ([[], [A], []], [[], [0], []]),
        ([[A], [A], [A]], [[0], [0], [0]]),
        ([[A, B], [B, A]], [[0, 1], [1, 0]]),
        # Gone for one frame, and back.
        ([[A], [], [A]], [[0], [], [0]]),
        # Gone for two: somebody new, as far as places can tell.
        ([[A], [], [], [A]], [[0], [], [], [1]]),
        # Far away is somebody else, and so is one of quite another size.
        ([[A], [B]], [[0], [1]]),
        ([[A], [(100.0, 100.0, 120.0)]], [[0], [1]]),
        # A large step, without overlap of the boxes at all.
        ([[(100.0, 100.0, 50.0)], [(100.0, 148.0, 52.0)]], [[0], [0]]),
        # Nobody is in two places at once.
        ([[A], [A, (110.0, 100.0, 50.0)]], [[0], [0, 1]]),
        ([[A, (110.0, 100.0, 50.0)], [(105.0, 100.0, 50.0)]], [[0, 1], [0]]),
    ],
)
def test_faces_are_linked_by_place_and_size(frames: list[list[Place]], numbers: list[list[int]]) -> None:
    assert linked(frames) == numbers


def test_nothing_is_linked_across_a_cut() -> None:
    assert linked([[A], [A], [A], [A]], cut_at=[0, 2]) == [[0], [0], [1], [1]]


def test_nothing_is_linked_over_more_than_a_second() -> None:
    assert linked([[A], [A]], step_ms=1000) == [[0], [0]]
    assert linked([[A], [A]], step_ms=1001) == [[0], [1]]


def test_a_fast_face_is_followed_by_its_speed() -> None:
    """Two people pass each other; each one's place is nearer to where the other was, but both go on as before."""
    frames: list[list[Place]] = [[(100.0 + 30 * i, 100.0, 50.0), (310.0 - 30 * i, 106.0, 50.0)] for i in range(8)]
    numbers = linked(frames)
    assert numbers == [[0, 1]] * 8


PLACES = st.tuples(st.floats(0, 600), st.floats(0, 400), st.floats(10, 200))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(PLACES, max_size=5), max_size=7))
def test_two_faces_of_a_frame_never_share_a_tracklet_and_numbers_rise(frames: list[list[Place]]) -> None:
    numbers = linked(frames)
    for frame in numbers:
        assert len(set(frame)) == len(frame)
    flat = [number for frame in numbers for number in frame]
    firsts = list(dict.fromkeys(flat))
    assert firsts == list(range(len(firsts)))
    assert linked(frames) == numbers
