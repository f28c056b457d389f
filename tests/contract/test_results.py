"""What `Results` promises, on the real database."""

import uuid

import psycopg2.extras
import pytest

from common.contracts import Priority
from common.errors import BadInputError, NotFoundError
from common.store.database import Database
from common.store.galleries import Galleries, NewSample, NewSubject
from common.store.jobs import Jobs, NewJob
from common.store.paging import Page
from common.store.results import Results


@pytest.fixture
def results(database: Database) -> Results:
    return Results(database)


def a_stored_job(database: Database) -> str:
    job_id = str(uuid.uuid4())
    job = NewJob(job_id, Priority.NORMAL, None, {}, "test-model", f"jobs/{job_id}/media")
    Jobs(database, max_open=99).create(job)
    return job_id


def a_stored_subject(database: Database, name: str = "Ada") -> str:
    subject_id, galleries = str(uuid.uuid4()), Galleries(database)
    try:
        galleries.get("staff")
    except NotFoundError:
        galleries.create(str(uuid.uuid4()), "staff", "test-model", None)
    sample = NewSample(str(uuid.uuid4()), 0.9, 0.5, "galleries/g/s/x.jpg", (1.0, 0.0))
    galleries.add_subject("staff", "test-model", NewSubject(subject_id, name, None, {}), [sample])
    return subject_id


def store_detection(database: Database, job_id: str, frame_index: int, face: int = 0, tracklet: int = 0) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "insert into detections (job_id, frame_index, face, ordinal, media_time_ms, box, landmarks, det_score,"
            " tracklet) values (%s, %s, %s, 0, %s, %s, %s, 0.9, %s)",
            (job_id, frame_index, face, frame_index * 200, [1.5, 2, 3, 4], list(range(10)), tracklet),
        )


def store_track(database: Database, job_id: str, track: int, subject_id: str | None, stranger: int | None) -> None:
    """A track, its one tracklet of the same number, and an appearance of the same number."""
    candidates = [{"subject_id": subject_id, "similarity": 0.5}] if subject_id else []
    with database.transaction() as cursor:
        cursor.execute(
            "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, subject_id, stranger,"
            " similarity, candidates, crops) values (%s, %s, %s, 900, 3, 0.7, %s, %s, 0.5, %s, 2)",
            (job_id, track, 100 * track, subject_id, stranger, psycopg2.extras.Json(candidates)),
        )
        cursor.execute(
            "insert into tracklets (job_id, ordinal, tracklet, start_ms, end_ms, detections, first_box, last_box,"
            " quality, embedding, crop_embeddings, crops, track)"
            " values (%s, 0, %s, 0, 900, 3, '{0,0,1,1}', '{0,0,1,1}', 0.7, '\\x3f80000000000000', '', '{}', %s)",
            (job_id, track, track),
        )
        cursor.execute(
            "insert into appearances (job_id, appearance, subject_id, stranger, start_ms, end_ms, best_similarity,"
            " detections, best_track) values (%s, %s, %s, %s, %s, 900, 0.5, 3, %s)",
            (job_id, track, subject_id, stranger, 100 * track, track),
        )


def frames_of(page: Page) -> list[tuple[int, int]]:
    return [(row["frame_index"], row["face"]) for row in page.items]


def test_a_new_job_has_no_results(results: Results, database: Database) -> None:
    job_id = a_stored_job(database)
    assert results.detections(job_id, cursor=None, limit=5).items == []
    assert results.tracks(job_id, cursor=None, limit=5).items == []
    assert results.appearances(job_id) == []


def test_results_of_an_unknown_job_are_not_found(results: Results) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(NotFoundError):
        results.detections(unknown, cursor=None, limit=5)
    with pytest.raises(NotFoundError):
        results.tracks(unknown, cursor=None, limit=5)
    with pytest.raises(NotFoundError):
        results.appearances(unknown)


def test_detections_come_in_the_order_of_frames_and_faces(results: Results, database: Database) -> None:
    job_id = a_stored_job(database)
    wanted = [(0, 0), (0, 1), (5, 0), (10, 0), (10, 1)]
    for frame_index, face in reversed(wanted):
        store_detection(database, job_id, frame_index, face)
    store_detection(database, a_stored_job(database), 3)
    seen, cursor = [], None
    while True:
        page = results.detections(job_id, cursor=cursor, limit=2)
        seen += frames_of(page)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == wanted
    assert [(row["frame_index"], row["face"]) for row in results.all_detections(job_id, cursor=None)] == wanted


def test_all_detections_cross_the_border_between_batches(results: Results, database: Database) -> None:
    job_id = a_stored_job(database)
    with database.transaction() as cursor:
        cursor.execute(
            "insert into detections select %s, i, 0, 0, i, '{0,0,1,1}', '{0,0,0,0,0,0,0,0,0,0}', 0.9, 0"
            " from generate_series(0, 2000) i",
            (job_id,),
        )
    assert [row["frame_index"] for row in results.all_detections(job_id, cursor=None)] == list(range(2001))


def test_a_detection_belongs_to_no_track_until_the_job_is_finished(results: Results, database: Database) -> None:
    job_id, ada = a_stored_job(database), a_stored_subject(database)
    store_detection(database, job_id, 7, tracklet=4)
    (row,) = results.detections(job_id, cursor=None, limit=5).items
    assert (row["track_id"], row["subject_id"], row["candidates"]) == (None, None, None)
    assert (row["media_time_ms"], row["box"], row["landmarks"]) == (1400, [1.5, 2, 3, 4], list(range(10)))
    store_track(database, job_id, 4, ada, None)
    (row,) = results.detections(job_id, cursor=None, limit=5).items
    assert (row["track_id"], str(row["subject_id"])) == (4, ada)
    assert row["candidates"] == [{"subject_id": ada, "similarity": 0.5}]


def test_tracks_name_subjects_and_number_strangers(results: Results, database: Database) -> None:
    job_id, ada = a_stored_job(database), a_stored_subject(database)
    store_track(database, job_id, 0, ada, None)
    store_track(database, job_id, 1, None, 1)
    first = results.tracks(job_id, cursor=None, limit=1)
    second = results.tracks(job_id, cursor=first.next_cursor, limit=1)
    assert [row["name"] for row in (*first.items, *second.items)] == ["Ada", "unknown 1"]
    assert second.next_cursor is None


def test_appearances_are_ordered_by_start_and_then_by_name(results: Results, database: Database) -> None:
    job_id = a_stored_job(database)
    store_track(database, job_id, 2, None, 2)
    store_track(database, job_id, 1, a_stored_subject(database, "Bob"), None)
    store_track(database, job_id, 0, a_stored_subject(database, "Ada"), None)
    assert [(row["name"], row["start_ms"]) for row in results.appearances(job_id)] == [
        ("Ada", 0),
        ("Bob", 100),
        ("unknown 2", 200),
    ]


def test_an_erased_subject_leaves_an_appearance_of_nobody(results: Results, database: Database) -> None:
    job_id, ada = a_stored_job(database), a_stored_subject(database)
    store_track(database, job_id, 0, ada, None)
    Galleries(database).delete_subject("staff", ada)
    (row,) = results.appearances(job_id)
    assert (row["subject_id"], row["name"]) == (None, "unknown")


def test_appearances_of_a_subject_are_collected_over_jobs_newest_first(results: Results, database: Database) -> None:
    ada = a_stored_subject(database)
    assert results.appearances_of(ada, cursor=None, limit=5).items == []
    older, newer = a_stored_job(database), a_stored_job(database)
    for job_id in (older, newer):
        for track in range(2):
            store_track(database, job_id, track, ada, None)
        store_track(database, job_id, 2, None, 1)
    seen, cursor = [], None
    while True:
        page = results.appearances_of(ada, cursor=cursor, limit=3)
        seen += [(str(row["job_id"]), row["appearance"]) for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [(newer, 1), (newer, 0), (older, 1), (older, 0)]


@pytest.mark.parametrize("cursor", ["x", "WzFd", "WzEsIjIiXQ", "WzEsdHJ1ZV0", "WzEsOTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ"])
def test_a_cursor_of_another_list_is_refused(results: Results, database: Database, cursor: str) -> None:
    job_id = a_stored_job(database)
    with pytest.raises(BadInputError):
        results.detections(job_id, cursor=cursor, limit=5)
