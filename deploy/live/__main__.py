"""Front door: `facepipe live SOURCE`. Looks at the newest picture of a camera, stream or file, again and again.

Pictures are looked at one after the other by the running stack, as fast as it answers; those that came in between are
skipped and counted. Exit status: 0 (ended by Ctrl-C, --frames or the end of a file), 1 (it failed), 2 (asked wrongly).
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn

from common.errors import BadInputError, ConfigurationError
from common.errors import FacepipeError as LocalError
from common.ffmpeg import find_ffmpeg
from common.settings import Settings
from deploy.live.people import Sight, Tally
from deploy.live.screen import Screen
from facepipe.client import Client
from facepipe.commands.session import a_count, a_positive_number, a_similarity
from facepipe.console import Terminal, printable
from facepipe.documents import Faces
from facepipe.errors import FacepipeError, OverloadedError, ServerUnreachableError, UnavailableError
from facepipe.transport import pause_s
from workers.live.camera import Camera, Picture
from workers.live.source import parse_source, read_pictures

_TICK_S: Final = 0.5
_AWAY: Final = (ServerUnreachableError, UnavailableError, OverloadedError)


class Watch:
    """Takes the newest picture, asks, shows.

    Args:
        ask: the faces of a JPEG file.
        is_search: whether it names them.
        frames: end after so many pictures; None: never.
        every_s: least time between two looks.
    """

    def __init__(
        self,
        camera: Camera,
        screen: Screen,
        ask: Callable[[bytes], Faces],
        *,
        is_search: bool,
        frames: int | None,
        every_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._camera = camera
        self._screen = screen
        self._ask = ask
        self._is_search = is_search
        self._frames = frames
        self._every_s = every_s
        self._sleep = sleep
        self._failures = 0
        self.tally = Tally(datetime.now(UTC))

    def run(self) -> None:
        """Until the source is over or the pictures are enough.

        Raises:
            FacepipeError: the server refuses the question.
            LocalError: the source cannot be read.
        """
        newest = self._camera.newest
        while not newest.is_over and self.tally.pictures != self._frames:
            picture = newest.take(_TICK_S)
            if picture is not None:
                began = time.monotonic()
                self._look(picture)
                self._rest(began)
        if newest.is_over:
            self._camera.raise_failure()

    def summary(self) -> str:
        """What was counted."""
        return self.tally.summary(datetime.now(UTC), skipped=self._camera.newest.skipped, opened=self._camera.opened)

    def _rest(self, began: float) -> None:
        left_s = self._every_s - (time.monotonic() - began)
        if left_s > 0 and self.tally.pictures != self._frames:
            self._sleep(left_s)

    def _look(self, picture: Picture) -> None:
        try:
            found = self._ask(picture.jpeg)
        except _AWAY as error:
            left_s = pause_s(self._failures, error.retry_after_s)
            self._failures += 1
            self._screen.note(f"{error.message} Looking again in {left_s:.1f} s.")
            self._sleep(left_s)
            return
        if self._failures:
            self._failures = 0
            self._screen.note("The server answers again.")
        sight = Sight(
            self.tally.pictures + 1, picture.taken_at, self._camera.newest.skipped, found, is_search=self._is_search
        )
        self.tally.add(sight)
        self._screen.show(sight, self.tally)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status; see the module."""
    args = _parser().parse_args(argv)
    terminal = Terminal(is_json=args.json)
    try:
        return _run(args, terminal)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (FacepipeError, LocalError, ValueError) as error:
        sys.stderr.write(f"facepipe: {printable(str(error))}\n")
        is_failure = isinstance(error, ConfigurationError | ServerUnreachableError | UnavailableError)
        return 1 if is_failure else 2


def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    source = parse_source(args.source)
    if args.min_similarity is not None and args.gallery is None:
        raise BadInputError("--min-similarity goes with --gallery.")
    program = find_ffmpeg(Settings().ffmpeg)
    client = Client(args.url, args.api_key, timeout_s=30, retries=0)
    screen = Screen(terminal, lambda: datetime.now(UTC))
    camera = Camera(
        lambda check: read_pictures(source, program, timeout_s=args.timeout, check=check),
        is_endless=source.is_endless,
        tell=screen.note,
    )

    def ask(jpeg: bytes) -> Faces:
        if args.gallery is None:
            return client.detect(jpeg)
        return client.search(args.gallery, jpeg, min_similarity=args.min_similarity, limit=1)

    watch = Watch(
        camera, screen, ask, is_search=args.gallery is not None, frames=args.frames, every_s=args.every or 0.0
    )
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with client, screen, camera:
            watch.run()
    except KeyboardInterrupt:
        pass
    terminal.note(watch.summary())
    return 0


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="facepipe live",
        description="Who is in front of a camera now. Only the newest picture is looked at; the others are counted.",
        epilog="A camera or stream that ends or stalls is opened again, a server that is away is waited for."
        " Ctrl-C ends it with a summary.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="0 or /dev/video0, rtsp://…, http://…, or a video file, at its own speed"
    )
    parser.add_argument("--gallery", "-g", help="whom to look for; without it, faces are only found")
    parser.add_argument("--min-similarity", type=a_similarity, help="lower bound of a match, in [-1, 1]")
    parser.add_argument("--frames", type=a_count, metavar="N", help="end after N pictures that were looked at")
    parser.add_argument("--every", type=a_positive_number, metavar="S", help="look no more often than every S seconds")
    parser.add_argument(
        "--timeout",
        type=a_positive_number,
        default=10.0,
        metavar="S",
        help="silence after which the source has stalled",
    )
    parser.add_argument(
        "--url", help="root of the API (default: FACEPIPE_URL, or this machine on FACEPIPE_PORT or 8000)"
    )
    parser.add_argument("--api-key", help="default: FACEPIPE_API_KEY")
    parser.add_argument("--json", action="store_true", help="print one line of JSON a picture, for scripts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
