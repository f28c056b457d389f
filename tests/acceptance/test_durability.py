"""Servers that are away, a full disk, workers told to stop, jobs called off: nothing is lost and nothing is left."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg2
import pytest

from common.ffmpeg import find_ffmpeg
from deploy.child import children_of
from deploy.demo.montage import write_montage
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.redis import EmbeddedRedis
from facepipe import Client
from tests.acceptance.answers import Answer, answer_of, wait_for_frames
from tests.acceptance.conftest import LaunchedStack, wait_for
from tests.chaos.media import short_scenes

SOON_S = 90.0


class Stand:
    """A stack on servers that a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        self.database = EmbeddedPostgres(folder / "postgres", log=folder / "postgres.log", fsync=False)
        self.broker = EmbeddedRedis(folder / "redis", log=folder / "redis.log")
        self.database.start()
        self.broker.start()
        self.frames = folder / "frames"
        env = {
            "FACEPIPE_DATABASE_URL": self.database.url(),
            "FACEPIPE_REDIS_URL": self.broker.url(),
            "FACEPIPE_FRAMES__DIRECTORY": str(self.frames),
            "FACEPIPE_LEASE__LEASE_S": "3",
            "FACEPIPE_LEASE__HEARTBEAT_S": "0.5",
            "FACEPIPE_DECODE__SEGMENT_FRAMES": "8",
        }
        self.stack = LaunchedStack(folder / "home", env)
        self.client = Client(self.stack.url)

    def wait_until_ready(self) -> "Stand":
        self.stack.wait_until_ready()
        return self

    def stop(self) -> None:
        self.client.close()
        self.stack.stop()
        self.broker.kill()
        self.database.kill()

    @contextmanager
    def without(self, server: EmbeddedPostgres | EmbeddedRedis) -> Iterator[None]:
        """Inside the `with`, `server` is away."""
        server.stop()
        try:
            yield
        finally:
            server.start()

    def wait_until_serving(self) -> None:
        wait_for(lambda: httpx.get(f"{self.stack.url}/readyz").status_code == 200, SOON_S, self.stack.describe)

    def post(self, data: bytes) -> httpx.Response:
        """One try at submitting a file."""
        return httpx.post(f"{self.stack.url}/v1/jobs", files={"media": ("a.mp4", data)}, timeout=60)

    def blobs(self) -> list[str]:
        root = self.stack.home / "blobs"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = psycopg2.connect(self.database.url())
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def wait_until_no_frames(self) -> None:
        def left() -> list[str]:
            return [entry.name for entry in self.frames.iterdir() if not entry.name.startswith(".")]

        wait_for(lambda: not left(), SOON_S, lambda: str(left()))

    def ends(self, job_id: str) -> str:
        return self.client.jobs.wait(job_id, timeout_s=SOON_S).state


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    made = Stand(tmp_path_factory.mktemp("durability"))
    try:
        yield made.wait_until_ready()
    finally:
        made.stop()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("montage") / "short.mp4"
    write_montage(path, short_scenes(2.0), ffmpeg_path=find_ffmpeg())
    return path


@pytest.fixture(scope="module")
def undisturbed(stand: Stand, video: Path) -> Answer:
    job_id = submit(stand, video)
    assert stand.ends(job_id) == "succeeded"
    return answer_of(stand.client, job_id)


def submit(stand: Stand, video: Path) -> str:
    return stand.client.jobs.submit(video, sample_fps=10).id


def test_without_a_database_a_job_is_refused_for_now_and_nothing_is_stored(
    stand: Stand, video: Path, undisturbed: Answer
) -> None:
    before = stand.blobs()
    with stand.without(stand.database):
        refused = stand.post(video.read_bytes())
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["code"] == "unavailable"
        assert stand.blobs() == before
    stand.wait_until_serving()
    job_id = submit(stand, video)
    assert stand.ends(job_id) == "succeeded"
    assert answer_of(stand.client, job_id) == undisturbed


def test_a_database_that_restarts_in_the_middle_of_a_job_changes_no_answer(
    stand: Stand, video: Path, undisturbed: Answer
) -> None:
    job_id = submit(stand, video)
    wait_for_frames(stand.client, job_id, 8)
    with stand.without(stand.database):
        pass
    stand.wait_until_serving()
    assert stand.ends(job_id) == "succeeded"
    assert answer_of(stand.client, job_id) == undisturbed


def test_without_a_broker_a_job_is_accepted_and_ends_when_the_broker_is_back(
    stand: Stand, video: Path, undisturbed: Answer
) -> None:
    with stand.without(stand.broker):
        accepted = stand.post(video.read_bytes())
        assert accepted.status_code == 202, accepted.text
        job_id = submit(stand, video)
        assert stand.client.jobs.get(job_id).state == "queued"
    assert stand.ends(accepted.json()["id"]) == "succeeded"
    assert stand.ends(job_id) == "succeeded"
    assert answer_of(stand.client, job_id) == undisturbed


@contextmanager
def largest_file(stand: Stand, size: int) -> Iterator[None]:
    """Inside the `with`, the API can write no file beyond `size` bytes, as on a disk that is full."""
    master = stand.stack.pid_of("gunicorn")
    pids = [master, *children_of(master)]
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("beyond", [1, 100_000, 5_000_000])
def test_on_a_full_disk_a_job_is_refused_for_now_and_nothing_half_written_stays(stand: Stand, beyond: int) -> None:
    room = 8 << 20
    files, jobs = stand.blobs(), stand.query("select count(*) from jobs")
    with largest_file(stand, room):
        refused = stand.post(os.urandom(room + beyond))
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["error"]["code"] == "unavailable"
    assert (stand.blobs(), stand.query("select count(*) from jobs")) == (files, jobs)
    accepted = stand.post(os.urandom(room + beyond))
    assert accepted.status_code == 202, accepted.text
    assert stand.ends(accepted.json()["id"]) == "failed"


@pytest.mark.parametrize("stage", ["decode", "detect", "embed", "match"])
def test_a_worker_that_is_told_to_stop_loses_nothing(
    stand: Stand, video: Path, undisturbed: Answer, stage: str
) -> None:
    job_id = submit(stand, video)
    wait_for_frames(stand.client, job_id, 8)
    victim = stand.stack.pid_of(f"-Q {stage} ")
    os.kill(victim, signal.SIGTERM)
    wait_for(lambda: victim not in children_of(stand.stack.process.pid), SOON_S, stand.stack.describe)
    assert stand.ends(job_id) == "succeeded"
    assert answer_of(stand.client, job_id) == undisturbed
    assert stand.query("select sum(deaths) from steps where job_id = %s", job_id) == [(0,)]


def test_a_rolling_restart_of_every_pool_under_load_loses_nothing(
    stand: Stand, video: Path, undisturbed: Answer
) -> None:
    jobs = [submit(stand, video) for _ in range(3)]
    wait_for_frames(stand.client, jobs[0], 8)
    for stage in ("decode", "detect", "embed", "match"):
        victim = stand.stack.pid_of(f"-Q {stage} ")
        os.kill(victim, signal.SIGTERM)
        wait_for(
            lambda part=f"-Q {stage} ", old=victim: (
                any(  # type: ignore[misc]
                    part in command for pid, command in stand.stack.processes().items() if pid != old
                )
                and old not in children_of(stand.stack.process.pid)
            ),
            SOON_S,
            stand.stack.describe,
        )
    for job_id in jobs:
        assert stand.ends(job_id) == "succeeded"
        assert answer_of(stand.client, job_id) == undisturbed
        assert stand.query("select sum(deaths) from steps where job_id = %s", job_id) == [(0,)]


def test_a_broker_that_falls_silent_for_a_while_changes_no_answer(
    stand: Stand, video: Path, undisturbed: Answer
) -> None:
    """As on a broken network: connections stay open and nothing comes through them."""
    job_id = submit(stand, video)
    wait_for_frames(stand.client, job_id, 8)
    silence_s = 8.0
    os.kill(stand.broker.pid, signal.SIGSTOP)
    try:
        asked_at = time.monotonic()
        assert stand.post(video.read_bytes()).status_code == 202
        assert httpx.get(f"{stand.stack.url}/readyz", timeout=30).status_code == 503
        time.sleep(max(0.0, silence_s - (time.monotonic() - asked_at)))
    finally:
        os.kill(stand.broker.pid, signal.SIGCONT)
    stand.wait_until_serving()
    assert stand.ends(job_id) == "succeeded"
    assert answer_of(stand.client, job_id) == undisturbed


def test_a_running_job_that_is_cancelled_stops_and_frees_its_frames(stand: Stand, video: Path) -> None:
    job_id = submit(stand, video)
    wait_for_frames(stand.client, job_id, 8)
    cancelled = stand.client.jobs.cancel(job_id)
    assert cancelled.state == "cancelled"
    assert cancelled.progress.frames_total is not None
    assert cancelled.progress.frames_done < cancelled.progress.frames_total
    stand.wait_until_no_frames()
    assert stand.client.jobs.get(job_id) == cancelled
    assert stand.query("select count(*) from steps where job_id = %s and worker is not null", job_id) == [(0,)]


def test_a_running_job_that_is_erased_leaves_nothing(stand: Stand, video: Path) -> None:
    job_id = submit(stand, video)
    wait_for_frames(stand.client, job_id, 8)
    stand.client.jobs.delete(job_id)
    stand.wait_until_no_frames()
    for table in ("steps", "detections", "tracklets", "tracks"):
        assert stand.query(f"select count(*) from {table} where job_id = %s", job_id) == [(0,)]
    assert not [name for name in stand.blobs() if job_id in name]
    after = submit(stand, video)
    assert stand.ends(after) == "succeeded"
