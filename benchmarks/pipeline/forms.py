"""What is done to a running stack, through its API alone, as users do it."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo.montage import write_enrolment
from facepipe import Client
from facepipe.documents import Job

GALLERY = "bench"
_SENDERS = 8
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Latency:
    """Of calls one after the other, in ms."""

    p50_ms: float
    p95_ms: float
    calls: int


def make_gallery(client: Client) -> None:
    """An empty one."""
    if any(gallery.name == GALLERY for gallery in client.galleries.list()):
        client.galleries.delete(GALLERY)
    client.galleries.create(GALLERY)


def enrol_people(client: Client, folder: Path) -> None:
    """The demo's people into the gallery."""
    write_enrolment(folder)
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        client.subjects.enroll(GALLERY, person.name, sorted(person.iterdir()))


def run_jobs(client: Client, media: Sequence[Path], sample_fps: float | None = None) -> Run:
    """Jobs at once, from the first byte of the first upload to the last final state."""
    started = time.perf_counter()

    def run(path: Path) -> Job:
        job = client.jobs.submit(path, gallery=GALLERY, sample_fps=sample_fps)
        for _ in client.jobs.events(job.id):
            pass
        return client.jobs.get(job.id)

    with ThreadPoolExecutor(min(_SENDERS, len(media))) as senders:
        done = list(senders.map(run, media))
    seconds = time.perf_counter() - started
    for job in done:
        if job.state != "succeeded":
            raise SystemExit(f"a job ended {job.state}: {job.error}")
        client.jobs.delete(job.id)
    frames, faces = (sum(getattr(job.progress, what) for job in done) for what in ("frames_done", "faces"))
    return {"frames": frames, "faces": faces, "seconds": round(seconds, 3)}


def search_photos(client: Client, photo: Path, *, calls: int) -> Latency:
    """Searches for the people of one photograph, one after the other."""
    data = photo.read_bytes()
    took_ms = []
    for _ in range(calls):
        started = time.perf_counter()
        client.search(GALLERY, data)
        took_ms.append((time.perf_counter() - started) * 1000)
    return Latency(round(statistics.median(took_ms), 1), round(statistics.quantiles(took_ms, n=20)[-1], 1), calls)


def search_photos_beside(client: Client, photo: Path, video: Path, sample_fps: float, *, calls: int) -> Latency:
    """The same while a long video runs."""
    job = client.jobs.submit(video, gallery=GALLERY, sample_fps=sample_fps)
    while client.jobs.get(job.id).progress.frames_done == 0:
        time.sleep(0.1)
    try:
        latency = search_photos(client, photo, calls=calls)
        if client.jobs.get(job.id).state != "running":
            raise SystemExit("the video ended before the photographs did: give --seconds a larger number")
        return latency
    finally:
        client.jobs.cancel(job.id)
        while client.jobs.get(job.id).state in {"queued", "running"}:
            time.sleep(0.1)
