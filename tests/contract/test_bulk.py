"""What bulk jobs promise, on a real PostgreSQL: chunks by turns, effects once, truthful ends."""

from collections.abc import Sequence

import psycopg2.errors
import pytest

from common.contracts import BULK_KINDS, JobState, Priority, StepKind, StepRef
from common.documents import BulkProgress, Job
from common.errors import BadInputError, CancelledError
from common.settings import LeaseSettings
from common.store.bulk import Bulk, Chunk, Effect, create_bulk_job
from common.store.database import Cursor, Database
from common.store.jobs import Jobs
from common.store.schedule import BULK, LIGHT, Outgoing, Schedule
from common.store.steps import Steps
from tests.builders import MODEL_ID, a_job

ROOM = {"decode": 100, LIGHT: 100, "match": 100, BULK["match"]: 100, BULK["embed"]: 100}
WORKER = "match@here.1"


class House:
    """The stores that take part in a bulk job's life."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs = Jobs(database, max_open=5)
        self.steps = Steps(database, LeaseSettings())
        self.schedule = Schedule(database, LeaseSettings(), span_segments=8)
        self.bulk = Bulk(database)

    def create(self, *, priority: Priority = Priority.LOW) -> str:
        with self.database.transaction() as cursor:
            row = create_bulk_job(
                cursor, kind="rematch", model_id=MODEL_ID, options={"gallery": "staff"}, priority=priority
            )
        return str(row["id"])

    def claim(self, **room: int) -> list[Outgoing]:
        return self.schedule.claim(ROOM | room)

    def begin(self) -> StepRef:
        (outgoing,) = self.claim()
        ref = outgoing.message.span()[0]
        assert self.steps.begin(ref, "match", WORKER)
        return ref

    def surveyed(self, chunks: int) -> str:
        job_id = self.create()
        ref = self.begin()
        assert ref.kind is StepKind.SURVEY
        self.bulk.surveyed(ref, "rematch", [Chunk(10, {"nr": nr}) for nr in range(chunks)])
        return job_id

    def begin_chunks(self) -> Sequence[StepRef]:
        refs = [outgoing.message.span()[0] for outgoing in self.claim()]
        assert {ref.kind for ref in refs} == {StepKind.CHUNK}
        assert all(self.steps.begin(ref, "match", WORKER) for ref in refs)
        return refs

    def progress(self, job_id: str) -> BulkProgress:
        progress = Job.from_row(self.jobs.get(job_id)).progress
        assert isinstance(progress, BulkProgress)
        return progress


@pytest.fixture
def house(database: Database) -> House:
    with database.transaction() as cursor:
        cursor.execute("create table effects (nr int primary key)")
    return House(database)


def write(nr: int) -> Effect:
    def effect(cursor: Cursor) -> dict[str, int]:
        cursor.execute("insert into effects values (%s)", (nr,))
        return {"nr": nr}

    return effect


def test_survey_chunks_conclusion(house: House) -> None:
    job_id = house.surveyed(3)
    assert (house.progress(job_id).items_done, house.progress(job_id).items_total) == (0, 30)
    for ref in house.begin_chunks():
        assert house.bulk.read(ref).options["gallery"] == "staff"
        house.bulk.chunk_done(ref, write(house.bulk.work(ref)["nr"]))
    assert house.progress(job_id).items_done == 30
    ref = house.begin()
    assert ref.kind is StepKind.CONCLUDE
    assert [(chunk.ordinal, chunk.result) for chunk in house.bulk.chunks(job_id)] == [
        (nr, {"nr": nr}) for nr in range(3)
    ]
    house.bulk.concluded(ref, state=JobState.SUCCEEDED, report={"answer": 42}, error=None)
    document = Job.from_row(house.jobs.get(job_id))
    assert (document.kind, document.state, document.report) == ("rematch", "succeeded", {"answer": 42})
    assert document.progress.fraction == 1
    assert house.claim() == []


def test_a_job_without_chunks_is_concluded_at_once(house: House) -> None:
    house.surveyed(0)
    assert house.begin().kind is StepKind.CONCLUDE


def test_a_chunk_begun_twice_has_its_effect_once(house: House) -> None:
    job_id = house.surveyed(1)
    (old,) = house.begin_chunks()
    with house.database.transaction() as cursor:
        cursor.execute("update steps set lease_until = now() - interval '1 second' where kind = 'chunk'")
    assert house.schedule.expire().revived == 1
    (new,) = house.begin_chunks()
    house.bulk.chunk_done(new, write(0))
    with pytest.raises(CancelledError):
        house.bulk.chunk_done(old, write(0))
    assert house.progress(job_id).items_done == 10


def test_an_effect_that_fails_leaves_nothing(house: House) -> None:
    job_id = house.surveyed(2)
    first, second = house.begin_chunks()
    house.bulk.chunk_done(first, write(7))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        house.bulk.chunk_done(second, write(7))
    assert house.progress(job_id).items_done == 10
    house.bulk.chunk_done(second, write(8))


def test_a_failed_chunk_is_told_and_runs_again_on_retry(house: House) -> None:
    job_id = house.surveyed(2)
    good, bad = house.begin_chunks()
    house.steps.fail(bad, BadInputError("The crop is damaged."))
    house.bulk.chunk_done(good, write(0))
    conclusion = house.begin()
    assert [chunk.error and chunk.error["code"] for chunk in house.bulk.chunks(job_id)] == [None, "bad_input"]
    house.bulk.concluded(conclusion, state=JobState.PARTIAL, report={}, error={"code": "bad_input", "message": "…"})
    assert house.jobs.retry(job_id, is_stored=lambda _: False)["state"] == "running"
    (again,) = house.begin_chunks()
    assert (again.ordinal, again.attempt) == (1, 2)
    house.bulk.chunk_done(again, write(1))
    assert house.begin().kind is StepKind.CONCLUDE
    assert house.progress(job_id).items_done == 20


def test_a_conclusion_may_ask_for_more(house: House) -> None:
    job_id = house.surveyed(1)
    (ref,) = house.begin_chunks()
    house.bulk.chunk_done(ref, write(0))
    conclusion = house.begin()
    house.bulk.extended(conclusion, "rematch", [Chunk(5, {"nr": 9})], {"so far": 1})
    (more,) = house.begin_chunks()
    assert (more.ordinal, house.bulk.work(more)) == (1, {"nr": 9})
    assert house.bulk.read(more).report == {"so far": 1}
    house.bulk.chunk_done(more, write(1))
    last = house.begin()
    assert (last.kind, last.attempt) == (StepKind.CONCLUDE, conclusion.attempt + 1)
    assert house.progress(job_id).items_total == 15


def test_a_survey_that_fails_fails_the_job(house: House) -> None:
    job_id = house.create()
    house.steps.fail(house.begin(), BadInputError("There is no such model."))
    assert house.jobs.get(job_id)["state"] == "failed"
    assert house.jobs.retry(job_id, is_stored=lambda _: False)["state"] == "queued"
    assert house.begin().kind is StepKind.SURVEY


def test_a_cancelled_job_changes_nothing_any_more(house: House) -> None:
    job_id = house.surveyed(1)
    (ref,) = house.begin_chunks()
    house.jobs.cancel(job_id)
    with pytest.raises(CancelledError):
        house.bulk.chunk_done(ref, write(0))
    assert house.claim() == []


def test_chunks_take_no_more_than_their_room_and_leave_the_rest_to_media(house: House) -> None:
    house.surveyed(6)
    a_job(house.database)
    sent = house.claim(**{BULK["match"]: 2})
    assert [outgoing.task for outgoing in sent] == ["facepipe.plan", "facepipe.chunk", "facepipe.chunk"]
    assert house.claim(**{BULK["match"]: 0}) == []
    assert house.schedule.in_flight() == {LIGHT: 1, BULK["match"]: 2}


def test_many_bulk_jobs_without_room_do_not_hide_media(house: House) -> None:
    for _ in range(30):
        house.create(priority=Priority.HIGH)
    a_job(house.database, priority=Priority.LOW)
    (outgoing,) = house.schedule.claim({LIGHT: 1, BULK["match"]: 0})
    assert outgoing.task == "facepipe.plan"


def test_bulk_waits_behind_media_in_the_queue_unless_it_is_urgent(house: House) -> None:
    house.create(priority=Priority.NORMAL)
    house.create(priority=Priority.HIGH)
    urgent, other = house.claim()
    assert (urgent.message.priority, other.message.priority) == (Priority.NORMAL, Priority.LOW)


def test_bulk_jobs_are_listed_by_kind(house: House) -> None:
    job_id = house.create()
    a_job(house.database)
    assert [str(row["id"]) for row in house.jobs.list(state=None, kind="rematch", cursor=None, limit=9).items] == [
        job_id
    ]
    assert len(house.jobs.list(state=None, cursor=None, limit=9).items) == 2


def test_every_bulk_step_is_labelled(house: House) -> None:
    job_id = house.surveyed(1)
    (outgoing,) = house.claim()
    assert outgoing.message.label == f"job {job_id} chunk 0 attempt 1"
    assert {StepKind.CHUNK, StepKind.SURVEY, StepKind.CONCLUDE} == BULK_KINDS
