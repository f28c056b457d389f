"""Matching finished jobs again, on real servers."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import NotFoundError
from common.store.paging import Row
from tests.contract.bulk_house import NEW, OLD, BulkHouse, some_face


@pytest.fixture
def house(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[BulkHouse]:
    house = BulkHouse(database_url, redis_url, tmp_path)
    yield house
    house.close()


def rematch(house: BulkHouse, **options: Any) -> Row:
    return house.rematch.create(house.gallery, options=options)


def test_somebody_enrolled_later_is_found_in_past_jobs(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1), some_face(2), some_face(1, 1), some_face(3)])
    other = house.finished_job([some_face(2, 4)])
    ada = house.enrol("ada", [some_face(1, 2), some_face(1, 3)])
    job = house.run(rematch(house))
    assert (job["state"], job["frames_done"], job["frames_total"]) == ("succeeded", 2, 2)
    assert house.appearances(job_id) == [
        (ada, None, 0, 800),
        (None, 1, 10_000, 10_800),
        (ada, None, 20_000, 20_800),
        (None, 2, 30_000, 30_800),
    ]
    assert house.appearances(other) == [(None, 1, 0, 800)]
    report = job["report"]
    assert {name: report[name] for name in ("jobs", "tracks", "changed_jobs", "changed_tracks", "skipped")} == {
        "jobs": 2,
        "tracks": 5,
        "changed_jobs": 1,
        "changed_tracks": 2,
        "skipped": [],
    }
    first = report["changes"][0]
    assert (first["job_id"], first["track_id"], first["start_ms"]) == (job_id, 0, 0)
    assert first["before"]["name"] == "unknown 1"
    assert (first["after"]["subject_id"], first["after"]["name"]) == (ada, "ada")
    assert house.jobs.get(job_id)["report"]["rematched_by"] == str(job["id"])


def test_doing_it_again_changes_nothing(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1), some_face(2)])
    house.enrol("ada", [some_face(1, 2)])
    house.run(rematch(house))
    before = house.appearances(job_id)
    assert house.run(rematch(house))["report"]["changed_tracks"] == 0
    assert house.appearances(job_id) == before


def test_an_erased_subject_is_a_stranger_again(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1)])
    ada = house.enrol("ada", [some_face(1, 2)])
    house.run(rematch(house))
    house.galleries.delete_subject("staff", ada)
    house.run(rematch(house))
    assert house.appearances(job_id) == [(None, 1, 0, 800)]


def test_a_named_job_without_a_gallery_gets_this_one(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1)], gallery_id=None)
    ada = house.enrol("ada", [some_face(1, 2)])
    house.run(rematch(house))
    assert house.jobs.get(job_id)["gallery_id"] is None
    house.run(rematch(house, job_ids=[job_id]))
    assert house.appearances(job_id) == [(ada, None, 0, 800)]
    row = house.jobs.get(job_id)
    assert (str(row["gallery_id"]), row["options"]["gallery"]) == (house.gallery_id, "staff")


def test_a_job_that_is_not_there_is_refused(house: BulkHouse) -> None:
    with pytest.raises(NotFoundError, match="no finished media job"):
        rematch(house, job_ids=[str(uuid.uuid4())])


def test_only_answers_about_the_named_subjects_change(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1), some_face(2), some_face(3)])
    ada = house.enrol("ada", [some_face(1, 2)])
    house.enrol("ben", [some_face(2, 2)])
    house.run(rematch(house, subject_ids=[ada]))
    assert [(subject, stranger) for subject, stranger, *_ in house.appearances(job_id)] == [
        (ada, None),
        (None, 1),
        (None, 2),
    ]


def test_jobs_are_chosen_by_the_time_they_were_made(house: BulkHouse) -> None:
    old, new = house.finished_job([some_face(1)]), house.finished_job([some_face(1, 1)])
    with house.database.transaction() as cursor:
        cursor.execute("update jobs set created_at = '2020-01-01T00:00:00Z' where id = %s", (old,))
    ada = house.enrol("ada", [some_face(1, 2)])
    assert house.run(rematch(house, until="2020-01-02T00:00:00+00:00"))["report"]["jobs"] == 1
    assert (house.appearances(old), house.appearances(new)) == ([(ada, None, 0, 800)], [])


def test_changed_jobs_push_their_document_again(house: BulkHouse) -> None:
    changed = house.finished_job([some_face(1)], webhook_url="http://receiver.example/a")
    house.finished_job([some_face(2)], webhook_url="http://receiver.example/b")
    house.enrol("ada", [some_face(1, 2)])
    job = house.run(rematch(house))
    with house.database.transaction() as cursor:
        cursor.execute("select url, job->>'id' as id, job->'report'->>'rematched_by' as by from webhooks")
        assert [tuple(row.values()) for row in cursor.fetchall()] == [
            ("http://receiver.example/a", changed, str(job["id"]))
        ]


def test_a_death_in_the_middle_reports_each_change_once(house: BulkHouse) -> None:
    jobs = [house.finished_job([some_face(1, picture)]) for picture in range(41)]  # three chunks
    ada = house.enrol("ada", [some_face(1, 60)])
    job = rematch(house)
    house.run(job, steps=2)
    assert len(house.claim()) == 1
    house.die()
    report = house.run(job)["report"]
    assert (report["changed_jobs"], len({one["job_id"] for one in report["changes"]})) == (41, 41)
    assert all(house.appearances(one) == [(ada, None, 0, 800)] for one in jobs)


def test_after_a_reindex_jobs_are_matched_in_the_new_model(house: BulkHouse) -> None:
    job_id = house.finished_job([some_face(1)])
    house.enrol("ben", [some_face(2)])
    house.run(house.reindex.create("staff", model_id=NEW, options={}))
    ada = house.enrol("ada", [some_face(1, 2)], model_id=NEW)
    assert house.run(rematch(house))["state"] == "succeeded"
    assert (house.appearances(job_id), house.jobs.get(job_id)["model_id"]) == ([(ada, None, 0, 800)], NEW)


def test_jobs_without_embeddings_of_the_model_are_left_and_named(house: BulkHouse) -> None:
    house.enrol("ben", [some_face(2)])
    house.run(house.reindex.create("staff", model_id=NEW, options={}))
    job_id = house.finished_job([some_face(1)], model_id=OLD)
    job = house.run(rematch(house))
    assert (job["state"], job["error"]["code"]) == ("partial", "model_mismatch")
    assert [one["job_id"] for one in job["report"]["skipped"]] == [job_id]
    house.run(house.reindex.create("staff", model_id=NEW, options={}))  # catches up
    assert house.run(rematch(house))["state"] == "succeeded"
