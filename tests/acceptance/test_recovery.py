"""Whatever is killed, an accepted job ends, with the answer of an undisturbed run."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from common.ffmpeg import find_ffmpeg
from deploy.demo.montage import write_montage
from facepipe import Client
from tests.acceptance.conftest import LaunchedStack, wait_for

SOON_S = 120.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("montage") / "montage.mp4"
    write_montage(path, ffmpeg_path=find_ffmpeg(), progress=lambda _: None)
    return path


def answer(client: Client, job_id: str) -> tuple[Any, ...]:
    """All that a job says, without ids of its own."""
    detections = [(one.frame_index, one.media_time_ms, one.box, one.track_id) for one in client.jobs.detections(job_id)]
    appearances = [(one.name, one.start_ms, one.end_ms, one.detections) for one in client.jobs.appearances(job_id)]
    job = client.jobs.get(job_id)
    return job.state, job.progress.frames_done, job.progress.faces, detections, appearances


def wait_for_progress(client: Client, job_id: str, frames: int) -> None:
    wait_for(
        lambda: (job := client.jobs.get(job_id)).progress.frames_done >= frames or job.is_final,
        SOON_S,
        lambda: str(client.jobs.get(job_id)),
    )


def kill(stack: LaunchedStack, part: str) -> None:
    """SIGKILL a process of the stack, and wait until the launcher has started another."""
    victim = stack.pid_of(part)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: any(part in c for p, c in stack.processes().items() if p != victim), SOON_S, stack.describe)


def test_killed_workers_and_a_wiped_broker_change_no_answer(
    launch: Callable[..., LaunchedStack], video: Path, tmp_path: Path
) -> None:
    frames_folder = tmp_path / "frames"
    settings = {
        "FACEPIPE_LEASE__LEASE_S": "3",
        "FACEPIPE_LEASE__HEARTBEAT_S": "0.5",
        "FACEPIPE_DECODE__SEGMENT_FRAMES": "8",
        "FACEPIPE_FRAMES__DIRECTORY": str(frames_folder),
    }
    stack = launch(tmp_path / "home", settings).wait_until_ready()
    client = Client(stack.url)
    undisturbed = client.jobs.submit(video, sample_fps=10).id
    assert client.jobs.wait(undisturbed).state == "succeeded"

    disturbed = client.jobs.submit(video, sample_fps=10).id
    frames = 8
    for stage in ("decode", "detect", "embed", "match"):
        wait_for_progress(client, disturbed, frames)
        kill(stack, f"-Q {stage}")
        frames += 16
    wait_for_progress(client, disturbed, frames)
    with redis.Redis.from_url(stack.state["redis_url"]) as broker:
        broker.flushall()
    kill(stack, "redis-server")
    kill(stack, "workers.housekeeping")
    assert client.jobs.wait(disturbed).state == "succeeded"

    assert answer(client, disturbed) == answer(client, undisturbed)
    wait_for(
        lambda: not [entry for entry in frames_folder.iterdir() if not entry.name.startswith(".")],
        SOON_S,
        lambda: str(list(frames_folder.iterdir())),
    )
