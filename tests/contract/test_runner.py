"""What becomes of work when a stage succeeds, refuses, stumbles or breaks; on real servers."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from common.blobs.files import FileBlobStore
from common.contracts import CallRef, Message, Options
from common.errors import BadInputError, CancelledError, FacepipeError, TransientError
from common.frames.files import FileFrameStore
from common.ports import BlobStore, FrameStore
from common.settings import FrameSettings, LeaseSettings, Settings
from common.stage.runner import Attempt, make_handler
from common.stage.runtime import Runtime
from common.store.database import Database
from common.store.schedule import LIGHT, Schedule
from deploy.embedded.postgres import EmbeddedPostgres
from tests.builders import a_job
from workers.housekeeping.sweeper import Sweeper


@pytest.fixture
def runtime(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        home=tmp_path,
        frames=FrameSettings(directory=tmp_path / "frames"),
        lease=LeaseSettings(heartbeat_s=0.05, lease_s=1.0),
    )
    runtime = Runtime(settings, "decode")
    yield runtime
    runtime.close()


@pytest.fixture
def schedule(database: Database) -> Schedule:
    return Schedule(database, LeaseSettings(), span_segments=4)


def sent_plan(database: Database, schedule: Schedule) -> Message:
    a_job(database)
    (outgoing,) = schedule.claim({LIGHT: 1})
    return outgoing.message


def a_call(timeout_s: float = 30) -> Message:
    deadline_ms = int((time.time() + timeout_s) * 1000)
    return Message(CallRef("c1", "detect", deadline_ms), Options(), "calls/c1")


def a_sweeper(schedule: Schedule, frames: FrameStore, blobs: BlobStore) -> Sweeper:
    return Sweeper(
        schedule,
        frames,
        blobs,
        missing_jobs=schedule.missing_jobs,
        unused_crops=schedule.unused_crops,
        spent_media=schedule.spent_media,
    )


def step_row(database: Database) -> dict[str, object]:
    with database.transaction() as cursor:
        cursor.execute("select state, error->>'code' as code, stage from steps")
        return dict(cursor.fetchone())


def raiser(error: Exception) -> Callable[[Attempt], None]:
    def body(_: Attempt) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (BadInputError("It is text.", "bad_media"), "failed", "bad_media"),
        (TransientError("The disk is away."), "pending", None),
        (ZeroDivisionError(), "failed", "internal"),
        (CancelledError("no longer wanted"), "running", None),
    ],
    ids=["bad input is final", "transient comes again", "a defect is final", "cancelled is left alone"],
)
def test_an_error_decides_the_fate_of_a_step(
    runtime: Runtime, database: Database, schedule: Schedule, error: Exception, state: str, code: str | None
) -> None:
    message = sent_plan(database, schedule)
    make_handler(runtime, raiser(error))(message.to_wire())
    row = step_row(database)
    assert (row["state"], row["code"]) == (state, code)


def test_a_call_gets_the_error_as_its_answer(runtime: Runtime) -> None:
    message = a_call()
    make_handler(runtime, raiser(BadInputError("It is text.", "bad_media")))(message.to_wire())
    answer = runtime.desk._wait("c1", time.time() + 5)
    assert isinstance(answer, FacepipeError)
    assert (answer.code, answer.message) == ("bad_media", "It is text.")


def test_a_call_nobody_waits_for_is_not_begun(runtime: Runtime) -> None:
    begun: list[Attempt] = []
    make_handler(runtime, begun.append)(a_call(timeout_s=-1).to_wire())
    assert begun == []


def test_a_step_delivered_twice_runs_once(runtime: Runtime, database: Database, schedule: Schedule) -> None:
    message = sent_plan(database, schedule)
    begun: list[Attempt] = []
    handler = make_handler(runtime, begun.append)
    handler(message.to_wire())
    handler(message.to_wire())
    assert len(begun) == 1


def test_work_passed_on_waits_in_the_next_queue_with_its_arrays(
    runtime: Runtime, database: Database, schedule: Schedule
) -> None:
    message = sent_plan(database, schedule)

    def body(attempt: Attempt) -> None:
        attempt.put("frames", {"time": np.array([1, 2], np.int64)})
        attempt.pass_on("detect")

    make_handler(runtime, body)(message.to_wire())
    row = step_row(database)
    assert (row["state"], row["stage"]) == ("sent", "detect")
    assert runtime.dispatcher.queue_lengths()["detect"] == 1
    assert list(runtime.frames.keys()) == [f"{message.ref.key}:frames"]


def test_what_a_stage_took_is_freed_even_when_it_fails(
    runtime: Runtime, database: Database, schedule: Schedule
) -> None:
    message = sent_plan(database, schedule)
    runtime.frames.put(f"{message.ref.key}:frames", {"a": np.zeros(9)}, urgent=False, wait=lambda: None)

    def body(attempt: Attempt) -> None:
        with attempt.take("frames"):
            raise BadInputError("no")

    make_handler(runtime, body)(message.to_wire())
    assert list(runtime.frames.keys()) == []


def test_a_cancelled_job_stops_its_worker_between_batches(
    runtime: Runtime, database: Database, schedule: Schedule
) -> None:
    message = sent_plan(database, schedule)
    runtime.start()
    stopped: list[bool] = []

    def body(attempt: Attempt) -> None:
        with database.transaction() as cursor:
            cursor.execute("update steps set state = 'cancelled'")
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            try:
                attempt.check()
            except CancelledError:
                stopped.append(True)
                raise
            time.sleep(0.01)

    make_handler(runtime, body)(message.to_wire())
    assert stopped == [True]
    assert step_row(database)["state"] == "cancelled"


def test_only_frames_of_dead_attempts_are_swept(
    runtime: Runtime, database: Database, schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = sent_plan(database, schedule)
    alive, dead = f"{message.ref.key}:frames", f"{message.ref.key}9:frames"
    for key in (alive, dead, "call-c1:frames"):
        runtime.frames.put(key, {"a": np.zeros(9)}, urgent=False, wait=lambda: None)
    frames = FileFrameStore(tmp_path / "frames", 1 << 29)
    sweeper = a_sweeper(schedule, frames, FileBlobStore(tmp_path / "blobs"))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert sweeper.sweep_frames() == 0
    monkeypatch.setattr(time, "monotonic", lambda: now + 5)
    assert sweeper.sweep_frames() == 1
    assert set(runtime.frames.keys()) == {alive, "call-c1:frames"}


def test_frames_that_fill_the_store_do_not_keep_a_later_stage_from_passing_on(
    runtime: Runtime, schedule: Schedule, database: Database
) -> None:
    frames = FrameSettings(directory=runtime.settings.frames.directory, capacity_bytes=16 << 20)
    detect = Runtime(runtime.settings.model_copy(update={"frames": frames}), "detect")
    detect.frames.create("full:frames", {"pixels": ("|u1", (12 << 20,))}, urgent=False, wait=lambda: None).commit()
    message = sent_plan(database, schedule)
    with database.transaction() as cursor:
        cursor.execute("update steps set stage = 'detect'")
    left: list[str] = []

    def refuse_to_wait() -> None:
        raise AssertionError("it waits for room")

    def body(attempt: Attempt) -> None:
        attempt.check = refuse_to_wait
        attempt.put("faces", {"patches": np.zeros(2 << 20, np.uint8)})
        left.extend(detect.frames.keys())

    make_handler(detect, body)(message.to_wire())
    detect.close()
    assert sorted(left) == sorted(["full:frames", f"{message.ref.key}:faces"])


def test_a_step_is_settled_once_the_database_is_back(
    runtime: Runtime,
    database: Database,
    schedule: Schedule,
    postgres: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = sent_plan(database, schedule)
    with database.transaction() as cursor:
        cursor.execute("select current_database() as name")
        name = cursor.fetchone()["name"]
    admin = Database(postgres.url("postgres"), size=1)
    pauses: list[float] = []

    def let_in(is_open: bool) -> None:
        with admin.transaction() as cursor:
            cursor.execute(f"alter database {name} allow_connections {is_open}")
            cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))

    def body(_: Attempt) -> None:
        let_in(False)
        raise TransientError("The database went away.")

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            let_in(True)

    monkeypatch.setattr(time, "sleep", pause)
    make_handler(runtime, body)(message.to_wire())
    admin.close()
    assert len(pauses) == 2
    assert step_row(database)["state"] == "pending"


def test_media_that_a_dead_worker_left_beside_a_succeeded_job_is_swept(
    runtime: Runtime, database: Database, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, succeeded, partial = (a_job(database) for _ in range(3))
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = 'succeeded' where id = %s", (succeeded,))
        cursor.execute("update jobs set state = 'partial' where id = %s", (partial,))
    for job_id in (running, succeeded, partial):
        runtime.blobs.put(f"jobs/{job_id}/media", b"x")
        runtime.blobs.put(f"jobs/{job_id}/tracks/0.thumb.jpg", b"x")
    sweeper = a_sweeper(schedule, runtime.frames, runtime.blobs)
    assert sweeper.sweep_blobs() == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 3600)
    assert sweeper.sweep_blobs() == 1
    left = {key for key, _ in runtime.blobs.list("jobs")}
    assert len(left) == 5
    assert f"jobs/{succeeded}/media" not in left


def test_only_files_whose_owner_is_gone_are_swept(
    runtime: Runtime, database: Database, schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, gone = a_job(database), "11111111-2222-3333-4444-555555555555"
    keep = {f"jobs/{job_id}/media", "galleries/g/s/used.jpg"}
    lost = {f"jobs/{gone}/media", f"jobs/{gone}/tracks/0.jpg", "galleries/g/s/unused.jpg", "calls/c", "incoming/u"}
    with database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (%s, 'g', 'm')", (gone,))
        cursor.execute("insert into subjects (id, gallery_id, name) values (%s, %s, 'x')", (gone, gone))
        cursor.execute("insert into samples values (%s, %s, 1, 1, 'galleries/g/s/used.jpg')", (gone, gone))
    for key in keep | lost:
        runtime.blobs.put(key, b"x")
    sweeper = a_sweeper(schedule, runtime.frames, runtime.blobs)
    assert sweeper.sweep_blobs() == 0
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    assert sweeper.sweep_blobs() == 4
    left = {key for prefix in ("jobs", "galleries", "calls", "incoming") for key, _ in runtime.blobs.list(prefix)}
    assert left == keep
