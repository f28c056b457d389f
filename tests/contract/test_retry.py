"""What `Jobs.retry` promises, on the real database: what failed runs again, what is done stays."""

from collections.abc import Callable

import pytest

from common.contracts import JobState, StepKind, StepRef
from common.errors import BadInputError, CancelledError, ConflictError, NotFoundError, OverloadedError
from common.settings import LeaseSettings
from common.store.database import Database
from common.store.jobs import Jobs
from common.store.recording import Recording
from common.store.schedule import LIGHT, Schedule
from common.store.steps import Steps
from tests.builders import MODEL_ID, a_job, a_track, some_segments, some_tracklets

ROOM = {"decode": 100, LIGHT: 100, "match": 100}
WORKER = "decode@here.1"


class House:
    """The stores that take part in a job's life."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs = Jobs(database, max_open=3)
        self.steps = Steps(database, LeaseSettings())
        self.schedule = Schedule(database, LeaseSettings(), span_segments=8)
        self.recording = Recording(database)

    def claim(self) -> tuple[StepRef, ...]:
        (outgoing,) = self.schedule.claim(ROOM)
        return outgoing.message.span()

    def planned(self, segments: int) -> str:
        job_id = a_job(self.database)
        (plan,) = self.claim()
        assert self.steps.begin(plan, "decode", WORKER)
        self.steps.planned(plan, {"kind": "video"}, some_segments(segments))
        return job_id

    def finish(self, state: JobState) -> StepRef:
        (ref,) = self.claim()
        assert ref.kind is StepKind.FINISH
        assert self.steps.begin(ref, "match", WORKER)
        tracklets = self.recording.read_tracklets(ref.job_id)
        tracks = [a_track(subject_id=None, members=tuple(range(len(tracklets))))] if tracklets else []
        error = None if state is JobState.SUCCEEDED else {"code": "bad_media", "message": "Parts are missing."}
        self.recording.finish(
            ref, state=state, error=error, model_id=MODEL_ID, tracklets=tracklets, tracks=tracks, appearances=[]
        )
        return ref

    def partial(self) -> tuple[str, StepRef]:
        """A job of three segments: the first was done, the second is damaged, the third killed its workers."""
        job_id = self.planned(3)
        done, damaged, poison = self.claim()
        self.steps.begin_segments((done, damaged, poison), WORKER)
        self.recording.store_segment(done, some_tracklets())
        self.steps.fail(damaged, BadInputError("It does not decode.", "bad_media"))
        self.steps.give_back([poison])
        for _ in range(LeaseSettings().max_deaths):
            self.steps.begin_segments(self.claim(), WORKER)
            self.let_leases_run_out()
            self.schedule.expire()
        return job_id, self.finish(JobState.PARTIAL)

    def let_leases_run_out(self) -> None:
        with self.database.transaction() as cursor:
            cursor.execute("update steps set lease_until = now() - interval '1 second' where lease_until is not null")

    def step_states(self) -> list[tuple[str, int, str]]:
        with self.database.transaction() as cursor:
            cursor.execute("select kind, ordinal, state from steps order by kind desc, ordinal")
            return [(row["kind"], row["ordinal"], row["state"]) for row in cursor.fetchall()]

    def retry(self, job_id: str, is_stored: Callable[[str], bool] = lambda _: True) -> str:
        return str(self.jobs.retry(job_id, is_stored=is_stored)["state"])


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def test_an_unknown_job_is_not_found(house: House) -> None:
    with pytest.raises(NotFoundError):
        house.retry("00000000-0000-0000-0000-000000000000")


def test_failed_and_quarantined_segments_run_again_and_the_good_one_keeps_its_results(house: House) -> None:
    job_id, first_finish = house.partial()
    assert house.jobs.get(job_id)["state"] == "partial"
    assert house.retry(job_id) == "running"
    row = house.jobs.get(job_id)
    assert (row["error"], row["finished_at"], row["frames_done"], row["faces"]) == (None, None, 2, 2)
    assert house.step_states() == [
        ("segment", 0, "done"),
        ("segment", 1, "pending"),
        ("segment", 2, "pending"),
        ("plan", 0, "done"),
        ("finish", 0, "done"),
    ]
    again = house.claim()
    assert [ref.ordinal for ref in again] == [1, 2]
    started, _ = house.steps.begin_segments(again, WORKER)
    assert [one.segment.frame_times_ms.tolist() for one in started] == [[1000, 1500], [2000, 2500]]
    for ref in again:
        house.recording.store_segment(ref, some_tracklets(first_frame=ref.ordinal * 2))
    second_finish = house.finish(JobState.SUCCEEDED)
    assert second_finish.attempt == first_finish.attempt + 1
    row = house.jobs.get(job_id)
    assert (row["state"], row["error"], row["frames_done"], row["faces"]) == ("succeeded", None, 6, 6)


def test_pictures_are_kept_until_the_job_has_succeeded(house: House) -> None:
    job_id, _ = house.partial()
    house.retry(job_id)
    (good,) = house.recording.read_tracklets(job_id)
    assert house.recording.read_pictures(job_id, [good]) == [([b"crop 0"], b"thumb 0")]
    again = house.claim()
    house.steps.begin_segments(again, WORKER)
    for ref in again:
        house.recording.store_segment(ref, some_tracklets(first_frame=ref.ordinal * 2))
    house.finish(JobState.SUCCEEDED)
    assert house.recording.read_pictures(job_id, [good]) == [([], None)]


def test_a_clean_record_allows_as_many_deaths_as_the_first_time(house: House, database: Database) -> None:
    job_id, _ = house.partial()
    house.retry(job_id)
    with database.transaction() as cursor:
        cursor.execute("select deaths, failures, error from steps where kind = 'segment'")
        assert {tuple(row.values()) for row in cursor.fetchall()} == {(0, 0, None)}
    house.steps.begin_segments(house.claim(), WORKER)
    house.let_leases_run_out()
    assert house.schedule.expire().quarantined == 0


def test_a_failed_plan_is_planned_again(house: House) -> None:
    job_id = a_job(house.database)
    (plan,) = house.claim()
    house.steps.begin(plan, "decode", WORKER)
    house.steps.fail(plan, BadInputError("No codec for this.", "bad_media"))
    assert house.retry(job_id) == "queued"
    (again,) = house.claim()
    assert (again.kind, again.attempt) == (StepKind.PLAN, plan.attempt + 1)
    assert house.steps.begin(again, "decode", WORKER)
    house.steps.planned(again, {"kind": "video"}, some_segments(1))
    assert house.jobs.get(job_id)["state"] == "running"


def test_a_failed_finish_alone_runs_again(house: House) -> None:
    job_id = house.planned(1)
    (segment,) = house.claim()
    house.steps.begin_segments([segment], WORKER)
    house.recording.store_segment(segment, some_tracklets())
    (finish,) = house.claim()
    house.steps.begin(finish, "match", WORKER)
    house.steps.fail(finish, BadInputError("The disk was full."))
    assert house.retry(job_id, is_stored=lambda _: False) == "running"
    house.finish(JobState.SUCCEEDED)
    assert house.jobs.get(job_id)["state"] == "succeeded"


def test_what_an_older_finish_still_tries_changes_nothing(house: House) -> None:
    job_id, old = house.partial()
    house.retry(job_id)
    with pytest.raises(CancelledError):
        house.recording.finish(
            old, state=JobState.PARTIAL, error=None, model_id=MODEL_ID, tracklets=[], tracks=[], appearances=[]
        )
    assert house.jobs.get(job_id)["state"] == "running"


@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "cancelled"])
def test_a_job_in_another_state_is_refused(house: House, state: str) -> None:
    job_id, _ = house.partial()
    with house.database.transaction() as cursor:
        cursor.execute("update jobs set state = %s", (state,))
    before = house.step_states()
    with pytest.raises(ConflictError):
        house.retry(job_id)
    assert (house.step_states(), house.jobs.get(job_id)["state"]) == (before, state)


def test_a_second_request_at_once_is_refused(house: House) -> None:
    job_id, _ = house.partial()
    house.retry(job_id)
    with pytest.raises(ConflictError):
        house.retry(job_id)


def test_media_that_is_gone_is_refused_and_nothing_changes(house: House) -> None:
    job_id, _ = house.partial()
    before = house.step_states()
    asked: list[str] = []

    def is_stored(blob_key: str) -> bool:
        asked.append(blob_key)
        return False

    with pytest.raises(ConflictError, match="media of this job is gone"):
        house.retry(job_id, is_stored)
    assert asked == [f"jobs/{job_id}/media"]
    assert (house.step_states(), house.jobs.get(job_id)["state"]) == (before, "partial")


def test_media_that_could_not_be_downloaded_is_downloaded_again(house: House) -> None:
    job_id = a_job(house.database)
    with house.database.transaction() as cursor:
        cursor.execute("update jobs set media_url = 'https://example.org/a.mp4'")
    (plan,) = house.claim()
    house.steps.begin(plan, "decode", WORKER)
    house.steps.fail(plan, BadInputError("The server is away.", "fetch_failed"))
    assert house.retry(job_id, is_stored=lambda _: False) == "queued"


def test_a_full_server_takes_no_job_back(house: House) -> None:
    job_id, _ = house.partial()
    for _ in range(3):
        a_job(house.database)
    with pytest.raises(OverloadedError):
        house.retry(job_id)
    assert house.jobs.get(job_id)["state"] == "partial"
