"""What the command line prints: data to stdout, everything about the work to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from facepipe.documents import Attributes, Document

_WIDE = 240
_SURE_SCORE = 0.8


class Terminal:
    """Where a command prints.

    Args:
        is_json: data is printed as JSON, one document a line, and nothing else goes to stdout.
    """

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self._out = _console(sys.stdout.isatty(), is_error=False)
        self.err = _console(sys.stderr.isatty(), is_error=True)

    @property
    def is_live(self) -> bool:
        """Whether somebody watches: bars that move make sense."""
        return self.err.is_terminal

    def say(self, text: str) -> None:
        """What a command did; among the data, unless these are for a script."""
        (self.err if self.is_json else self._out).print(printable(text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Something about the work."""
        self.err.print(printable(text), soft_wrap=True)

    def data(self, document: Document | dict[str, Any] | list[Any]) -> None:
        """One line of JSON."""
        plain = document.to_json() if isinstance(document, Document) else document
        sys.stdout.write(json.dumps(plain, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Rows under column names; a name that ends in `>` is aligned to the right."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*("" if cell is None else printable(str(cell)) for cell in row))
        self._out.print(table)


def printable(text: str) -> str:
    """The text without control characters, with which a name could repaint the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def clock(media_time_ms: int) -> str:
    """Media time as h:mm:ss.mmm."""
    seconds, ms = divmod(media_time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{ms:03}"


def count(number: int, noun: str) -> str:
    """`1 face`, `2 faces`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _console(is_terminal: bool, *, is_error: bool) -> Console:
    width = None if is_terminal else _WIDE
    return Console(stderr=is_error, markup=False, emoji=False, highlight=False, width=width)


def guess_text(guess: Attributes | None) -> str | None:
    """A guess at somebody in three words; a gender that was nearly undecided is marked."""
    if guess is None:
        return None
    doubt = "?" if guess.gender_score < _SURE_SCORE else ""
    return f"{guess.gender}{doubt}, about {guess.age:.0f}"
