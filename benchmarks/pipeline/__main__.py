"""`make bench`: the pipeline through the API, the loop people write, and the ceiling, in turn, on one machine.

Medians of repeated alternating runs, as a table and as JSON; see README.md beside this file for what is counted.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.media import make_video
from common.ffmpeg import find_ffmpeg
from common.packs import find_pack
from common.settings import Settings
from deploy.demo.montage import write_enrolment
from deploy.demo.stack import running_stack
from facepipe import Client

GALLERY = "bench"
Run = dict[str, Any]


def run_program(module: str, *arguments: str) -> Run:
    """A measured program that prints one JSON line."""
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    result: Run = json.loads(printed.strip().splitlines()[-1])
    return result


def run_pipeline(client: Client, video: Path, sample_fps: float) -> Run:
    """One job, from the first byte of the upload to its final state."""
    started = time.perf_counter()
    job = client.jobs.submit(video, gallery=GALLERY, sample_fps=sample_fps)
    for _ in client.jobs.events(job.id):
        pass
    seconds = time.perf_counter() - started
    done = client.jobs.get(job.id)
    if done.state != "succeeded":
        raise SystemExit(f"the job ended {done.state}: {done.error}")
    client.jobs.delete(job.id)
    return {"frames": done.progress.frames_done, "faces": done.progress.faces, "seconds": round(seconds, 3)}


def enrol(client: Client, folder: Path) -> None:
    """A gallery of the demo's people."""
    if any(gallery.name == GALLERY for gallery in client.galleries.list()):
        client.galleries.delete(GALLERY)
    client.galleries.create(GALLERY)
    write_enrolment(folder)
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        client.subjects.enroll(GALLERY, person.name, sorted(person.iterdir()))


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of the video")
    parser.add_argument("--sample-fps", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    console = Console()
    settings = Settings()
    home = settings.home / "bench"
    video = make_video(home, asked.seconds, ffmpeg_path=find_ffmpeg(settings.ffmpeg))
    pack = find_pack(settings.model_pack, settings.packs_path)
    references = home / "references.npy"
    np.save(references, np.eye(512, dtype=np.float32)[:10])
    models = (str(pack.path(pack.detector)), str(pack.path(pack.embedder)))
    runs: dict[str, list[Run]] = {"pipeline": [], "loop": [], "ceiling": []}
    with running_stack(home / "stack", console.print) as url, Client(url, timeout_s=600) as client:
        enrol(client, home / "people")
        for _ in range(asked.repeats):
            runs["pipeline"].append(run_pipeline(client, video, asked.sample_fps))
            runs["loop"].append(run_program("loop", str(video), *models, str(references), str(asked.sample_fps)))
            runs["ceiling"].append(run_program("ceiling", str(video), str(asked.sample_fps)))
    rates = {name: statistics.median(run["frames"] / run["seconds"] for run in mine) for name, mine in runs.items()}
    table = Table(
        "what", "frames", "faces", "seconds", "frames/s", "of the ceiling", title=f"{asked.seconds} s of 1080p"
    )
    for name, mine in runs.items():
        seconds = statistics.median(run["seconds"] for run in mine)
        share = rates[name] / rates["ceiling"]
        table.add_row(
            name, str(mine[0]["frames"]), str(mine[0]["faces"]), f"{seconds:.2f}", f"{rates[name]:.1f}", f"{share:.2f}"
        )
    console.print(table)
    console.print(f"pipeline : loop = {rates['pipeline'] / rates['loop']:.2f}")
    if asked.json:
        machine = {"cores": len(os.sched_getaffinity(0)), "machine": platform.machine(), "pack": pack.name}
        asked.json.write_text(json.dumps({"machine": machine, "runs": runs, "frames_per_s": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
