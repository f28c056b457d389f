"""What `People` promises, on the real database: stable people under concurrency, retries, deletions and decisions."""

import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from common.errors import BadInputError, ConflictError, NotFoundError
from common.records import ClosestPerson
from common.store.database import Cursor, Database, vector_literal
from common.store.jobs import Jobs
from common.store.people import People, assign_people
from common.types import Float32s
from tests.builders import MODEL_ID, a_job
from workers.match.people import choose_person

CHOOSE = partial(choose_person, min_similarity=0.6)
ADA, BEN, CLEO = np.eye(8, dtype=np.float32)[:3]


@pytest.fixture
def people(database: Database) -> People:
    return People(database)


def like(face: Float32s, share: float = 0.9, other: int = 7) -> Float32s:
    """(8,) float32, unit length, whose similarity to a unit vector is `share`."""
    made = share * face
    made[other] += np.sqrt(1 - share**2)
    return np.asarray(made, np.float32)


def store_tracks(
    cursor: Cursor,
    job_id: str,
    faces: Sequence[Float32s],
    strangers: Sequence[int | None] | None = None,
    **changes: Any,
) -> None:
    """Tracks as the finish step stores them, each of a stranger of its own unless told otherwise."""
    for track, face in enumerate(faces):
        stranger = track + 1 if strangers is None else strangers[track]
        cursor.execute(
            "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, stranger, candidates, crops)"
            " values (%s, %s, %s, %s, 5, %s, %s, '[]', 1)",
            (job_id, track, 10_000 * track, 10_000 * track + 1000, changes.get("quality", 0.5), stranger),
        )
        cursor.execute(
            "insert into track_embeddings (job_id, track, model_id, embedding) values (%s, %s, %s, %s::halfvec)",
            (job_id, track, changes.get("model_id", MODEL_ID), vector_literal(face)),
        )


def finish(database: Database, *faces: Float32s, strangers: Sequence[int | None] | None = None, **changes: Any) -> str:
    """A finished job in which these faces are seen one after the other."""
    job_id = a_job(database)
    with database.transaction() as cursor:
        store_tracks(cursor, job_id, faces, strangers, **changes)
        assign_people(cursor, job_id, changes.get("model_id", MODEL_ID), CHOOSE)
    return job_id


def person_of(database: Database, job_id: str, track: int = 0) -> str | None:
    with database.transaction() as cursor:
        cursor.execute("select person_id from tracks where job_id = %s and track = %s", (job_id, track))
        found = cursor.fetchone()["person_id"]
    return None if found is None else str(found)


def everybody(people: People, **wanted: Any) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        page = people.list(**{"order": "most_seen", "min_jobs": 1, "limit": 2, **wanted}, cursor=cursor)
        found += [dict(row) for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_without_jobs_there_is_nobody(people: People) -> None:
    assert everybody(people) == []
    with pytest.raises(NotFoundError):
        people.get(str(uuid.uuid4()))


def test_a_stranger_who_comes_back_in_another_job_is_the_same_person(database: Database, people: People) -> None:
    first = finish(database, ADA, BEN)
    second = finish(database, like(ADA))
    assert person_of(database, second) == person_of(database, first)
    assert person_of(database, first, 1) != person_of(database, first)
    ada = people.get(person_of(database, second) or "")
    assert (ada["tracks"], ada["jobs"], ada["name"]) == (2, 2, f"unknown {ada['number']}")
    assert ada["first_seen_at"] < ada["last_seen_at"]
    assert [row["tracks"] for row in everybody(people)] == [2, 1]


def test_all_tracks_of_a_stranger_go_to_one_person_even_where_one_looks_like_nobody(database: Database) -> None:
    first = finish(database, ADA)
    second = finish(database, ADA, like(ADA, 0.3), strangers=[1, 1])
    assert {person_of(database, second, 0), person_of(database, second, 1)} == {person_of(database, first)}


def test_people_of_two_models_are_never_compared(database: Database, people: People) -> None:
    first, second = finish(database, ADA), finish(database, ADA, model_id="another-model")
    assert person_of(database, first) != person_of(database, second)
    assert {row["model_id"] for row in everybody(people)} == {MODEL_ID, "another-model"}


def test_who_is_known_or_nobodys_is_no_unknown_person(database: Database, people: People) -> None:
    finish(database, ADA, strangers=[None])
    assert everybody(people) == []


def test_assigning_twice_changes_nothing(database: Database, people: People) -> None:
    finish(database, ADA)
    job_id = finish(database, like(ADA), BEN)
    before = everybody(people)
    with database.transaction() as cursor:
        assign_people(cursor, job_id, MODEL_ID, CHOOSE)
    assert everybody(people) == before


def test_a_job_that_is_decided_anew_keeps_its_people(database: Database, people: People) -> None:
    job_id = finish(database, ADA, BEN)
    before = [person_of(database, job_id, track) for track in range(2)]
    counted = everybody(people)
    with database.transaction() as cursor:
        cursor.execute("delete from tracks where job_id = %s", (job_id,))
        store_tracks(cursor, job_id, [ADA, BEN], [2, 1])
        assign_people(cursor, job_id, MODEL_ID, CHOOSE)
    assert [person_of(database, job_id, track) for track in range(2)] == before
    assert everybody(people) == counted


def test_jobs_that_finish_at_once_make_one_person(database: Database, people: People) -> None:
    jobs = [a_job(database) for _ in range(6)]
    gate = threading.Barrier(len(jobs), timeout=30)

    def run(number: int) -> None:
        with database.transaction() as cursor:
            store_tracks(cursor, jobs[number], [like(ADA, 0.95, 3 + number % 4), BEN])
            gate.wait()
            assign_people(cursor, jobs[number], MODEL_ID, CHOOSE)

    with ThreadPoolExecutor(len(jobs)) as threads:
        list(threads.map(run, range(len(jobs))))
    assert [(row["tracks"], row["jobs"]) for row in everybody(people)] == [(6, 6), (6, 6)]
    assert len({person_of(database, job) for job in jobs}) == 1


def test_jobs_that_are_erased_while_others_finish_leave_right_counts(database: Database, people: People) -> None:
    old = [finish(database, ADA, BEN) for _ in range(4)]
    jobs = Jobs(database, max_open=99)
    with ThreadPoolExecutor(8) as threads:
        erased = [threads.submit(jobs.delete, job) for job in old]
        finished = [threads.submit(finish, database, BEN, ADA) for _ in range(4)]
        for each in (*erased, *finished):
            each.result()
    assert [(row["tracks"], row["jobs"]) for row in everybody(people)] == [(4, 4), (4, 4)]


def test_a_person_goes_with_the_last_job_that_shows_it(database: Database, people: People) -> None:
    first, second = finish(database, ADA), finish(database, like(ADA))
    ada = person_of(database, first) or ""
    Jobs(database, max_open=99).delete(first)
    left = people.get(ada)
    assert (left["tracks"], left["jobs"]) == (1, 1)
    assert left["first_seen_at"] == left["last_seen_at"]
    Jobs(database, max_open=99).delete(second)
    assert everybody(people) == []


def test_what_is_left_of_a_person_looks_as_it_would_without_the_erased_job(database: Database) -> None:
    def embedding_of(person: str | None) -> list[float]:
        with database.transaction() as cursor:
            cursor.execute("select embedding::real[] as e from people where id = %s", (person,))
            return list(cursor.fetchone()["e"])

    first = finish(database, ADA)
    alone = embedding_of(person_of(database, first))
    second = finish(database, like(ADA, 0.7), quality=0.9)
    assert embedding_of(person_of(database, first)) != alone
    Jobs(database, max_open=99).delete(second)
    assert embedding_of(person_of(database, first)) == pytest.approx(alone, abs=1e-3)


def a_subject(cursor: Cursor) -> str:
    gallery_id, subject_id = str(uuid.uuid4()), str(uuid.uuid4())
    cursor.execute("insert into galleries (id, name, model_id) values (%s, 'staff', %s)", (gallery_id, MODEL_ID))
    cursor.execute(
        "insert into subjects (id, gallery_id, name) values (%s, %s, 'Ada Lovelace')", (subject_id, gallery_id)
    )
    return subject_id


def test_a_stranger_who_becomes_a_subject_leaves_the_person(database: Database, people: People) -> None:
    first, second = finish(database, ADA), finish(database, like(ADA))
    ada = person_of(database, first) or ""
    with database.transaction() as cursor:
        subject = a_subject(cursor)
        cursor.execute("update tracks set subject_id = %s, stranger = null where job_id = %s", (subject, first))
    assert person_of(database, first) is None
    assert people.get(ada)["tracks"] == 1
    with database.transaction() as cursor:
        cursor.execute("update tracks set subject_id = %s where job_id = %s", (subject, second))
    with pytest.raises(NotFoundError):
        people.get(ada)


def test_merged_people_are_one_and_later_strangers_join_it(database: Database, people: People) -> None:
    first, second = finish(database, ADA), finish(database, like(ADA, 0.5, 6))
    ada, twin = person_of(database, first) or "", person_of(database, second) or ""
    assert ada != twin
    merged = people.merge(twin, ada)
    assert (str(merged["id"]), merged["tracks"], merged["jobs"]) == (ada, 2, 2)
    assert person_of(database, second) == ada
    with pytest.raises(NotFoundError):
        people.get(twin)
    middle = ADA + like(ADA, 0.5, 6)
    assert person_of(database, finish(database, middle / np.linalg.norm(middle))) == ada


def test_people_who_cannot_be_one_are_not_merged(database: Database, people: People) -> None:
    ada = person_of(database, finish(database, ADA)) or ""
    other = person_of(database, finish(database, ADA, model_id="another-model")) or ""
    with pytest.raises(BadInputError):
        people.merge(ada, ada)
    with pytest.raises(ConflictError):
        people.merge(ada, other)
    with pytest.raises(NotFoundError):
        people.merge(ada, str(uuid.uuid4()))
    assert len(everybody(people)) == 2


def test_a_wrong_track_is_taken_out_and_is_a_person_of_its_own(database: Database, people: People) -> None:
    first = finish(database, ADA)
    second = finish(database, like(ADA, 0.7))
    ada = person_of(database, first) or ""
    out = people.split(ada, second, 0)
    assert (out["tracks"], people.get(ada)["tracks"]) == (1, 1)
    assert person_of(database, second) == str(out["id"]) != ada
    with pytest.raises(NotFoundError):
        people.split(ada, second, 0)
    with pytest.raises(ConflictError):
        people.split(ada, first, 0)


def test_appearances_of_a_person_are_joined_over_short_absences_newest_job_first(
    database: Database, people: People
) -> None:
    older, newer = finish(database, ADA, ADA, BEN, ADA, strangers=[1, 1, 2, 1]), finish(database, ADA)
    ada = person_of(database, older) or ""
    found, cursor = [], None
    while True:
        page = people.appearances(ada, max_gap_ms=9000, cursor=cursor, limit=1)
        found += [(str(row["job_id"]), row["start_ms"], row["end_ms"], row["detections"]) for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == [(newer, 0, 1000, 5), (older, 30_000, 31_000, 5), (older, 0, 11_000, 10)]


def test_people_are_listed_by_how_often_or_how_lately_they_were_seen(database: Database, people: People) -> None:
    for faces in ([ADA, BEN], [ADA], [ADA], [BEN], [CLEO]):
        finish(database, *faces)
    assert [(row["jobs"], row["tracks"]) for row in everybody(people)] == [(3, 3), (2, 2), (1, 1)]
    assert [row["jobs"] for row in everybody(people, order="last_seen")] == [1, 2, 3]
    assert [row["jobs"] for row in everybody(people, min_jobs=2)] == [3, 2]


def test_the_tracks_to_enrol_from_are_the_best_of_each_job(database: Database, people: People) -> None:
    first = finish(database, ADA, ADA, ADA, strangers=[1, 1, 1], quality=0.9)
    second = finish(database, ADA, quality=0.4)
    best = people.best_tracks(person_of(database, first) or "", limit=3)
    assert [(one.job_id, one.track) for one in best] == [(first, 0), (second, 0), (first, 1)]
    assert best[0].crop_key == f"jobs/{first}/tracks/0.0.jpg"
    assert np.asarray(best[0].embedding) == pytest.approx(ADA)


def test_the_closest_person_is_given_with_how_much_it_leads(database: Database) -> None:
    seen: list[ClosestPerson] = []

    def choose(closest: ClosestPerson) -> None:
        seen.append(closest)

    finish(database, ADA)
    finish(database, BEN)
    job_id = a_job(database)
    with database.transaction() as cursor:
        store_tracks(cursor, job_id, [np.array([0.8, 0.6, 0, 0, 0, 0, 0, 0], np.float32)])
        assign_people(cursor, job_id, MODEL_ID, choose)
    (only,) = seen
    assert (only.similarity, only.next_similarity, only.alike) == pytest.approx((0.8, 0.6, 0.0), abs=1e-3)
