"""Several requests in flight, never more than asked for, and no more work taken up than is in flight."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from facepipe.errors import BadRequestError

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Item = TypeVar("Item")


def run_side_by_side(
    tasks: Iterable[Task], work: Callable[[Task], Answer], *, parallel: int, key: Callable[[Task], Hashable]
) -> Iterator[Answer]:
    """Answers as they come.

    Args:
        tasks: taken one by one as there is room, so that it may be endless.
        work: runs in a thread.
        parallel: tasks under way at most.
        key: two tasks of one key are never under way together.

    On an interruption those under way are finished and no more are begun.
    """
    running: dict[Future[Answer], Hashable] = {}
    with ThreadPoolExecutor(parallel) as pool:
        try:
            for task in tasks:
                wanted = key(task)
                while len(running) >= parallel or wanted in running.values():
                    yield from _finished(running)
                running[pool.submit(work, task)] = wanted
            while running:
                yield from _finished(running)
        finally:
            for future in running:
                future.cancel()


def send_in_pieces(items: list[Item], send: Callable[[list[Item]], None], *, size: int) -> None:
    """Send items `size` at a time, and fewer where the server says that these are too many.

    Raises:
        BadRequestError: a single one is too large, or anything else that `send` raises.
    """
    for start in range(0, len(items), size):
        piece = items[start : start + size]
        try:
            send(piece)
        except BadRequestError as error:
            if error.code != "too_large" or len(piece) == 1:
                raise
            send_in_pieces(piece, send, size=len(piece) // 2)


def _finished(running: dict[Future[Answer], Hashable]) -> Iterator[Answer]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        del running[future]
    for future in done:
        yield future.result()
