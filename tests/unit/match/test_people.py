"""Strangers and appearances."""

import numpy as np

from common.contracts import JobState, Options
from common.records import FinishedJob
from tests.builders import a_track
from workers.match.appearances import merge_tracks
from workers.match.outcome import final_state
from workers.match.strangers import group_strangers


def test_no_tracks_no_strangers() -> None:
    assert group_strangers(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), min_similarity=0.4).shape == (0,)


def test_a_stranger_who_comes_back_keeps_the_number() -> None:
    a, b = np.eye(4, dtype=np.float32)[:2]
    like_a = np.array([0.9, 0.1, 0.42, 0], np.float32)
    numbers = group_strangers(
        np.array([a, b, like_a / np.linalg.norm(like_a), b]), np.ones(4, np.float32), min_similarity=0.5
    )
    assert numbers.tolist() == [1, 2, 1, 2]


def test_the_bound_for_strangers_is_inclusive() -> None:
    pair = np.array([[1, 0], [0, 1]], np.float32)
    assert group_strangers(pair, np.ones(2, np.float32), min_similarity=0.0).tolist() == [1, 1]
    assert group_strangers(pair, np.ones(2, np.float32), min_similarity=0.01).tolist() == [1, 2]


def test_no_tracks_no_appearances() -> None:
    assert merge_tracks([], max_gap_ms=2000) == []


def test_tracks_of_one_person_with_a_short_gap_are_one_appearance() -> None:
    (only,) = merge_tracks(
        [
            a_track(track=0, start_ms=0, end_ms=1000, similarity=0.6, detections=3),
            a_track(track=1, start_ms=3000, end_ms=4000, similarity=0.7, detections=4),
        ],
        max_gap_ms=2000,
    )
    assert (only.start_ms, only.end_ms, only.best_similarity, only.detections, only.best_track) == (0, 4000, 0.7, 7, 1)


def test_a_long_gap_splits_and_other_people_do_not_bridge_it() -> None:
    found = merge_tracks(
        [
            a_track(track=0, start_ms=0, end_ms=1000),
            a_track(track=1, start_ms=900, end_ms=3200, subject_id="ben"),
            a_track(track=2, start_ms=3001, end_ms=4000),
        ],
        max_gap_ms=2000,
    )
    assert [(one.subject_id, one.start_ms, one.end_ms) for one in found] == [
        ("anna", 0, 1000),
        ("ben", 900, 3200),
        ("anna", 3001, 4000),
    ]


def test_a_short_track_inside_a_long_one_does_not_shorten_it() -> None:
    (only,) = merge_tracks(
        [
            a_track(track=0, start_ms=0, end_ms=9000),
            a_track(track=1, start_ms=1000, end_ms=2000),
            a_track(track=2, start_ms=9500, end_ms=9900),
        ],
        max_gap_ms=2000,
    )
    assert (only.start_ms, only.end_ms) == (0, 9900)


def test_a_strangers_appearance_states_no_similarity_and_shows_the_best_picture() -> None:
    (only,) = merge_tracks(
        [
            a_track(track=0, subject_id=None, stranger=1, similarity=0.3, quality=0.2),
            a_track(track=1, subject_id=None, stranger=1, similarity=0.1, quality=0.9),
        ],
        max_gap_ms=2000,
    )
    assert (only.subject_id, only.stranger, only.best_similarity, only.best_track) == (None, 1, None, 1)


def a_job(failures: list[tuple[int, int, dict[str, str]]], done: int) -> FinishedJob:
    return FinishedJob(Options(), "m", {"kind": "video"}, "jobs/x/media", tuple(failures), done)


LOST = {"code": "worker_lost", "message": "Its worker died."}
BAD = {"code": "bad_media", "message": "It does not decode."}


def test_a_job_without_failures_succeeds() -> None:
    assert final_state(a_job([], 0)) == (JobState.SUCCEEDED, None)


def test_a_job_of_which_nothing_came_out_fails_with_the_first_reason() -> None:
    assert final_state(a_job([(0, 1000, BAD), (1000, 2000, LOST)], 0)) == (JobState.FAILED, BAD)


def test_a_partial_job_names_the_missing_ranges_joined() -> None:
    state, error = final_state(a_job([(0, 1000, LOST), (1000, 2000, LOST), (2000, 3000, BAD), (5000, 6000, BAD)], 2))
    assert state is JobState.PARTIAL
    assert error is not None
    assert [(r["start_ms"], r["end_ms"], r["code"]) for r in error["ranges"]] == [
        (0, 2000, "worker_lost"),
        (2000, 3000, "bad_media"),
        (5000, 6000, "bad_media"),
    ]
    assert error["message"].startswith("4 of 6 segments failed")
