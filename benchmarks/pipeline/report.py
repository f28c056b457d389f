"""Figures as tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Any]


def print_report(figures: Figures, console: Console) -> None:
    """All that one run measured."""
    video, machine = figures["video"], figures["machine"]
    title = f"{machine['pack']} on {machine['cores']} cores, {video['sample_fps']:g} sampled frames/s of 1080p"
    table = Table("what", "frames", "faces", "seconds", "frames/s", "of the ceiling", title=title)
    for form, label in (("long", f"one video of {video['seconds']} s"), ("short", f"eight of {video['short_s']} s")):
        runs = figures[form]
        for name, mine in runs.items():
            of_ceiling = ratio(mine, runs["ceiling"])
            seconds = statistics.median(run["seconds"] for run in mine)
            counts = (str(mine[0]["frames"]), str(mine[0]["faces"]))
            table.add_row(f"{label}: {name}", *counts, f"{seconds:.2f}", f"{rate(mine):.1f}", f"{of_ceiling:.2f}")
    burst = figures["burst"]
    seconds = statistics.median(run["seconds"] for run in burst)
    table.add_row(
        "a burst of images", str(burst[0]["frames"]), str(burst[0]["faces"]), f"{seconds:.2f}", f"{rate(burst):.1f}", ""
    )
    console.print(table)
    console.print(f"pipeline : loop = {ratio(figures['long']['pipeline'], figures['long']['loop']):.2f}")
    photo = figures["photo"]
    idle_ms, p50_ms, p95_ms = (
        statistics.median(run[name] for run in photo[form])
        for form, name in (("idle", "p50_ms"), ("beside", "p50_ms"), ("beside", "p95_ms"))
    )
    over_ms = statistics.median(
        idle["p50_ms"] - bare["p50_ms"] for idle, bare in zip(photo["idle"], photo["bare"], strict=True)
    )
    times = statistics.median(
        beside["p95_ms"] / idle["p50_ms"] for beside, idle in zip(photo["beside"], photo["idle"], strict=True)
    )
    console.print(
        f"a photograph: idle stack p50 {idle_ms:.1f} ms, {over_ms:.1f} ms over the bare kernels; beside the long video"
        f" p50 {p50_ms:.1f} ms, p95 {p95_ms:.1f} ms = {times:.1f} times the idle p50"
    )
    queue, costs = figures["queue"], figures["costs"]
    console.print(
        f"the queue's own cost: {queue['own_ms']:.2f} ms of a core a frame,"
        f" {queue['share']:.1%} of {queue['total_ms']} ms"
    )
    console.print(
        f"peak memory {costs['peak_mb']} MB; {costs['written_mb_a_frame']} MB a frame through write calls;"
        f" {costs['messages_per_1000_frames']:.0f} messages per 1,000 frames"
    )
    busy = ", ".join(f"{stage} {ms:g}" for stage, ms in costs["busy_ms_a_frame"].items())
    console.print(f"threads busy, ms a frame: {busy}")


def print_profile(figures: Figures, console: Console) -> None:
    """Where a frame's time goes."""
    table = Table("kernel", "ms of a core a frame", "share", title=f"{figures['frames']} frames, one process")
    total = sum(figures["ms_a_frame"].values())
    for name, ms in sorted(figures["ms_a_frame"].items()):
        table.add_row(name, f"{ms:.2f}", f"{ms / total:.1%}")
    table.add_row("all", f"{total:.2f}", "")
    console.print(table)


def ratio(runs: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> float:
    """Of frames a second, the median over turns: a machine that slows down slows both of a turn."""
    return statistics.median(_speed(mine) / _speed(other) for mine, other in zip(runs, others, strict=True))


def rate(runs: Sequence[Mapping[str, Any]]) -> float:
    """Median of frames a second."""
    return statistics.median(map(_speed, runs))


def _speed(run: Mapping[str, Any]) -> float:
    return float(run["frames"] / run["seconds"])
