"""Progress: bars that move for people, a line every few seconds for logs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from facepipe.console import Terminal, count, printable
from facepipe.documents import Job

_LINE_EVERY_S = 2.0


class Bar(Protocol):
    """Shows how far something is."""

    def update(self, done: float, total: float | None, detail: str) -> None:
        """Show `done` of `total` (None: not known yet) with a few words."""


@contextmanager
def open_bars(terminal: Terminal) -> Iterator[Callable[[str], Bar]]:
    """Room for bars; gives the function that adds one under a label."""
    if not terminal.is_live:
        yield lambda label: _Lines(terminal, label)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=terminal.err) as progress:
        yield lambda label: _Live(progress, progress.add_task(printable(label), total=None, detail=""))


def upload_detail(sent: int, total: int) -> str:
    """`12.3 of 45.6 MB`."""
    return f"{sent / 1e6:.1f} of {total / 1e6:.1f} MB"


class JobProgress:
    """Shows a job on a bar, with the rate since the first look."""

    def __init__(self, bar: Bar, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = bar
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def show(self, job: Job) -> None:
        """Bring the bar up to date."""
        progress = job.progress
        if job.kind != "media":
            self._show_bulk(job)
            return
        if progress.frames_total is None:
            self._bar.update(0, None, job.state)
            return
        now = self._clock()
        first_s, first_frames = self._first = self._first or (now, progress.frames_done)
        parts = [f"{progress.frames_done} of {count(progress.frames_total, 'frame')}", count(progress.faces, "face")]
        if now > first_s and progress.frames_done > first_frames:
            parts.append(f"{(progress.frames_done - first_frames) / (now - first_s):.1f} frames/s")
        if job.is_final:
            parts.append(job.state)
        self._bar.update(progress.fraction, 1.0, ", ".join(parts))

    def _show_bulk(self, job: Job) -> None:
        done, total, left_s = job.progress.items_done or 0, job.progress.items_total, job.progress.eta_s
        parts = [job.state if total is None else f"{done} of {total} items"]
        if left_s is not None:
            parts.append(f"{left_s:.0f} s left")
        if job.is_final and total is not None:
            parts.append(job.state)
        self._bar.update(job.progress.fraction, None if total is None else 1.0, ", ".join(parts))


class _Live:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: float, total: float | None, detail: str) -> None:
        self._progress.update(self._task, completed=done, total=total, detail=detail)


class _Lines:
    def __init__(self, terminal: Terminal, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._label = label
        self._clock = clock
        self._shown_s = float("-inf")
        self._detail = ""

    def update(self, done: float, total: float | None, detail: str) -> None:
        now = self._clock()
        is_due = now - self._shown_s >= _LINE_EVERY_S or (total is not None and done >= total)
        if is_due and detail != self._detail:
            self._shown_s, self._detail = now, detail
            share = "" if total is None else f"{done / (total or 1):.0%}, "
            self._terminal.note(f"{self._label}: {share}{detail}")
