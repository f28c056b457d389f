"""Where live pictures are shown and keys come from: a window where there is a display, else the terminal."""

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import Any, Protocol, Self

from PIL import Image

from common.errors import ConfigurationError
from common.types import Uint8s

_POLL_S = 0.05


class View(Protocol):
    """See the module."""

    def show(self, pixels: Uint8s) -> str:
        """Show (height, width, 3) uint8 RGB; gives the key that was pressed since the last time, or nothing."""

    def __enter__(self) -> Self:
        """Open it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""


class Window:
    """A window on the display.

    Args:
        title: of the window.

    Raises:
        ConfigurationError: there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter  # noqa: PLC0415 - not every Python has it, and nothing but windows needs it

            self._root = tkinter.Tk()
        except Exception as error:  # TclError cannot be named where it cannot be imported
            raise ConfigurationError(f"No window can be shown here ({error}); leave this flag out.") from error
        self._root.title(title)
        self._keys: list[str] = []
        self._root.bind("<Key>", lambda event: self._keys.append(event.char or " "))
        self._root.protocol("WM_DELETE_WINDOW", lambda: self._keys.append("q"))
        self._label = tkinter.Label(self._root)
        self._label.pack()
        self._image: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.destroy()

    def show(self, pixels: Uint8s) -> str:
        """See `View`."""
        from PIL import ImageTk  # noqa: PLC0415 - needs tkinter

        self._image = ImageTk.PhotoImage(Image.fromarray(pixels), master=self._root)
        self._label.configure(image=str(self._image))
        self._root.update()
        return self._keys.pop(0) if self._keys else ""

    def wait(self) -> str:
        """Wait for a key."""
        while not self._keys:
            self._root.update()
            time.sleep(_POLL_S)
        return self._keys.pop(0)


class TerminalKeys:
    """No pictures; keys from standard input.

    Args:
        at_end: the key that its end means.
    """

    def __init__(self, *, at_end: str) -> None:
        self._at_end = at_end
        self._before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None

    def __enter__(self) -> Self:
        if self._before is not None:
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def show(self, pixels: Uint8s) -> str:  # noqa: ARG002 - a terminal shows none
        """See `View`."""
        if not select.select([sys.stdin], [], [], 0)[0]:
            return ""
        data = os.read(sys.stdin.fileno(), 1)
        return data.decode("ascii", "replace") if data else self._at_end
