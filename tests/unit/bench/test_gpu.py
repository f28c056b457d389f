"""What the bench says of accelerators, as far as a host without one can tell."""

import os
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
from rich.console import Console

from benchmarks.pipeline import __main__ as bench
from benchmarks.pipeline.gpu import GpuWatch, print_gpu_report, rates_of, summarise

pytestmark = pytest.mark.timeout(60)


def refusal(monkeypatch: pytest.MonkeyPatch, home: Path, devices: str) -> str:
    """What the program says last; it must not have made anything before."""
    monkeypatch.setenv("FACEPIPE_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["bench", "--gpu", devices])
    with pytest.raises(SystemExit) as caught:
        bench.main()
    assert list(home.iterdir()) == []
    return str(caught.value)


@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0", "tensorrt:0"])
def test_without_an_accelerator_one_sentence_says_so(
    devices: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    said = refusal(monkeypatch, tmp_path, devices)
    assert said.startswith(f"There is no accelerator to measure: {devices.partition(',')[0]} was asked for, but the")
    assert "\n" not in said
    assert "install onnxruntime-gpu" in said


@pytest.mark.parametrize(("devices", "reason"), [("cpu", "leave it out to measure"), ("gpu", "'gpu' is not a device")])
def test_what_is_no_accelerator_is_refused(
    devices: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reason in refusal(monkeypatch, tmp_path, devices)


def test_rates_are_medians_for_each_gpu() -> None:
    runs = [{"frames": 1200, "faces": 3000, "seconds": seconds} for seconds in (10.0, 6.0, 5.0)]
    assert rates_of(runs, video_s=240, gpus=2) == {
        "video_hours_per_gpu_hour": 20.0,
        "faces_per_s": 500.0,
        "frames_per_s": 200.0,
    }


def test_what_nvidia_smi_samples_is_summed_up_for_each_gpu() -> None:
    lines = ["0, 80, 1000\n", "1, 10, 500\n", "0, 91, 1400\n", "1, [N/A], 700\n", "\n", "1, 20, 400\n"]
    assert summarise(lines) == {
        "0": {"busy_percent": 85.5, "memory_mib": 1400.0},
        "1": {"busy_percent": 15.0, "memory_mib": 500.0},
    }


def test_sampling_ends_with_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\necho "3, 70, 900"\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with GpuWatch([3]) as watch:
        while not watch._lines:
            time.sleep(0.01)
    assert watch.usage == {"3": {"busy_percent": 70.0, "memory_mib": 900.0}}
    assert "--id=3 --query-gpu=index,utilization.gpu,memory.used" in (tmp_path / "asked").read_text()


def test_the_table_holds_without_nvidia_smi_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with GpuWatch([0]) as watch:
        pass
    runs = [{"frames": 50, "faces": 60, "seconds": 2.0}]
    form = {"label": "one video of 10 s", "runs": runs, "usage": watch.usage, **rates_of(runs, video_s=10, gpus=1)}
    console = Console(width=120, record=True, file=(tmp_path / "told").open("w"))
    print_gpu_report({"devices": "cuda:0", "sample_fps": 5.0, "forms": {"long": form}}, console)
    row = next(line for line in console.export_text().splitlines() if "one video" in line)
    assert [cell.strip() for cell in row.strip(" │").split("│")] == [
        "one video of 10 s", "5", "30", "25", "no nvidia-smi",
    ]  # fmt: skip
