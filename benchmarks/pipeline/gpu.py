"""`make bench ARGS="--gpu cuda:0"`: what accelerators take through the API; the loop and the ceiling are left out.

Where a pool runs several processes on one GPU, name it as often: `cuda:0,cuda:0`. Utilisation is nvidia-smi's own: the
share of time in which any kernel ran, with GPUs numbered as nvidia-smi does it.
"""

import shutil
import statistics
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.table import Table

from benchmarks.pipeline.forms import Run, enrol_people, make_gallery, run_jobs
from benchmarks.pipeline.watch import Watch
from common.errors import ConfigurationError
from common.inference.devices import Device
from common.inference.ort import load_session
from common.packs import Pack
from deploy.demo.stack import running_stack
from facepipe import Client

Figures = dict[str, Any]

_SAMPLE_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Form:
    """Videos that are sent at once.

    Attributes:
        label: for people.
        videos: the files.
        video_s: their length together, in s.
    """

    label: str
    videos: Sequence[Path]
    video_s: float


def find_devices(text: str, pack: Pack) -> list[Device]:
    """The accelerators that are to be measured; each has been tried with the pack's embedder.

    Args:
        text: names, by commas, one for each process of a pool.

    Raises:
        ConfigurationError: one is not there, or does not work; one sentence says why.
    """
    devices = [Device.parse(name) for name in text.split(",")]
    for device in dict.fromkeys(devices):
        if device.is_cpu:
            raise ConfigurationError("--gpu measures accelerators alone; leave it out to measure the processor")
        load_session(pack.path(pack.embedder), device=str(device))
    return devices


def measure_gpus(
    devices: Sequence[Device],
    forms: Mapping[str, Form],
    *,
    home: Path,
    sample_fps: float,
    repeats: int,
    say: Callable[[str], None],
) -> Figures:
    """Run every form on a stack of its own whose detect and embed pools have these devices.

    Args:
        devices: of the processes of each of the two pools.
        forms: name to what is sent.
        home: folder for the stack.
        say: told what happens.
    """
    gpus = sorted({device.index for device in devices})
    names = ",".join(map(str, devices))
    pools = [option for stage in ("detect", "embed") for option in ("--pool", f"{stage}={names}")]
    figures: Figures = {"devices": names, "gpus": len(gpus), "sample_fps": sample_fps, "forms": {}}
    with (
        running_stack(home / "stack-gpu", say, options=pools) as url,
        Client(url, timeout_s=600) as client,
    ):
        make_gallery(client)
        enrol_people(client, home / "people")
        for name, form in forms.items():
            runs: list[Run] = []
            with GpuWatch(gpus) as gpu:
                for repeat in range(repeats):
                    say(f"Measuring {form.label}, {repeat + 1} of {repeats} …")
                    with Watch(home / "stack-gpu") as stack:
                        run = run_jobs(client, form.videos, sample_fps)
                    runs.append(run | {"cpu_s": round(stack.costs.cpu_s, 2)})
            rates = rates_of(runs, video_s=form.video_s, gpus=len(gpus))
            figures["forms"][name] = {"label": form.label, "runs": runs, **rates, "usage": gpu.usage}
    return figures


def rates_of(runs: Sequence[Run], *, video_s: float, gpus: int) -> dict[str, float]:
    """Medians over the runs of one form.

    Args:
        video_s: length of all videos of one run, in s.
        gpus: how many worked.
    """

    def median(what: Callable[[Run], float]) -> float:
        return round(statistics.median(map(what, runs)), 2)

    return {
        "video_hours_per_gpu_hour": median(lambda run: video_s / run["seconds"] / gpus),
        "faces_per_s": median(lambda run: run["faces"] / run["seconds"]),
        "frames_per_s": median(lambda run: run["frames"] / run["seconds"]),
    }


class GpuWatch:
    """A context manager around what is measured; where there is no nvidia-smi it does nothing.

    Args:
        gpus: numbers of those that count.

    Attributes:
        usage: what `summarise` gives; empty before the end, and without nvidia-smi.
    """

    def __init__(self, gpus: Sequence[int]) -> None:
        self._gpus = gpus
        self._program = shutil.which("nvidia-smi")
        self._lines: list[str] = []
        self.usage: dict[str, dict[str, float]] = {}

    def __enter__(self) -> Self:
        if self._program is not None:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--id={','.join(map(str, self._gpus))}",
                    "--query-gpu=index,utilization.gpu,memory.used",
                    "--format=csv,noheader,nounits",
                    f"--loop-ms={_SAMPLE_MS}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._program is not None:
            self._process.terminate()
            self._reader.join()
            self._process.wait()
        self.usage = summarise(self._lines)

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                self._lines.extend(lines)


def summarise(lines: Iterable[str]) -> dict[str, dict[str, float]]:
    """Mean utilisation in percent and largest memory in MiB of each GPU, from nvidia-smi's lines of three numbers.

    Lines that are none, as of a GPU that does not tell its utilisation, are passed over.
    """
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        index, *values = (part.strip() for part in line.split(","))
        try:
            busy, used = map(float, values)
        except ValueError:
            continue
        samples[index].append((busy, used))
    return {
        index: {
            "busy_percent": round(statistics.fmean(busy for busy, _ in found), 1),
            "memory_mib": max(used for _, used in found),
        }
        for index, found in samples.items()
    }


def print_gpu_report(figures: Figures, console: Console) -> None:
    """The table of one measurement."""
    title = f"{figures['devices']}, {figures['sample_fps']:g} sampled frames/s of 1080p"
    table = Table("what", "video-hours per GPU-hour", "faces/s", "frames/s", "GPU busy, memory", title=title)
    for form in figures["forms"].values():
        usage = "; ".join(
            f"{index}: {one['busy_percent']:g} %, {one['memory_mib']:.0f} MiB" for index, one in form["usage"].items()
        )
        rates = (f"{form[name]:g}" for name in ("video_hours_per_gpu_hour", "faces_per_s", "frames_per_s"))
        table.add_row(form["label"], *rates, usage or "no nvidia-smi")
    console.print(table)
