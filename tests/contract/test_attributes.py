"""Guesses from a segment's crops to tracklets, tracks and appearances, on the real database."""

from dataclasses import replace

import numpy as np
import pytest

from common.contracts import JobState, StepKind
from common.records import Appearance, Attributes
from common.settings import LeaseSettings
from common.store.database import Database
from common.store.recording import Recording
from common.store.results import Results
from common.store.schedule import LIGHT, Schedule
from common.store.steps import Steps
from common.types import Tracklets
from tests.builders import MODEL_ID, a_job, a_track, some_segments, some_tracklets

ROOM = {"decode": 100, LIGHT: 100, "match": 100}
WORKER = "match@here.1"


def stored(database: Database, tracklets: Tracklets) -> str:
    """A job whose one segment is stored."""
    job_id = a_job(database)
    schedule, steps = Schedule(database, LeaseSettings(), span_segments=8), Steps(database, LeaseSettings())
    (outgoing,) = schedule.claim(ROOM)
    (plan,) = outgoing.message.span()
    assert steps.begin(plan, "decode", WORKER)
    steps.planned(plan, {"kind": "video"}, some_segments(1))
    (outgoing,) = schedule.claim(ROOM)
    segments = outgoing.message.span()
    steps.begin_segments(segments, WORKER)
    Recording(database).store_segment(segments[0], tracklets)
    return job_id


def guessed(*crops: tuple[int, float, float]) -> Tracklets:
    """Three faces in one frame, and crops of them: whose, age, female score."""
    plain = some_tracklets(frames=1, faces_per_frame=3)
    whose = np.array([crop[0] for crop in crops], np.int32)
    rows = np.flatnonzero(np.isin(np.arange(3), whose))
    assert len(rows) == 3, "every tracklet has a crop"
    nobody = np.zeros((len(crops), 0, 2), np.float32)
    return replace(
        plain,
        crop_tracklet=whose,
        crop_face=whose,
        crop_embeddings=plain.crop_embeddings[whose],
        crop_jpegs=np.zeros(len(crops), np.uint8),
        crop_ends=np.arange(1, len(crops) + 1, dtype=np.int64),
        crop_age=np.array([crop[1] for crop in crops], np.float32),
        crop_female_score=np.array([crop[2] for crop in crops], np.float32),
        crop_landmarks_106=nobody,
        crop_landmarks_68=np.zeros((len(crops), 0, 3), np.float32),
        crop_pose=np.full((len(crops), 3), np.nan, np.float32),
    )


def test_a_tracklet_has_the_mean_over_its_crops_and_none_where_nothing_was_guessed(database: Database) -> None:
    unknown = (np.nan, np.nan)
    job_id = stored(database, guessed((0, 20, 0.2), (0, 30, 0.6), (1, *unknown), (2, 50, 0.9), (2, *unknown)))
    found = {one.tracklet: one.attributes for one in Recording(database).read_tracklets(job_id)}
    assert found[0] is not None
    assert (found[0].age, found[0].female_score) == pytest.approx((25, 0.4))
    assert found[1] is None
    assert found[2] is not None
    assert (found[2].age, found[2].female_score) == pytest.approx((50, 0.9))


def test_tracks_and_appearances_keep_their_guesses(database: Database) -> None:
    job_id = stored(database, some_tracklets())
    recording = Recording(database)
    (outgoing,) = Schedule(database, LeaseSettings(), span_segments=8).claim(ROOM)
    (ref,) = outgoing.message.span()
    assert ref.kind is StepKind.FINISH
    assert Steps(database, LeaseSettings()).begin(ref, "match", WORKER)
    guess = Attributes(31.5, 0.25)
    tracklets = recording.read_tracklets(job_id)
    recording.finish(
        ref,
        state=JobState.SUCCEEDED,
        error=None,
        model_id=MODEL_ID,
        tracklets=tracklets,
        tracks=[
            a_track(subject_id=None, stranger=1, attributes=guess),
            a_track(track=1, members=(), subject_id=None, stranger=2),
        ],
        appearances=[
            Appearance(0, None, 1, 0, 900, None, 3, 0, attributes=guess),
            Appearance(1, None, 2, 0, 900, None, 3, 1),
        ],
    )
    results = Results(database)
    for rows in (results.tracks(job_id, cursor=None, limit=5).items, results.appearances(job_id)):
        assert [(row["age"], row["female_score"]) for row in rows] == [(31.5, 0.25), (None, None)]
