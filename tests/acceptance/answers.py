"""What jobs say, in a form that two runs of the same media can be compared by."""

from typing import Any

from facepipe import Client
from tests.acceptance.conftest import wait_for

SOON_S = 120.0

Answer = tuple[Any, ...]


def answer_of(client: Client, job_id: str) -> Answer:
    """All that a job says, without ids of its own."""
    detections = [
        (one.frame_index, one.media_time_ms, one.box, one.det_score, one.landmarks, one.track_id)
        for one in client.jobs.detections(job_id)
    ]
    tracks = [
        (one.track_id, one.name, one.start_ms, one.end_ms, one.detections, one.similarity)
        for one in client.jobs.tracks(job_id)
    ]
    appearances = [
        (one.name, one.start_ms, one.end_ms, one.detections, one.best_similarity)
        for one in client.jobs.appearances(job_id)
    ]
    job = client.jobs.get(job_id)
    return job.state, job.error, job.progress.frames_done, job.progress.faces, detections, tracks, appearances


def wait_for_frames(client: Client, job_id: str, frames: int) -> None:
    """Until `frames` frames of a job are done, or the job has ended."""
    wait_for(
        lambda: (job := client.jobs.get(job_id)).progress.frames_done >= frames or job.is_final,
        SOON_S,
        lambda: str(client.jobs.get(job_id)),
    )
