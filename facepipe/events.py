"""Server-Sent Events, read so that a broken connection is not noticed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from facepipe.documents import Job, JobEvent
from facepipe.errors import (
    FacepipeError,
    OverloadedError,
    ProtocolError,
    ServerUnreachableError,
    UnavailableError,
    error_from_answer,
)
from facepipe.transport import Transport, pause_s

#: The server says something at least every 15 s; a silence of three times that is a dead connection.
_SILENCE_S = 45.0
_MAX_FAILURES = 10


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event of a stream; `id` is empty when none was ever given."""

    id: str
    kind: str
    data: str


def parse_events(lines: Iterable[str]) -> Iterator[RawEvent]:
    """Events in a stream of lines, as the HTML standard has it; an event that is cut off is dropped."""
    last_id, kind, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield RawEvent(last_id, kind or "message", "\n".join(data))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value


def follow(
    transport: Transport, path: str, *, last_event_id: str | None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[JobEvent]:
    """The events of a job until its end, over as many connections as it takes.

    After a break it connects again and goes on after the last event seen. It gives up when ten connections in a row
    brought nothing.

    Raises:
        FacepipeError: the server refuses, or cannot be reached any more.
    """
    failures = 0
    last_id = last_event_id or ""
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        failure: FacepipeError | None = None
        try:
            with transport.stream(path, headers=headers, silence_s=_SILENCE_S) as lines:
                for raw in parse_events(lines):
                    if raw.kind == "error":
                        raise _refusal(raw)
                    event = _read(raw)
                    failures = 0
                    last_id = raw.id or last_id
                    yield event
                    if event.kind == "end":
                        return
        except (ServerUnreachableError, UnavailableError, OverloadedError) as error:
            failure = error
        failures += 1
        if failures >= _MAX_FAILURES:
            raise failure or ProtocolError("protocol", "The server ends the event stream again and again.")
        sleep(pause_s(min(failures - 1, 4), failure.retry_after_s if failure else None))


def _read(raw: RawEvent) -> JobEvent:
    return JobEvent(raw.id, raw.kind, Job.from_wire(_json(raw)))


def _refusal(raw: RawEvent) -> FacepipeError:
    """The error that ends a stream: the job was erased, or the server wants the client to come again."""
    document = _json(raw)
    status = 404 if document.get("error", {}).get("code") == "not_found" else 503
    return error_from_answer(status, document, request_id=None, retry_after_s=None, text=raw.data)


def _json(raw: RawEvent) -> dict[str, Any]:
    try:
        document = json.loads(raw.data)
    except ValueError as error:
        raise ProtocolError("protocol", f"The server sent an event that is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise ProtocolError("protocol", "The server sent an event that is no JSON object.")
    return document
