"""What `Footage` promises, on the real database."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from common.errors import NotFoundError
from common.store.database import Database, vector_literal
from common.store.footage import Footage, FootageFilter
from common.store.jobs import Jobs
from common.types import Float32s
from tests.builders import MODEL_ID, a_job

FACE, OTHER = np.eye(4, dtype=np.float32)[:2]


@pytest.fixture
def footage(database: Database) -> Footage:
    return Footage(database)


def seen(database: Database, *spans: tuple[int, int, float], job_id: str | None = None, **track: Any) -> str:
    """Tracks from when to when, and how similar to FACE."""
    job_id = job_id or a_job(database)
    with database.transaction() as cursor:
        cursor.execute("select count(*) as n from tracks where job_id = %s", (job_id,))
        first = cursor.fetchone()["n"]
        for number, (start_ms, end_ms, similarity) in enumerate(spans, start=first):
            face = np.array([similarity, 0, np.sqrt(1 - similarity**2), 0], np.float32)
            cursor.execute(
                "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, stranger, subject_id,"
                " candidates, crops) values (%s, %s, %s, %s, 5, 0.5, %s, %s, '[]', 1)",
                (job_id, number, start_ms, end_ms, track.get("stranger", 1), track.get("subject_id")),
            )
            cursor.execute(
                "insert into track_embeddings (job_id, track, model_id, embedding) values (%s, %s, %s, %s::halfvec)",
                (job_id, number, track.get("model_id", MODEL_ID), vector_literal(face)),
            )
    return job_id


def search(footage: Footage, probe: Float32s = FACE, **changes: Any) -> list[tuple[Any, ...]]:
    only = FootageFilter(**{name: changes.pop(name) for name in ("since", "until", "gallery_id") if name in changes})
    wanted = {"min_similarity": 0.5, "max_gap_ms": 2000, "limit": 99, **changes}
    rows, _ = footage.search(probe, MODEL_ID, only=only, **wanted)
    return [(str(row["job_id"]), row["start_ms"], row["end_ms"], round(row["similarity"], 2)) for row in rows]


def test_nothing_was_ever_processed(footage: Footage) -> None:
    assert search(footage) == []


def test_every_appearance_is_found_best_first(footage: Footage, database: Database) -> None:
    one = seen(database, (0, 1000, 0.6), (9000, 9500, 0.9))
    two = seen(database, (0, 400, 0.8), (0, 400, 0.3))
    assert search(footage) == [(one, 9000, 9500, 0.9), (two, 0, 400, 0.8), (one, 0, 1000, 0.6)]
    rows, found = footage.search(FACE, MODEL_ID, min_similarity=0.5, max_gap_ms=0, only=FootageFilter(), limit=1)
    assert (len(rows), found) == (1, 3)


def test_tracks_that_follow_closely_are_one_stretch(footage: Footage, database: Database) -> None:
    job = seen(database, (0, 5000, 0.6), (1000, 2000, 0.9), (7000, 8000, 0.7), (10_001, 11_000, 0.8))
    assert search(footage) == [(job, 0, 8000, 0.9), (job, 10_001, 11_000, 0.8)]
    (first, _), _ = footage.search(FACE, MODEL_ID, min_similarity=0.5, max_gap_ms=2000, only=FootageFilter(), limit=9)
    assert (first["best_track"], first["detections"], first["name"]) == (1, 15, "unknown 1")


def test_a_slowly_sampled_video_has_longer_absences(footage: Footage, database: Database) -> None:
    job = seen(database, (0, 1000, 0.9), (2400, 3000, 0.9))
    assert len(search(footage, max_gap_ms=0)) == 2
    with database.transaction() as cursor:
        cursor.execute("""update jobs set options = '{"sample_fps": 1}' where id = %s""", (job,))
    assert search(footage, max_gap_ms=0) == [(job, 0, 3000, 0.9)]


def test_two_people_at_once_are_two_stretches(footage: Footage, database: Database) -> None:
    gallery, subject = str(uuid.uuid4()), str(uuid.uuid4())
    with database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (%s, 'g', %s)", (gallery, MODEL_ID))
        cursor.execute("insert into subjects (id, gallery_id, name) values (%s, %s, 'Ada')", (subject, gallery))
    job = seen(database, (0, 1000, 0.8))
    seen(database, (500, 1500, 0.9), job_id=job, subject_id=subject, stranger=None)
    rows, _ = footage.search(FACE, MODEL_ID, min_similarity=0.5, max_gap_ms=2000, only=FootageFilter(), limit=9)
    assert [(row["name"], row["start_ms"]) for row in rows] == [("Ada", 500), ("unknown 1", 0)]


def test_the_bound_is_inclusive_and_models_are_never_mixed(footage: Footage, database: Database) -> None:
    job = seen(database, (0, 1000, 1.0))
    seen(database, (0, 1000, 1.0), model_id="another-model")
    assert search(footage, min_similarity=1.0) == [(job, 0, 1000, 1.0)]
    assert search(footage, probe=OTHER, min_similarity=0.0) == [(job, 0, 1000, 0.0)]


def test_only_footage_of_a_time_or_a_gallery_is_searched(footage: Footage, database: Database) -> None:
    old, new = seen(database, (0, 1, 0.9)), seen(database, (0, 1, 0.9))
    january = datetime(2026, 1, 1, tzinfo=UTC)
    gallery = str(uuid.uuid4())
    with database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (%s, 'g', %s)", (gallery, MODEL_ID))
        cursor.execute("update jobs set created_at = %s, gallery_id = %s where id = %s", (january, gallery, old))
    assert [row[0] for row in search(footage)] == [new, old]
    assert [row[0] for row in search(footage, until=january)] == [old]
    assert [row[0] for row in search(footage, since=january + timedelta(seconds=1))] == [new]
    assert [row[0] for row in search(footage, gallery_id=gallery)] == [old]


def test_an_erased_job_is_never_found(footage: Footage, database: Database) -> None:
    job = seen(database, (0, 1, 0.9))
    Jobs(database, max_open=9).delete(job)
    assert search(footage) == []


def test_a_track_may_be_the_probe(footage: Footage, database: Database) -> None:
    job = seen(database, (0, 1, 0.6))
    assert footage.probe_of(job, 0, MODEL_ID) == pytest.approx([0.6, 0, 0.8, 0], abs=1e-3)
    for track, model_id in ((1, MODEL_ID), (0, "another-model")):
        with pytest.raises(NotFoundError):
            footage.probe_of(job, track, model_id)
