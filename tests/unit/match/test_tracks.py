"""Tracklets into tracks."""

import numpy as np
import pytest

from common.records import StoredTracklet
from tests.builders import a_stored_tracklet, a_unit_vector
from workers.match.tracks import link_tracklets


def members(tracklets: list[StoredTracklet]) -> list[tuple[int, ...]]:
    return [chain.members for chain in link_tracklets(tracklets, min_similarity=0.4, max_gap_ms=500)]


NEXT = {"ordinal": 1, "start_ms": 1000, "end_ms": 1800}


def test_no_tracklets_make_no_tracks() -> None:
    assert members([]) == []


def test_a_face_that_stays_is_one_track_over_the_segment_border() -> None:
    chains = link_tracklets(
        [a_stored_tracklet(), a_stored_tracklet(**NEXT), a_stored_tracklet(ordinal=2, start_ms=2000, end_ms=2400)],
        min_similarity=0.4,
        max_gap_ms=500,
    )
    assert [chain.members for chain in chains] == [(0, 1, 2)]
    assert np.linalg.norm(chains[0].embedding) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": -a_unit_vector()},
        {"first_box": np.array([900, 100, 1000, 220], np.float32)},
        {"first_box": np.array([100, 100, 600, 700], np.float32)},
        {"start_ms": 1400},
        {"ordinal": 2},
        {"start_ms": 800},
    ],
    ids=["looks different", "far away", "five times as large", "too late", "not the next segment", "at the same time"],
)
def test_tracklets_that_do_not_continue_each_other_stay_apart(change: dict[str, object]) -> None:
    assert members([a_stored_tracklet(), a_stored_tracklet(**(NEXT | change))]) == [(0,), (1,)]


def test_two_faces_that_swap_places_follow_their_looks() -> None:
    anna, ben = np.eye(8, dtype=np.float32)[:2]
    left, right = np.array([100, 100, 200, 220], np.float32), np.array([150, 100, 250, 220], np.float32)
    tracklets = [
        a_stored_tracklet(embedding=anna, last_box=left),
        a_stored_tracklet(embedding=ben, last_box=right, tracklet=1),
        a_stored_tracklet(**NEXT, embedding=ben, first_box=left),
        a_stored_tracklet(**NEXT, embedding=anna, first_box=right, tracklet=1),
    ]
    assert members(tracklets) == [(0, 3), (1, 2)]


def test_a_tracklet_has_one_successor_the_most_similar() -> None:
    anna = np.eye(8, dtype=np.float32)[0]
    alike = np.array([0.8, 0.6, 0, 0, 0, 0, 0, 0], np.float32)
    tracklets = [
        a_stored_tracklet(embedding=anna),
        a_stored_tracklet(**NEXT, embedding=alike),
        a_stored_tracklet(**NEXT, embedding=anna, tracklet=1),
    ]
    assert members(tracklets) == [(0, 2), (1,)]
