"""Figures as tables, as plots and as the generated part of docs/performance.md."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.growth.model import Hosts, Prices, Workload, estimate
from benchmarks.growth.plot import Line, draw

Figures = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

#: Curve to title, label of what grows, and whether it grows by factors.
CURVES: Final[Mapping[str, tuple[str, str, bool]]] = {
    "workers": ("Workers", "threads of the decode and of the detect pool", True),
    "length": ("Video length", "seconds of video", True),
    "faces": ("Faces in a frame", "faces in each frame", False),
    "gallery": ("Gallery size", "subjects in the gallery", True),
    "jobs": ("Open jobs", "jobs of a 10 s video at once", True),
    "others": ("Other material", "material", False),
}

#: File to curve, title, unit, and where the value is.
_EXTRA: Final = {
    "memory": ("length", "Peak memory of the whole stack", "MB", "peak_mb"),
    "search": ("gallery", "Latency of one photograph's search", "ms, median", "search_ms"),
}

_UNITS: Final = {"wait_s": "s, a job on an idle stack"}


def predict(figures: dict[str, Any]) -> None:
    """Put the model's answer and its relative error to every point, in place."""
    prices = Prices(**figures["prices"])
    for point in figures["points"]:
        work = Workload(**point["work"])
        frames = point["measured"]["frames"]
        likely = estimate(work, prices, hosts_of(figures, point), frames=frames, jobs=point["jobs"])
        point["predicted_frames_s"] = round(frames / likely.seconds, 2)
        point["error"] = round(point["predicted_frames_s"] / point["measured"]["frames_s"] - 1, 4)
        point["limit"] = likely.limit


def hosts_of(figures: Figures, point: Mapping[str, Any]) -> Hosts:
    """What a point was measured on: the share of the cores that nobody else had."""
    return Hosts(cores=figures["machine"]["cores"] * (1 - point["measured"]["others"]), threads=point["threads"])


def print_figures(figures: Figures, console: Console) -> None:
    """Every point, the prices, and how far the model is off."""
    for curve, (title, label, _) in CURVES.items():
        rows = rows_of(figures, curve)
        if rows:
            console.print(_table(title, label, rows))
    table = Table("price", "", "unit", title="the model's prices")
    for name, value in figures["prices"].items():
        table.add_row(name.replace("_", " "), f"{value:.3g}", _UNITS.get(name, "ms of a core"))
    console.print(table)
    console.print(summary(figures))


def summary(figures: Figures) -> str:
    """How far the model is off, in a sentence."""
    errors = [abs(point["error"]) for point in figures["points"]]
    if not errors:
        return "Nothing was measured."
    within = sum(error <= 0.1 for error in errors)
    return (
        f"The model is off by {statistics.median(errors):.1%} in the median of {len(errors)} points and by"
        f" {max(errors):.1%} at most; {within} points are within 10 %."
    )


def rows_of(figures: Figures, curve: str) -> Rows:
    """The points of one curve."""
    return [point for point in figures["points"] if point["curve"] == curve]


def write_docs(figures: Figures, folder: Path) -> list[Path]:
    """Write the plots, the tables and the figures themselves into `folder`; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for curve, (title, label, log_x) in CURVES.items():
        rows = rows_of(figures, curve)
        if not rows or isinstance(rows[0]["x"], str):
            continue
        lines = [
            Line("measured", _points(rows, lambda row: row["measured"]["frames_s"])),
            Line("model", _points(rows, lambda row: row["predicted_frames_s"]), is_dashed=True),
        ]
        files[f"{curve}.svg"] = draw(f"Throughput: {title.lower()}", label, "frames/s", lines, log_x=log_x)
    for name, (curve, title, unit, key) in _EXTRA.items():
        rows = rows_of(figures, curve)
        if rows:
            lines = [Line("measured", _points(rows, lambda row, key=key: row["measured"][key]))]  # type: ignore[misc]
            files[f"{name}.svg"] = draw(title, CURVES[curve][1], unit, lines, log_x=CURVES[curve][2])
    files["measured.md"] = _markdown(figures)
    files["figures.json"] = json.dumps(figures, indent=1) + "\n"
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def _points(rows: Rows, value: Callable[[Mapping[str, Any]], float]) -> list[tuple[float, float]]:
    return [(row["x"], value(row)) for row in rows]


def _cells(row: Mapping[str, Any]) -> list[str]:
    measured, x = row["measured"], row["x"]
    return [
        x if isinstance(x, str) else f"{x:,g}",
        f"{measured['frames']:,}",
        f"{measured['faces'] / measured['frames']:.1f}",
        f"{measured['seconds']:.2f}",
        f"{measured['frames_s']:.1f}",
        f"{row['predicted_frames_s']:.1f}",
        f"{row['error']:+.1%}",
        row["limit"],
        f"{measured['others']:.0%}",
        f"{measured['peak_mb']:,.0f}",
        f"{measured['search_ms']:.0f}" if "search_ms" in measured else "",
    ]


_HEAD: Final = (
    "frames",
    "faces a frame",
    "seconds",
    "frames/s",
    "model",
    "error",
    "limit",
    "others",
    "peak MB",
    "photo ms",
)


def _columns(label: str, rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Head and body, without the last column where no row has it."""
    body = [_cells(row) for row in rows]
    width = len(_HEAD) + (1 if any(cells[-1] for cells in body) else 0)
    return [label, *_HEAD][:width], [cells[:width] for cells in body]


def _table(title: str, label: str, rows: Rows) -> Table:
    head, body = _columns(label, rows)
    table = Table(*head, title=title)
    for cells in body:
        table.add_row(*cells)
    return table


def _markdown(figures: Figures) -> str:
    machine = figures["machine"]
    parts = [
        "<!-- Written by `make bench-growth`; edits are lost. -->",
        "# Measured: how throughput grows",
        f'`make bench-growth ARGS="--docs docs/performance"` on {machine["cores"]} cores ({machine["kind"]}), pack'
        f" `{machine['pack']}`, {machine['date']}. What the columns mean: [performance](../performance.md).",
        summary(figures),
    ]
    for curve, (title, label, _) in CURVES.items():
        rows = rows_of(figures, curve)
        if rows:
            parts += [f"## {title}", _markdown_table(*_columns(label, rows))]
    prices = (
        [name.replace("_", " "), f"{value:.3g}", _UNITS.get(name, "ms of a core")]
        for name, value in figures["prices"].items()
    )
    parts += ["## Prices of the model", _markdown_table(["price", "", "unit"], prices)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
