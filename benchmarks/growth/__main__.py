"""`make bench-growth`: measured curves on the one-machine stack, and a model of capacity checked against them."""

import argparse
import json
import os
import platform
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.growth.curves import DENSE_FPS, QUICK, Laboratory, Point, Sizes
from benchmarks.growth.measure import Site, site
from benchmarks.growth.model import Workload
from benchmarks.growth.page import CURVES, predict, print_figures, write_docs
from benchmarks.growth.prices import Bills, derive_from, total
from common.ffmpeg import find_ffmpeg
from common.packs import find_pack
from common.settings import Settings

_LEAST_WIDTH = 120


class Growth:
    """One run.

    Args:
        asked: the command line.
        console: where progress is told.
    """

    def __init__(self, asked: argparse.Namespace, console: Console) -> None:
        self._settings = settings = Settings()
        self._console = console
        self._wanted = set(asked.only.split(",")) if asked.only else set(CURVES)
        self._folder = settings.home / "bench"
        self._home = self._folder / "growth"
        self._pack = find_pack(settings.model_pack, settings.packs_path)
        self._json: Path | None = asked.json
        self._points: list[Point] = []
        self._laboratory = Laboratory(
            QUICK if asked.quick else Sizes(),
            folder=self._folder,
            ffmpeg=find_ffmpeg(settings.ffmpeg),
            start=self._start,
            model_id=self._pack.embedder.model_id,
            threads={stage: settings.stage_threads(stage) for stage in ("decode", "detect")},
            say=lambda what: console.print(f"Measuring {what} …"),
        )

    def run(self) -> dict[str, Any]:
        """All figures, JSON-ready."""
        laboratory = self._laboratory
        shutil.rmtree(self._home, ignore_errors=True)
        laboratory.prepare()
        try:
            with ExitStack() as stack:
                where = stack.enter_context(self._start())
                laboratory.warm(where)
                bills, material = laboratory.bills(where)
                for name, curve in (
                    ("length", laboratory.by_length),
                    ("faces", laboratory.by_faces),
                    ("gallery", laboratory.by_gallery),
                    ("jobs", laboratory.by_jobs),
                    ("others", laboratory.others),
                ):
                    if name in self._wanted:
                        self._keep(curve(where))
            if "workers" in self._wanted:
                self._keep(laboratory.by_workers())
        finally:
            shutil.rmtree(self._home, ignore_errors=True)
        return self._figures(bills, material)

    def _keep(self, points: Iterable[Point]) -> None:
        """Every point is in the file as soon as it is measured: who interrupts this keeps what there is."""
        for point in points:
            self._points.append(point)
            if self._json:
                self._json.write_text(json.dumps({"points": [asdict(one) for one in self._points]}, indent=1) + "\n")

    def _figures(self, bills: Bills, material: Workload) -> dict[str, Any]:
        density = round(total(bills.faceless, "decode") / total(bills.sparse, "decode"), 3)
        tiles = [replace(one, work=replace(one.work, density=density)) for one in self._points]
        points = [tile if one.curve == "faces" else one for one, tile in zip(self._points, tiles, strict=True)]
        return {
            "machine": {
                "cores": len(os.sched_getaffinity(0)),
                "kind": platform.machine(),
                "pack": self._pack.name,
                "date": datetime.now(UTC).date().isoformat(),
            },
            "bills": asdict(bills),
            "material": asdict(material),
            "dense_fps": DENSE_FPS,
            "points": [asdict(point) for point in points],
        }

    def _start(self) -> AbstractContextManager[Site]:
        return site(self._home, self._console)


def main() -> None:
    """Measure, or read what was measured; print; write plots and tables."""
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one run each: whether it works, not how fast"
    )
    parser.add_argument("--only", help=f"some curves, by commas: {','.join(CURVES)}")
    parser.add_argument("--json", type=Path, help="write the figures here too, point by point")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="write plots, tables and figures.json here")
    parser.add_argument("--from", dest="read", type=Path, metavar="JSON", help="measure nothing, read these figures")
    asked = parser.parse_args()
    if asked.only and (strange := set(asked.only.split(",")) - set(CURVES)):
        parser.error(f"there is no curve {', '.join(sorted(strange))}; there are {', '.join(CURVES)}")
    console = Console()
    console = Console(width=max(console.width, _LEAST_WIDTH))
    if asked.read:
        figures = json.loads(asked.read.read_text())
        if "bills" not in figures:
            parser.error(f"{asked.read} is of a run that did not end: measure again")
    else:
        figures = Growth(asked, console).run()
    figures["prices"] = {name: round(value, 4) for name, value in asdict(derive_from(figures)).items()}
    predict(figures)
    print_figures(figures, console)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.docs:
        for path in write_docs(figures, asked.docs):
            console.print(f"wrote {path}")


if __name__ == "__main__":
    main()
