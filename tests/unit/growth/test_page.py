import contextlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.growth import __main__ as growth
from benchmarks.growth import plan
from benchmarks.growth.curves import Point
from benchmarks.growth.model import Hosts, Prices, Workload, estimate
from benchmarks.growth.page import predict, print_figures, summary, write_docs
from tests.unit.growth.test_prices import MATERIAL, make_bills

PRICES = Prices(1.0, 1.0, 50.0, 1.0, 0.1, 5.0, 0.5, 1.0, 0.0, 50.0, 20.0, 0.3)


def point(curve: str, x: float | str, slower: float = 1.0, **measured: float) -> dict[str, Any]:
    """Measured as the model says, times `slower`."""
    work, threads, frames = Workload(crops=0.2), {"decode": 2, "detect": 2}, 150
    took_s = slower * estimate(work, PRICES, Hosts(cores=2, threads=threads), frames=frames).seconds
    run = {
        "frames": frames,
        "faces": 300,
        "seconds": took_s,
        "frames_s": frames / took_s,
        "peak_mb": 900,
        "crops": 30,
        "others": 0.0,
    }
    return asdict(Point(curve, x, work, threads, 1, run | measured))


def figures(*points: dict[str, Any]) -> dict[str, Any]:
    machine = {"cores": 2, "kind": "x", "pack": "mini", "date": "2026-01-01"}
    made = {"machine": machine, "prices": asdict(PRICES), "points": list(points)}
    predict(made)
    return made


def test_an_error_is_how_far_the_model_is_above_what_was_measured() -> None:
    right, slow = figures(point("length", 30), point("length", 60, slower=1.25))["points"]
    assert right["error"] == pytest.approx(0, abs=1e-3)
    assert slow["error"] == pytest.approx(0.25, abs=1e-3)


def test_what_others_took_is_not_expected_of_the_stack() -> None:
    alone, beside = figures(point("jobs", 4), point("jobs", 4, others=0.5))["points"]
    assert beside["predicted_frames_s"] < alone["predicted_frames_s"]


def test_the_summary_counts_points_off_by_more_than_a_tenth() -> None:
    words = summary(figures(point("length", 30), point("length", 60, slower=1.25), point("jobs", 4)))
    assert "25.0% at most; 2 points are within 10 %" in words


def test_every_curve_that_was_measured_is_drawn_and_listed(tmp_path: Path) -> None:
    made = figures(
        point("length", 10),
        point("length", 60),
        point("gallery", 10, search_ms=50.0),
        point("gallery", 100_000, search_ms=61.0),
        point("others", "720p"),
    )
    written = {path.name for path in write_docs(made, tmp_path)}
    assert written == {"length.svg", "memory.svg", "gallery.svg", "search.svg", "measured.md", "figures.json"}
    page = (tmp_path / "measured.md").read_text()
    assert "| 100,000 | 150 | 2.0 |" in page
    assert "| 720p |" in page
    assert json.loads((tmp_path / "figures.json").read_text()) == made
    assert "photo ms" not in page.partition("## Gallery size")[0]


def test_all_of_it_is_printed() -> None:
    paper = io.StringIO()
    print_figures(figures(point("jobs", 64)), Console(file=paper, width=140))
    assert "64" in paper.getvalue()
    assert "wait s" in paper.getvalue()


def test_figures_are_read_again_instead_of_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "mine.json"
    bills = {"bills": asdict(make_bills()), "material": asdict(MATERIAL), "dense_fps": 12.5}
    saved.write_text(json.dumps(figures(point("jobs", 64)) | bills))
    monkeypatch.setattr("sys.argv", ["growth", "--from", str(saved), "--docs", str(tmp_path / "docs")])
    growth.main()
    assert "jobs.svg" in capsys.readouterr().out
    assert (tmp_path / "docs" / "jobs.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--only", "moon"], "no curve moon"), (["--from", "half.json"], "did not end")]
)
def test_what_cannot_be_done_is_said(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.json").write_text(json.dumps({"points": []}))
    monkeypatch.setattr("sys.argv", ["growth", *arguments])
    with pytest.raises(SystemExit):
        growth.main()
    assert words in capsys.readouterr().err


def run_plan(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[str, str]:
    monkeypatch.setattr("sys.argv", ["capacity", *arguments])
    with contextlib.suppress(SystemExit):
        plan.main()
    printed = capsys.readouterr()
    return " ".join(printed.out.split()), " ".join(printed.err.split())


def test_a_plan_says_how_many_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "figures.json"
    saved.write_text(json.dumps(figures(point("jobs", 64))))
    asked = ["--prices", str(saved), "--video-hours", "1000"]
    week, _ = run_plan([*asked, "--within-days", "7"], monkeypatch, capsys)
    assert "1000 hours of video within 7 days: 1 such host(s)" in week
    day, _ = run_plan([*asked, "--within-days", "1"], monkeypatch, capsys)
    # 28 ms of two cores: 71 frames/s are 14 hours of video in an hour, and 42 are wanted
    assert "within 1 days: 3 such host(s)" in day
    gpu = ["--gpus", "1", "--gpu-frames", "20", "--gpu-crops", "1000"]
    slow, _ = run_plan([*asked, *gpu], monkeypatch, capsys)
    assert "Its gpus are used up first" in slow


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prices", "nowhere.json"], "make bench-growth"),
        (["--prices", "empty.json"], "holds no prices"),
        (["--gpus", "1"], "--gpu-frames"),
        (["--sample-fps", "50", "--prices", "good.json"], "at most source_fps"),
        (["--cores", "0", "--prices", "good.json"], "at least one host"),
    ],
)
def test_a_plan_without_ground_is_refused(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "good.json").write_text(json.dumps(figures(point("jobs", 64))))
    _, said = run_plan(arguments, monkeypatch, capsys)
    assert words in said
