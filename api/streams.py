"""Answers without an end in sight: Server-Sent Events and NDJSON."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from common.contracts import FINAL_STATES
from common.errors import FacepipeError, NotFoundError, OverloadedError
from common.store.changes import JobChanges
from common.store.paging import Row

_HEARTBEAT_S = 15.0
_RECONNECT_MS = 2000


class Slots:
    """A bounded number of streams: each holds a request thread for as long as its client listens."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> Callable[[], None]:
        """Take one; the function given back frees it, however often it is called.

        Raises:
            OverloadedError: none is free.
        """
        if not self._free.acquire(blocking=False):
            raise OverloadedError(
                "Too many clients follow jobs at once; poll GET /v1/jobs/{id} instead, or try again later.",
                "unavailable",
                retry_after_s=15,
            )
        lock, freed = threading.Lock(), False

        def free() -> None:
            nonlocal freed
            with lock:
                if not freed:
                    freed = True
                    self._free.release()

        return free


def job_events(
    changes: JobChanges,
    job_id: str,
    *,
    revision: int,
    render: Callable[[Row], BaseModel],
    render_error: Callable[[FacepipeError], dict[str, Any]],
    heartbeat_s: float = _HEARTBEAT_S,
) -> Iterator[str]:
    """Follow a job from `revision` on: `progress` for every change seen, `end` with the last, then it closes.

    Changes that come faster than the client reads are skipped: each event is the whole document as it is now. When
    nothing changes a comment is sent, which is also how a client that left is noticed. A job that is erased or a
    database that is away ends the stream with an event `error`.

    Args:
        revision: the last one that the client knows, -1 for none; a final job ends at once, known or not.
        render: a row to the job's document.
        render_error: an error to its document.
    """
    yield f"retry: {_RECONNECT_MS}\n\n"
    try:
        row = changes.wait(job_id, -1, 0)
        while True:
            if row is None:
                yield ": nothing new\n\n"
            elif row["state"] in FINAL_STATES:
                yield _event("end", render(row).model_dump_json(), row["revision"])
                return
            elif row["revision"] > revision:
                revision = row["revision"]
                yield _event("progress", render(row).model_dump_json(), revision)
            row = changes.wait(job_id, revision, heartbeat_s)
    except FacepipeError as error:
        shown = error if isinstance(error, NotFoundError) else FacepipeError("Reconnect later.", "unavailable")
        yield _event("error", json.dumps(render_error(shown)))


def ndjson(documents: Iterable[BaseModel]) -> Iterator[str]:
    """One JSON document a line."""
    for document in documents:
        yield document.model_dump_json() + "\n"


def _event(name: str, data: str, event_id: int | None = None) -> str:
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: {data}\n\n"
