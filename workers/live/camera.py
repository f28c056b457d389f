"""A source that is read all the time; only its newest picture is kept, and when it ends it is opened again."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

from common.errors import BadInputError, CancelledError, TransientError
from workers.live.newest import Newest

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a source.

    Attributes:
        jpeg: the file.
        taken_at: when it arrived, UTC.
    """

    jpeg: bytes
    taken_at: datetime


Open = Callable[[Callable[[], None]], Iterator[bytes]]
"""Opens a source and gives its JPEG files; its argument is to be called now and then, and raises to stop."""


class Camera:
    """A thread that reads; a context manager that ends it.

    Args:
        open_source: opens the source.
        is_endless: whether the source is opened again when it ends, after pauses that grow until a picture comes.
        tell: gets a sentence when the source fails or comes back; called in the reading thread.
    """

    def __init__(self, open_source: Open, *, is_endless: bool, tell: Callable[[str], None]) -> None:
        self.newest: Newest[Picture] = Newest()
        self.opened = 0
        self._open = open_source
        self._is_endless = is_endless
        self._tell = tell
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def raise_failure(self) -> None:
        """Raise what ended a source that is not opened again: a FacepipeError, or a defect."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._stopping.is_set():
                came, reason = self._read(was_away=pause_s > _FIRST_PAUSE_S)
                if not self._is_endless or self._stopping.is_set():
                    return
                pause_s = _FIRST_PAUSE_S if came else pause_s
                self._tell(f"{reason} Trying again in {pause_s:g} s.")
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        except CancelledError:
            return
        except BaseException as error:  # noqa: BLE001 - whoever takes the pictures raises it
            self._failure = error
        finally:
            self.newest.close()

    def _read(self, *, was_away: bool) -> tuple[bool, str]:
        """Read until the source ends; whether pictures came, and why it ended."""
        came = False
        try:
            for jpeg in self._open(self._check):
                if not came:
                    came = True
                    self.opened += 1
                    if was_away:
                        self._tell("The source is back.")
                self.newest.put(Picture(jpeg, datetime.now(UTC)))
        except (TransientError, BadInputError) as error:
            if not self._is_endless:
                raise
            return came, error.message
        return came, "The source has ended."

    def _check(self) -> None:
        if self._stopping.is_set():
            raise CancelledError("nobody looks any more")
