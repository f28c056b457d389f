"""How far something is: a bar that moves for people, a line now and then for logs. On stderr, so stdout stays data."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from deploy.models.download import Watch

_LINE_EVERY_S: Final = 5.0


@contextmanager
def open_bar(label: str) -> Iterator[Watch]:
    """A bar of bytes under a label, with the rate and the time left."""
    if not sys.stderr.isatty():
        yield Lines(label, lambda line: print(line, file=sys.stderr, flush=True))
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class Lines:
    """Writes how far it is, every few seconds and never twice the same; nothing at all when it takes no time.

    Args:
        label: begins each line.
        write: takes a line.
        clock: seconds.
    """

    def __init__(self, label: str, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._write = write
        self._clock = clock
        self._began: tuple[float, int] | None = None
        self._wrote_s = clock()

    def __call__(self, done: int, total: int) -> None:
        """Note that `done` of `total` bytes are there."""
        now = self._clock()
        began_s, first = self._began = self._began or (now, done)
        if now - self._wrote_s < _LINE_EVERY_S:
            return
        self._wrote_s = now
        parts = [f"{self._label}: {done / 1e6:.1f} of {total / 1e6:.1f} MB"]
        if now > began_s and done > first:
            rate = (done - first) / (now - began_s)
            parts += [f"{rate / 1e6:.1f} MB/s", f"{(total - done) / rate:.0f} s left"]
        self._write(", ".join(parts))
