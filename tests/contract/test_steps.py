"""What the steps promise, on a real PostgreSQL: one lease a step, fences, deaths, turns."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.contracts import Priority, StepKind, StepRef
from common.errors import BadInputError, CancelledError, TransientError
from common.settings import LeaseSettings
from common.store.database import Database
from common.store.recording import Recording
from common.store.schedule import LIGHT, Outgoing, Schedule, head_run
from common.store.steps import Steps
from common.store.workers import Workers
from tests.builders import MODEL_ID, a_job, some_segments, some_tracklets

ROOM = {"decode": 100, LIGHT: 100, "match": 100}
WORKER = "decode@here.1"


@pytest.fixture
def steps(database: Database) -> Steps:
    return Steps(database, LeaseSettings())


@pytest.fixture
def schedule(database: Database) -> Schedule:
    return Schedule(database, LeaseSettings(), span_segments=4)


def claim_one(schedule: Schedule) -> Outgoing:
    (outgoing,) = schedule.claim(ROOM)
    return outgoing


def planned(database: Database, steps: Steps, schedule: Schedule, segments: int = 1, **job: object) -> str:
    """A job whose plan is done."""
    job_id = a_job(database, **job)  # type: ignore[arg-type]
    ref = claim_one(schedule).message.span()[0]
    assert steps.begin(ref, "decode", WORKER)
    steps.planned(ref, {"kind": "video"}, some_segments(segments))
    return job_id


def let_leases_run_out(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("update steps set lease_until = now() - interval '1 second' where lease_until is not null")


def column(database: Database, query: str) -> list[object]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return [next(iter(row.values())) for row in cursor.fetchall()]


def test_nothing_pending_sends_nothing(schedule: Schedule) -> None:
    assert schedule.claim(ROOM) == []


def test_a_queued_job_is_planned_first(database: Database, schedule: Schedule) -> None:
    job_id = a_job(database)
    outgoing = claim_one(schedule)
    assert outgoing.task == "facepipe.plan"
    assert outgoing.message.span() == (StepRef(job_id, StepKind.PLAN, 0, 1),)
    assert schedule.claim(ROOM) == []


def test_a_message_delivered_twice_begins_once(database: Database, steps: Steps, schedule: Schedule) -> None:
    a_job(database)
    ref = claim_one(schedule).message.span()[0]
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda _: steps.begin(ref, "decode", WORKER), range(8)))
    assert begun.count(True) == 1


def test_an_older_attempt_changes_nothing(database: Database, steps: Steps, schedule: Schedule) -> None:
    a_job(database)
    old = claim_one(schedule).message.span()[0]
    assert steps.begin(old, "decode", WORKER)
    let_leases_run_out(database)
    schedule.expire()
    new = claim_one(schedule).message.span()[0]
    assert new.attempt == old.attempt + 1
    assert steps.begin(new, "decode", WORKER)
    assert steps.keep_alive([old, new]) == {new}
    steps.fail(old, BadInputError("too late"))
    with pytest.raises(CancelledError):
        steps.planned(old, {"kind": "video"}, some_segments(2))
    steps.planned(new, {"kind": "video"}, some_segments(3))
    assert column(database, "select count(*) from steps where kind = 'segment'") == [3]


def test_the_scheduler_is_woken_where_there_is_something_to_send_or_room_came_free(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    with closing(database.session()) as session:
        session.listen("facepipe_steps")

        def wakes(change: Callable[[], object]) -> bool:
            change()
            return bool(session.notifications(0.2))

        assert wakes(lambda: a_job(database))
        plan = claim_one(schedule).message.span()[0]
        assert wakes(lambda: steps.retry(plan, TransientError("away"), 0))
        plan = claim_one(schedule).message.span()[0]
        assert not wakes(lambda: steps.begin(plan, "decode", WORKER))
        assert wakes(lambda: steps.planned(plan, {"kind": "video"}, some_segments(1)))
        segment = claim_one(schedule).message.span()[0]
        assert not wakes(lambda: steps.begin_segments([segment], WORKER))
        assert wakes(lambda: steps.hand_over(segment, "detect"))
        assert not wakes(lambda: steps.begin(segment, "detect", "detect@here.1"))
        assert not wakes(lambda: steps.hand_over(segment, "embed"))
        assert not wakes(lambda: steps.begin(segment, "embed", "embed@here.1"))
        assert not wakes(lambda: steps.hand_over(segment, "match"))
        assert not wakes(lambda: steps.begin(segment, "match", "match@here.1"))
        assert wakes(lambda: Recording(database).store_segment(segment, some_tracklets()))
        finish = claim_one(schedule).message.span()[0]
        assert finish.kind is StepKind.FINISH
        let_leases_run_out(database)
        session.notifications(0)
        assert wakes(schedule.expire)


def test_segments_go_out_in_contiguous_runs(database: Database, steps: Steps, schedule: Schedule) -> None:
    planned(database, steps, schedule, segments=6)
    assert [ref.ordinal for ref in claim_one(schedule).message.span()] == [0, 1, 2]
    assert [ref.ordinal for ref in claim_one(schedule).message.span()] == [3, 4, 5]
    assert schedule.in_flight() == {"decode": 2}


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.sets(st.integers(0, 59)))
def test_runs_are_few_and_of_one_length_and_have_no_gaps(steps: int, span: int, done: set[int]) -> None:
    pending = [ordinal for ordinal in range(steps) if ordinal not in done]
    runs = []
    while pending:
        runs.append(head_run(pending, steps, span))
        pending = pending[len(runs[-1]) :]
    for run in runs:
        assert run == list(range(run[0], run[-1] + 1))
        assert len(run) <= span
    if not done & set(range(steps)):
        assert len(runs) == -(-steps // span)
        assert max(map(len, runs)) - min(map(len, runs)) <= 1


def test_a_decoder_run_gets_its_frames_and_dies_for_the_segment_it_had_reached(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    planned(database, steps, schedule, segments=3)
    started, media = steps.begin_segments(claim_one(schedule).message.span(), WORKER)
    assert media == {"kind": "video"}
    assert [one.segment.frame_times_ms.tolist() for one in started] == [[0, 500], [1000, 1500], [2000, 2500]]
    steps.hand_over(started[0].ref, "detect")
    steps.reach(started[1].ref)
    let_leases_run_out(database)
    schedule.expire()
    assert column(database, "select deaths from steps where kind = 'segment' order by ordinal") == [0, 1, 0]


def test_a_step_that_kills_its_worker_is_quarantined_and_the_job_goes_on(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    planned(database, steps, schedule, segments=1)
    for death in range(3):
        steps.begin_segments(claim_one(schedule).message.span(), WORKER)
        let_leases_run_out(database)
        assert schedule.expire().quarantined == (1 if death == 2 else 0)
    assert column(database, "select state from steps where kind = 'segment'") == ["quarantined"]
    assert "died 3 times" in str(column(database, "select error->>'message' from steps where kind = 'segment'"))
    assert claim_one(schedule).task == "facepipe.finish"


def test_a_plan_that_fails_fails_its_job_with_the_reason(database: Database, steps: Steps, schedule: Schedule) -> None:
    a_job(database)
    ref = claim_one(schedule).message.span()[0]
    steps.begin(ref, "decode", WORKER)
    steps.fail(ref, BadInputError("It is a text file.", "bad_media"))
    assert column(database, "select state from jobs") == ["failed"]
    assert column(database, "select error from jobs") == [{"code": "bad_media", "message": "It is a text file."}]


def test_transient_errors_come_again_later_and_end_after_their_attempts(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    a_job(database)
    for _ in range(LeaseSettings().max_attempts):
        ref = claim_one(schedule).message.span()[0]
        steps.begin(ref, "decode", WORKER)
        steps.retry(ref, TransientError("The disk is away."), 3600)
        assert schedule.claim(ROOM) == []
        with database.transaction() as cursor:
            cursor.execute("update steps set not_before = now()")
    assert column(database, "select state from steps") == ["failed"]
    assert column(database, "select state from jobs") == ["failed"]


def test_the_last_of_two_segments_that_end_together_promises_the_finish(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    planned(database, steps, schedule, segments=4)
    refs = claim_one(schedule).message.span()
    steps.begin_segments(refs, WORKER)
    recording = Recording(database)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda ref: recording.store_segment(ref, some_tracklets(first_frame=ref.ordinal * 2)), refs))
    assert column(database, "select count(*) from steps where kind = 'finish'") == [1]
    assert column(database, "select frames_done from jobs") == [8]
    assert column(database, "select faces from jobs") == [8]


def test_results_delivered_twice_count_once(database: Database, steps: Steps, schedule: Schedule) -> None:
    planned(database, steps, schedule, segments=2)
    ref = claim_one(schedule).message.span()[0]
    steps.begin_segments([ref], WORKER)
    recording = Recording(database)
    recording.store_segment(ref, some_tracklets())
    with pytest.raises(CancelledError):
        recording.store_segment(ref, some_tracklets())
    assert column(database, "select count(*) from detections") == [2]
    assert column(database, "select frames_done from jobs") == [2]


def test_a_cancelled_job_takes_no_results(database: Database, steps: Steps, schedule: Schedule) -> None:
    planned(database, steps, schedule, segments=1)
    ref = claim_one(schedule).message.span()[0]
    steps.begin_segments([ref], WORKER)
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = 'cancelled'")
        cursor.execute("update steps set state = 'cancelled' where state <> 'done'")
    with pytest.raises(CancelledError):
        Recording(database).store_segment(ref, some_tracklets())
    assert column(database, "select count(*) from detections") == [0]


def test_jobs_take_turns_by_priority_then_by_what_is_in_flight(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    long = planned(database, steps, schedule, segments=20)
    first = claim_one(schedule)
    assert first.message.span()[0].job_id == long
    later = a_job(database)
    urgent = a_job(database, priority=Priority.HIGH)
    order = [schedule.claim({LIGHT: 1})[0].message.span()[0].job_id for _ in range(2)]
    assert order == [urgent, later]
    assert claim_one(schedule).message.span()[0].job_id == long


def test_plans_and_pictures_do_not_wait_for_decoder_runs(database: Database, steps: Steps, schedule: Schedule) -> None:
    planned(database, steps, schedule, segments=20)
    claim_one(schedule)
    picture = a_job(database)
    assert schedule.claim({"decode": 0, LIGHT: 0}) == []
    (plan,) = schedule.claim({"decode": 0, LIGHT: 1})
    assert steps.begin(plan.message.span()[0], "decode", WORKER)
    steps.planned(plan.message.span()[0], {"kind": "image"}, some_segments(1, frames=1))
    (segment,) = schedule.claim({"decode": 0, LIGHT: 1})
    assert (segment.task, segment.message.span()[0].job_id) == ("facepipe.decode", picture)
    assert schedule.in_flight() == {"decode": 1, LIGHT: 1}


@pytest.mark.parametrize("jump", ["1 hour", "-1 hour"], ids=["forward", "back"])
def test_a_clock_that_jumps_delays_nothing_for_long_and_kills_nothing(
    database: Database, steps: Steps, schedule: Schedule, jump: str
) -> None:
    """The clock of the database jumps: every time it has stored seems to move the other way."""
    planned(database, steps, schedule, segments=2)
    running, sent = claim_one(schedule).message.span()
    assert len(steps.begin_segments([running], WORKER)[0]) == 1
    with database.transaction() as cursor:
        cursor.execute("update steps set lease_until = lease_until - %s::interval", (jump,))
        cursor.execute("update steps set not_before = now() - %s::interval where not_before > '-infinity'", (jump,))
    schedule.expire()
    assert "failed" not in column(database, "select state from jobs")
    assert set(column(database, "select deaths from steps where kind = 'segment'")) <= {0, 1}
    longest = column(database, "select extract(epoch from max(lease_until) - now()) from steps")[0]
    assert longest is None or float(str(longest)) <= LeaseSettings().handover_s
    if jump == "1 hour":
        again = [ref for outgoing in schedule.claim(ROOM) for ref in outgoing.message.span()]
        assert sorted((ref.ordinal, ref.attempt) for ref in again) == [(0, 2), (1, 2)]
    else:
        assert steps.keep_alive([running, sent]) == {running}


def test_a_worker_seen_in_the_future_is_not_taken_for_alive(database: Database) -> None:
    workers = Workers(database)
    workers.seen(WORKER, "decode", threads=2, device="cpu", model_ids=[])
    assert list(workers.alive()) == ["decode"]
    with database.transaction() as cursor:
        cursor.execute("update workers set seen_at = now() + interval '1 hour'")
    assert workers.alive() == {}


def test_what_is_sent_again_after_a_death_does_not_wait_for_decoder_runs(
    database: Database, steps: Steps, schedule: Schedule
) -> None:
    planned(database, steps, schedule, segments=20)
    first = claim_one(schedule).message.span()
    steps.begin_segments(first[2:3], WORKER)
    let_leases_run_out(database)
    assert schedule.expire().revived == 4
    assert schedule.claim({"decode": 0, LIGHT: 0}) == []
    (again,) = schedule.claim({"decode": 0, LIGHT: 1})
    assert [(ref.ordinal, ref.attempt) for ref in again.message.span()] == [(2, 2)]
    assert schedule.in_flight() == {LIGHT: 1}
    assert [ref.ordinal for ref in claim_one(schedule).message.span()] == [0, 1]


def test_what_waited_in_a_wiped_broker_is_sent_again(database: Database, steps: Steps, schedule: Schedule) -> None:
    a_job(database)
    waiting = a_job(database)
    running = schedule.claim({LIGHT: 1})[0].message.span()[0]
    assert steps.begin(running, "decode", WORKER)
    assert schedule.claim({LIGHT: 1})[0].message.span()[0].job_id == waiting
    assert schedule.resend_all() == 1
    again = claim_one(schedule).message.span()[0]
    assert (again.job_id, again.attempt) == (waiting, 2)


def test_a_finished_segment_keeps_what_the_finish_reads(database: Database, steps: Steps, schedule: Schedule) -> None:
    job_id = planned(database, steps, schedule, segments=1)
    ref = claim_one(schedule).message.span()[0]
    steps.begin_segments([ref], WORKER)
    recording = Recording(database)
    recording.store_segment(ref, some_tracklets(frames=3, faces_per_frame=2))
    finish = claim_one(schedule).message.span()[0]
    job = recording.read_job(finish)
    assert (job.model_id, job.failures, job.segments_done) == (MODEL_ID, (), 1)
    tracklets = recording.read_tracklets(job_id)
    assert [(t.tracklet, t.detections, t.start_ms, t.end_ms) for t in tracklets] == [(0, 3, 0, 400), (1, 3, 0, 400)]
    assert recording.read_pictures(job_id, tracklets[1:]) == [([b"crop 1"], b"thumb 1")]
