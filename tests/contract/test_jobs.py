"""What `Jobs` and `JobChanges` promise, on the real database."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from common.contracts import JobState, Priority
from common.errors import BadInputError, ConflictError, NotFoundError, OverloadedError
from common.store.changes import JobChanges
from common.store.database import Database
from common.store.galleries import Galleries
from common.store.jobs import Jobs, NewJob


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, max_open=50)


@pytest.fixture
def changes(database: Database, jobs: Jobs) -> Iterator[JobChanges]:
    listening = JobChanges(database, jobs)
    yield listening
    listening.close()


def a_job(**given: object) -> NewJob:
    job_id = str(uuid.uuid4())
    job = NewJob(
        job_id=job_id,
        priority=Priority.NORMAL,
        gallery_id=None,
        options={"gallery": None, "min_similarity": 0.4},
        model_id="test-model",
        blob_key=f"jobs/{job_id}/media",
    )
    return replace(job, **given)  # type: ignore[arg-type]


def steps_of(database: Database, job_id: str) -> list[tuple[str, int, str]]:
    with database.transaction() as cursor:
        cursor.execute("select kind, ordinal, state from steps where job_id = %s order by kind, ordinal", (job_id,))
        return [(row["kind"], row["ordinal"], row["state"]) for row in cursor.fetchall()]


def set_state(database: Database, job_id: str, state: str) -> None:
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = %s where id = %s", (state, job_id))


def test_there_are_no_jobs_at_first(jobs: Jobs) -> None:
    page = jobs.list(state=None, cursor=None, limit=5)
    assert (page.items, page.next_cursor) == ([], None)


def test_an_accepted_job_is_queued_and_its_plan_is_promised(jobs: Jobs, database: Database) -> None:
    job = a_job(media_url="https://example.org/a.mp4")
    row, is_new = jobs.create(job)
    assert is_new
    assert (str(row["id"]), row["state"], row["options"]["min_similarity"]) == (job.job_id, "queued", 0.4)
    assert row["media_url"] == "https://example.org/a.mp4"
    assert steps_of(database, job.job_id) == [("plan", 0, "pending")]
    assert jobs.get(job.job_id) == row


def test_an_unknown_job_is_not_found(jobs: Jobs) -> None:
    for method in (jobs.get, jobs.cancel, jobs.delete):
        with pytest.raises(NotFoundError):
            method(str(uuid.uuid4()))


def test_the_same_key_and_request_give_the_same_job(jobs: Jobs) -> None:
    first, _ = jobs.create(a_job(idempotency_key="k", fingerprint="f"))
    again, is_new = jobs.create(a_job(idempotency_key="k", fingerprint="f"))
    assert not is_new
    assert again["id"] == first["id"]


def test_the_same_key_for_another_request_is_refused(jobs: Jobs) -> None:
    jobs.create(a_job(idempotency_key="k", fingerprint="f"))
    with pytest.raises(ConflictError) as caught:
        jobs.create(a_job(idempotency_key="k", fingerprint="g"))
    assert caught.value.code == "idempotency_mismatch"


def test_keys_of_two_owners_have_nothing_to_do_with_each_other(jobs: Jobs) -> None:
    first, _ = jobs.create(a_job(owner="a", idempotency_key="k", fingerprint="f"))
    second, is_new = jobs.create(a_job(owner="b", idempotency_key="k", fingerprint="g"))
    assert is_new
    assert first["id"] != second["id"]


def test_twins_that_arrive_together_make_one_job(jobs: Jobs, database: Database) -> None:
    barrier = threading.Barrier(6)

    def create(_: int) -> tuple[str, bool]:
        job = a_job(idempotency_key="k", fingerprint="f")
        barrier.wait(timeout=30)
        row, is_new = jobs.create(job)
        return str(row["id"]), is_new

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(create, range(6)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1
    assert steps_of(database, answers[0][0]) == [("plan", 0, "pending")]


def test_too_many_open_jobs_are_refused_but_a_retry_is_answered(database: Database) -> None:
    jobs = Jobs(database, max_open=2)
    first, _ = jobs.create(a_job(idempotency_key="k", fingerprint="f"))
    jobs.check_room()
    jobs.create(a_job())
    with pytest.raises(OverloadedError):
        jobs.create(a_job())
    with pytest.raises(OverloadedError):
        jobs.check_room()
    assert jobs.create(a_job(idempotency_key="k", fingerprint="f"))[0]["id"] == first["id"]
    jobs.cancel(str(first["id"]))
    assert jobs.create(a_job())[1]


def test_an_api_key_may_have_so_many_open_jobs_and_no_key_has_another_limit(database: Database) -> None:
    jobs = Jobs(database, max_open=10, max_open_per_owner=2)
    first, _ = jobs.create(a_job(owner="a"))
    jobs.create(a_job(owner="a"))
    with pytest.raises(OverloadedError, match=r"2 .*max_open_jobs_per_key"):
        jobs.create(a_job(owner="a"))
    with pytest.raises(OverloadedError):
        jobs.check_room("a")
    assert jobs.create(a_job(owner="b"))[1]
    for _ in range(3):
        assert jobs.create(a_job())[1]
    jobs.cancel(str(first["id"]))
    assert jobs.create(a_job(owner="a"))[1]


def test_a_gallery_that_is_gone_is_not_found_and_nothing_is_stored(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError):
        jobs.create(a_job(gallery_id=str(uuid.uuid4())))
    assert jobs.list(state=None, cursor=None, limit=5).items == []


def test_a_job_outlives_its_gallery(jobs: Jobs, database: Database) -> None:
    gallery_id = str(uuid.uuid4())
    Galleries(database).create(gallery_id, "staff", "test-model", None)
    row, _ = jobs.create(a_job(gallery_id=gallery_id))
    Galleries(database).delete("staff")
    assert jobs.get(str(row["id"]))["gallery_id"] is None


def test_pages_go_through_all_jobs_newest_first(jobs: Jobs, database: Database) -> None:
    ids = [str(jobs.create(a_job())[0]["id"]) for _ in range(5)]
    with database.transaction() as cursor:  # two of one moment: the id decides
        cursor.execute(
            "update jobs set created_at = '2026-01-01T00:00:00.123456Z' where id = any(%s::uuid[])", (ids[:2],)
        )
    seen, cursor_text = [], None
    while True:
        page = jobs.list(state=None, cursor=cursor_text, limit=2)
        seen += [str(row["id"]) for row in page.items]
        cursor_text = page.next_cursor
        if cursor_text is None:
            break
    assert seen == [ids[4], ids[3], ids[2], *sorted(ids[:2], reverse=True)]


def test_jobs_are_listed_by_state(jobs: Jobs) -> None:
    kept, dropped = (str(jobs.create(a_job())[0]["id"]) for _ in range(2))
    jobs.cancel(dropped)
    queued = jobs.list(state=JobState.QUEUED, cursor=None, limit=5)
    assert [str(row["id"]) for row in queued.items] == [kept]


@pytest.mark.parametrize("cursor", ["x", "WzEsMl0", "WyIyMDI2IiwiYSJd", "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiYSJd"])
def test_a_cursor_of_another_list_is_refused(jobs: Jobs, cursor: str) -> None:
    with pytest.raises(BadInputError):
        jobs.list(state=None, cursor=cursor, limit=5)


def test_cancelling_stops_the_open_steps_and_may_be_repeated(jobs: Jobs, database: Database) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    with database.transaction() as cursor:
        cursor.execute(
            "insert into steps (job_id, kind, ordinal, state, worker, lease_until) values"
            " (%(id)s, 'segment', 0, 'done', null, null), (%(id)s, 'segment', 1, 'running', 'w', now()),"
            " (%(id)s, 'segment', 2, 'sent', null, now()), (%(id)s, 'segment', 3, 'failed', null, null)",
            {"id": job_id},
        )
    row = jobs.cancel(job_id)
    assert row["state"] == "cancelled"
    assert row["finished_at"] is not None
    assert [state for _, _, state in steps_of(database, job_id)] == [
        "cancelled",
        "done",
        "cancelled",
        "cancelled",
        "failed",
    ]
    assert jobs.cancel(job_id) == row


@pytest.mark.parametrize("state", ["succeeded", "partial", "failed"])
def test_a_job_that_has_ended_cannot_be_cancelled(jobs: Jobs, database: Database, state: str) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    set_state(database, job_id, state)
    with pytest.raises(ConflictError):
        jobs.cancel(job_id)
    assert jobs.get(job_id)["state"] == state


def test_erasing_a_job_erases_its_steps(jobs: Jobs, database: Database) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    jobs.delete(job_id)
    assert steps_of(database, job_id) == []
    with pytest.raises(NotFoundError):
        jobs.get(job_id)


def test_a_change_that_has_happened_is_told_at_once(jobs: Jobs, changes: JobChanges, database: Database) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    set_state(database, job_id, "running")
    row = changes.wait(job_id, 0, 0.0)
    assert row is not None
    assert (row["state"], row["revision"]) == ("running", 1)
    assert changes.wait(job_id, 1, 0.0) is None


def test_everybody_who_waits_is_woken_by_one_change(jobs: Jobs, changes: JobChanges, database: Database) -> None:
    job_id, other_id = (str(jobs.create(a_job())[0]["id"]) for _ in range(2))
    with ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(changes.wait, job_id, 0, 60.0) for _ in range(4)]
        other = threads.submit(changes.wait, other_id, 0, 60.0)
        set_state(database, job_id, "running")
        assert {row["state"] for row in (future.result(timeout=30) for future in waiting) if row} == {"running"}
        assert not other.done()
        set_state(database, other_id, "running")
        assert other.result(timeout=30) is not None


def test_waiting_for_a_job_that_is_erased_ends(jobs: Jobs, changes: JobChanges) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(changes.wait, job_id, 0, 60.0)
        jobs.delete(job_id)
        with pytest.raises(NotFoundError):
            waiting.result(timeout=30)


def test_waiting_goes_on_after_the_listening_connection_broke(
    jobs: Jobs, changes: JobChanges, database: Database
) -> None:
    job_id = str(jobs.create(a_job())[0]["id"])
    set_state(database, job_id, "running")
    assert changes.wait(job_id, 0, 30.0) is not None  # the listener has been started
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(changes.wait, job_id, 1, 60.0)
        with database.transaction() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'listen%'"
            )
        set_state(database, job_id, "queued")
        row = waiting.result(timeout=30)
    assert row is not None
    assert row["revision"] == 2
