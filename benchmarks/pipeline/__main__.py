"""`make bench`: the pipeline through the API, the loop people write, and the ceiling, in turn, on one machine.

Medians of repeated alternating runs, as a table and as JSON; see README.md for what is counted.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.environment import environment
from benchmarks.pipeline.forms import Run, enrol_people, make_gallery, run_jobs, search_photos, search_photos_beside
from benchmarks.pipeline.gpu import Form, find_devices, measure_gpus, print_gpu_report
from benchmarks.pipeline.media import make_photo, make_video
from benchmarks.pipeline.noop import NAME as NOOP
from benchmarks.pipeline.noop import write_noop_pack
from benchmarks.pipeline.report import print_profile, print_report
from benchmarks.pipeline.watch import Costs, Watch
from common.errors import ConfigurationError
from common.ffmpeg import find_ffmpeg
from common.inference.devices import Device
from common.packs import find_pack
from common.settings import Settings
from deploy.demo.stack import running_stack
from facepipe import Client

SHORT_VIDEOS = 8
BURST = 64

Figures = dict[str, Any]


class Bench:
    """One run of everything.

    Args:
        asked: the command line.
        console: where progress is told.
    """

    def __init__(self, asked: argparse.Namespace, console: Console) -> None:
        self._asked = asked
        self._console = console
        self._settings = Settings()
        self._home = self._settings.home / "bench"
        ffmpeg = find_ffmpeg(self._settings.ffmpeg)
        self._long = make_video(self._home, asked.seconds, ffmpeg_path=ffmpeg)
        short_s = max(5, asked.seconds // SHORT_VIDEOS)
        starts = range(0, SHORT_VIDEOS * 5, 5)
        self._short = [make_video(self._home, short_s, ffmpeg_path=ffmpeg, start_s=start) for start in starts]
        self._photo = make_photo(self._home, ffmpeg_path=ffmpeg)
        self._pack = find_pack(self._settings.model_pack, self._settings.packs_path)

    def run(self) -> Figures:
        """All figures, JSON-ready."""
        asked = self._asked
        figures: Figures = {
            "machine": {"cores": len(os.sched_getaffinity(0)), "kind": platform.machine(), "pack": self._pack.name},
            "video": {
                "seconds": asked.seconds,
                "sample_fps": asked.sample_fps,
                "short_s": asked.seconds // SHORT_VIDEOS,
            },
        }
        with self._stack("stack") as (client, home):
            enrol_people(client, self._home / "people")
            figures["long"], costs = self._compare(client, home, [self._long], with_loop=True)
            figures["costs"] = _describe(costs, figures["long"]["pipeline"])
            figures["short"], _ = self._compare(client, home, self._short, with_loop=False)
            self._say("a burst of single images")
            figures["burst"] = [run_jobs(client, [self._photo] * BURST) for _ in range(asked.repeats)]
            self._say("a photograph, on an idle stack and beside the long video")
            figures["photo"] = self._compare_photos(client)
        figures["queue"] = self._measure_queue(figures)
        return figures

    def run_on(self, devices: Sequence[Device]) -> Figures:
        """What accelerators take."""
        seconds, short_s = self._asked.seconds, max(5, self._asked.seconds // SHORT_VIDEOS)
        forms = {
            "long": Form(f"one video of {seconds} s", [self._long], seconds),
            "short": Form(f"eight of {short_s} s", self._short, short_s * SHORT_VIDEOS),
        }
        return measure_gpus(
            devices,
            forms,
            home=self._home,
            sample_fps=self._asked.sample_fps,
            repeats=self._asked.repeats,
            say=self._console.print,
        )

    def profile(self) -> Figures:
        """Where a frame's time goes."""
        return run_program("profile", str(self._asked.sample_fps), str(self._long))

    def _compare(
        self, client: Client, home: Path, videos: Sequence[Path], *, with_loop: bool
    ) -> tuple[dict[str, list[Run]], list[Costs]]:
        """The pipeline, the loop and the ceiling in turn, after a run that nobody watches.

        A stack that has just started makes its shared memory with the first frames, and uses it again from then on.
        """
        runs: dict[str, list[Run]] = {"pipeline": [], "ceiling": [], **({"loop": []} if with_loop else {})}
        costs = []
        self._console.print(f"Warming up with {len(videos)} video(s) …")
        run_jobs(client, videos, self._asked.sample_fps)
        for repeat in range(self._asked.repeats):
            self._say(f"{len(videos)} video(s), {repeat + 1} of {self._asked.repeats}")
            with Watch(home) as watch:
                run = run_jobs(client, videos, self._asked.sample_fps)
            costs.append(watch.costs)
            runs["pipeline"].append(run | {"cpu_s": round(watch.costs.cpu_s, 2)})
            runs["ceiling"].append(run_program("ceiling", str(self._asked.sample_fps), *map(str, videos)))
            if with_loop:
                runs["loop"].append(self._run_loop(videos[0]))
        return runs, costs

    def _compare_photos(self, client: Client) -> dict[str, list[Run]]:
        """The bare kernels, searches on the idle stack, and searches beside the long video, in turn."""
        runs: dict[str, list[Run]] = {"bare": [], "idle": [], "beside": []}
        calls, sample_fps = self._asked.photos, self._asked.sample_fps
        for _ in range(self._asked.repeats):
            runs["bare"].append(run_program("bare", str(self._photo), str(calls)))
            runs["idle"].append(asdict(search_photos(client, self._photo, calls=calls)))
            beside = search_photos_beside(client, self._photo, self._long, sample_fps, calls=calls)
            runs["beside"].append(asdict(beside))
        return runs

    def _measure_queue(self, real: Figures) -> Figures:
        """The pipeline with free inference, against the same kernels with free inference."""
        write_noop_pack(self._home / "packs")
        packs = [(self._home / "packs").absolute(), *self._settings.models_path]
        free = {
            "FACEPIPE_MODEL_PACK": NOOP,
            "FACEPIPE_MODELS_PATH": os.pathsep.join(map(str, packs)),
        }
        with environment(free), self._stack("stack-noop") as (client, home):
            runs, _ = self._compare(client, home, [self._long], with_loop=False)
        turns = zip(runs["pipeline"], runs["ceiling"], strict=True)
        own_ms = statistics.median(_cost_ms(mine) - _cost_ms(ceiling) for mine, ceiling in turns)
        total_ms = statistics.median(map(_cost_ms, real["long"]["pipeline"]))
        return {
            "runs": runs,
            "own_ms": round(own_ms, 2),
            "total_ms": round(total_ms, 2),
            "share": round(own_ms / total_ms, 3),
        }

    def _run_loop(self, video: Path) -> Run:
        references = self._home / "references.npy"
        np.save(references, np.eye(self._pack.embedder.dim, dtype=np.float32)[:10])
        models = (str(self._pack.path(self._pack.detector)), str(self._pack.path(self._pack.embedder)))
        return run_program("loop", str(video), *models, str(references), str(self._asked.sample_fps))

    @contextmanager
    def _stack(self, name: str) -> Iterator[tuple[Client, Path]]:
        home = self._home / name
        with running_stack(home, self._console.print) as url, Client(url, timeout_s=600) as client:
            make_gallery(client)
            yield client, home

    def _say(self, what: str) -> None:
        self._console.print(f"Measuring {what} …")


def run_program(module: str, *arguments: str) -> Run:
    """A measured program that prints one JSON line."""
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"benchmarks.pipeline.{module}", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    result: Run = json.loads(printed.strip().splitlines()[-1])
    return result


def _cost_ms(run: Run) -> float:
    """Processor time of a frame."""
    return float(run["cpu_s"] / run["frames"] * 1000)


def _describe(costs: Sequence[Costs], runs: Sequence[Run]) -> Figures:
    """Per frame, the median of the runs; memory is the peak of all."""
    frames = [run["frames"] for run in runs]
    stages = sorted({stage for cost in costs for name, stage in cost.counters if name == "busy_seconds"})

    def per_frame(name: str, stage: str) -> float:
        return statistics.median(
            cost.counters.get((name, stage), 0) / count for cost, count in zip(costs, frames, strict=True)
        )

    return {
        "peak_mb": round(max(cost.peak_bytes for cost in costs) / 1e6),
        "written_mb_a_frame": round(
            statistics.median(cost.written_bytes / 1e6 / count for cost, count in zip(costs, frames, strict=True)), 2
        ),
        "messages_per_1000_frames": round(1000 * sum(per_frame("steps_done", stage) for stage in stages), 1),
        "busy_ms_a_frame": {stage: round(1000 * per_frame("busy_seconds", stage), 2) for stage in stages},
    }


def _find_devices(text: str) -> list[Device]:
    """Asked for before anything else is made; ends the program with a sentence where there are none."""
    settings = Settings()
    try:
        return find_devices(text, find_pack(settings.model_pack, settings.packs_path))
    except ConfigurationError as error:
        raise SystemExit(f"There is no accelerator to measure: {error}") from None


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--seconds", type=int, default=240, help="of the long video, and of the eight short ones together"
    )
    parser.add_argument("--sample-fps", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--photos", type=int, default=100, help="calls of each photo measurement")
    parser.add_argument(
        "--profile", action="store_true", help="where a frame's time goes, kernel by kernel, and nothing else"
    )
    parser.add_argument(
        "--gpu",
        metavar="DEVICES",
        help="throughput of accelerators alone: a process of detect and one of embed for each named, as cuda:0,cuda:1",
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    console = Console()
    devices = _find_devices(asked.gpu) if asked.gpu else []
    bench = Bench(asked, console)
    if devices:
        figures = bench.run_on(devices)
        print_gpu_report(figures, console)
    elif asked.profile:
        figures = bench.profile()
        print_profile(figures, console)
    else:
        figures = bench.run()
        print_report(figures, console)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
