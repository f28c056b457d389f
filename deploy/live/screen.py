"""How sights are shown: JSON lines for programs, lines at every change for logs, and a moving line for people."""

import sys
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from deploy.live.people import Sight, Tally
from facepipe.console import Terminal, printable


class Screen:
    """A context manager, because the moving line is taken away at the end.

    Args:
        clock: gives the time now, for the pace.
    """

    def __init__(self, terminal: Terminal, clock: Callable[[], datetime]) -> None:
        self._terminal = terminal
        self._clock = clock
        self._presence: tuple[object, ...] | None = None
        self._live: Live | None = None
        if sys.stdout.isatty() and not terminal.is_json:
            console = Console(markup=False, emoji=False, highlight=False)
            self._live = Live(Text("waiting for the first picture"), console=console, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, sight: Sight, tally: Tally) -> None:
        """Show one."""
        if self._terminal.is_json:
            self._terminal.data(sight.to_json())
            return
        at = sight.taken_at.astimezone()
        text = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}  {printable(sight.text())}"
        if sight.presence != self._presence:
            self._presence = sight.presence
            self._line(text)
        if self._live is not None:
            counts = f"{tally.pictures} looked at, {sight.skipped} skipped, {tally.pace(self._clock()):.1f}/s"
            self._live.update(Text(f"{text}   [{counts}]"))

    def note(self, text: str) -> None:
        """Something about the source or the server."""
        if self._live is None:
            self._terminal.note(text)
        else:
            self._live.console.print(printable(text))

    def _line(self, text: str) -> None:
        if self._live is None:
            self._terminal.say(text)
        else:
            self._live.console.print(text)
