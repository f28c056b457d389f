"""Jobs on a running stack, through the API alone, measured from outside."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.pipeline.watch import Watch
from common.settings import Settings
from common.store.database import Database
from deploy.demo.stack import running_stack
from deploy.home import Home
from facepipe import Client

GALLERY = "growth"
_SENDERS = 4

#: Further repeats are left out when a point has taken so long.
_LONG_S = 45.0

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """Some jobs at once.

    Attributes:
        seconds: first byte of the first upload to the last final state.
        cpu_s: processor time of the whole stack.
        peak_mb: memory at most, see `benchmarks.pipeline.watch.Costs`.
        crops: that the embedder ran through.
        others: share of the machine's processor time that went to somebody else meanwhile, 0..1; the client is in it.
    """

    frames: int
    faces: int
    seconds: float
    cpu_s: float
    peak_mb: float
    crops: int
    others: float = 0.0

    @property
    def frames_s(self) -> float:
        """Sampled frames a second."""
        return self.frames / self.seconds


@dataclass(frozen=True, slots=True)
class Site:
    """A stack that runs, with the people of the demo enrolled or not."""

    client: Client
    home: Path

    @property
    def database_url(self) -> str:
        """Of the stack's PostgreSQL. Raises RuntimeError when the stack has gone."""
        stack = Home(self.home).running()
        if stack is None:
            raise RuntimeError(f"no stack runs in {self.home}")
        return stack.database_url

    def count_crops(self, job_ids: Sequence[str]) -> int:
        """Crops embedded for these jobs, by their tracklets; the pools' own counters are some seconds late."""
        database = Database(self.database_url, size=1, application="facepipe-bench")
        try:
            with database.transaction() as cursor:
                cursor.execute(
                    "select coalesce(sum(least(detections, %s)), 0) as crops from tracklets"
                    " where job_id = any(%s::uuid[])",
                    (Settings().embed.crops_per_tracklet, list(job_ids)),
                )
                return int(cursor.fetchone()["crops"])
        finally:
            database.close()


@contextmanager
def site(home: Path, console: Console) -> Iterator[Site]:
    """A stack with an empty gallery, for as long as it lasts."""
    with running_stack(home, console.print) as url, Client(url, timeout_s=600) as client:
        if all(gallery.name != GALLERY for gallery in client.galleries.list()):
            client.galleries.create(GALLERY)
        yield Site(client, home)


def run_jobs(where: Site, media: Sequence[Path], *, gallery: str = GALLERY, sample_fps: float = 5.0) -> Run:
    """One job for each of `media`, submitted at once; they are deleted afterwards.

    Raises:
        SystemExit: a job did not succeed.
    """
    client = where.client
    with Watch(where.home) as watch:
        started, busy_s = time.perf_counter(), _busy_s()
        with ThreadPoolExecutor(min(_SENDERS, len(media))) as senders:
            jobs = list(
                senders.map(lambda path: client.jobs.submit(path, gallery=gallery, sample_fps=sample_fps), media)
            )
        for job in jobs:
            for _ in client.jobs.events(job.id):
                pass
        seconds, busy_s = time.perf_counter() - started, _busy_s() - busy_s
        done = [client.jobs.get(job.id) for job in jobs]
    for job in done:
        if job.state != "succeeded":
            raise SystemExit(f"a job ended {job.state}: {job.error}")
    crops = where.count_crops([job.id for job in jobs])
    for job in done:
        client.jobs.delete(job.id)
    costs = watch.costs
    return Run(
        frames=sum(job.progress.frames_done for job in done),
        faces=sum(job.progress.faces for job in done),
        seconds=round(seconds, 3),
        cpu_s=round(costs.cpu_s, 2),
        peak_mb=round(costs.peak_bytes / 1e6),
        crops=crops,
        others=round(max(0.0, busy_s - costs.cpu_s) / seconds / (os.cpu_count() or 1), 3),
    )


def repeated(
    where: Site, media: Sequence[Path], repeats: int, *, gallery: str = GALLERY, sample_fps: float = 5.0
) -> dict[str, Any]:
    """The run in the middle of a few, JSON-ready, with the times of all and the highest peak."""
    runs: list[Run] = []
    while len(runs) < repeats and sum(run.seconds for run in runs) < _LONG_S:
        runs.append(run_jobs(where, media, gallery=gallery, sample_fps=sample_fps))
    middle = statistics.median_low(run.seconds for run in runs)
    chosen = next(run for run in runs if run.seconds == middle)
    return asdict(chosen) | {
        "frames_s": round(chosen.frames_s, 2),
        "peak_mb": max(run.peak_mb for run in runs),
        "all_s": [run.seconds for run in runs],
    }


def search_ms(where: Site, photo: Path, gallery: str, calls: int) -> float:
    """Median time of a search for the faces of a photograph, ms; a few calls before are not counted."""
    data = photo.read_bytes()
    took_ms = []
    for _ in range(calls + 3):
        started = time.perf_counter()
        where.client.search(gallery, data)
        took_ms.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(took_ms[3:]), 1)


def _busy_s() -> float:
    """Processor time that all cores of the machine have spent so far, on a host's other guests too."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS
