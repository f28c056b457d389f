"""Server-Sent Events: the grammar, and connections that break."""

import json
from collections.abc import Callable

import pytest

from facepipe import errors
from facepipe.events import RawEvent, follow, parse_events
from facepipe.transport import Transport
from tests.unit.facepipe.conftest import Answer, Script

PATH = "/v1/jobs/j/events"


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("", []),
        (": nothing new\n\n", []),
        ("data: 1\n\n", [RawEvent("", "message", "1")]),
        ("id: 4\nevent: progress\ndata: {}\n\n", [RawEvent("4", "progress", "{}")]),
        ("data:a\ndata: b\n\n", [RawEvent("", "message", "a\nb")]),
        ("id: 1\ndata: a\n\ndata: b\n\n", [RawEvent("1", "message", "a"), RawEvent("1", "message", "b")]),
        ("event: lost\n\ndata: a\n\n", [RawEvent("", "message", "a")]),
        ("retry: 2000\n\ndata: a\n\n", [RawEvent("", "message", "a")]),
        ("data: whole\n\ndata: cut off", [RawEvent("", "message", "whole")]),
    ],
)
def test_the_grammar(text: str, events: list[RawEvent]) -> None:
    assert list(parse_events(text.split("\n"))) == events


def stream(*events: tuple[int | None, str, object], is_complete: bool = True) -> Answer:
    lines = []
    for number, kind, document in events:
        lines += [f"id: {number}\n"] if number is not None else []
        lines.append(f"event: {kind}\ndata: {json.dumps(document)}\n\n")
    return Answer(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"}, is_complete)


def a_job(state: str, fraction: float) -> dict[str, object]:
    return {"id": "j", "state": state, "progress": {"fraction": fraction}}


def test_a_stream_that_breaks_goes_on_after_the_last_event_seen(
    transport: Transport, script: Script, pauses: list[float]
) -> None:
    script.answers = [
        stream((1, "progress", a_job("running", 0.1)), (2, "progress", a_job("running", 0.4)), is_complete=False),
        stream(),
        stream((5, "end", a_job("succeeded", 1.0))),
    ]
    events = list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))
    assert [event.job.progress.fraction for event in events] == [0.1, 0.4, 1.0]
    assert [request.headers.get("last-event-id") for request in script.requests] == [None, "2", "2"]
    assert len(pauses) == 2


def test_a_refusal_for_lack_of_room_is_waited_out(
    transport: Transport, script: Script, pauses: list[float], an_error: Callable[..., Answer]
) -> None:
    script.answers = [
        an_error(503, "unavailable", headers={"Retry-After": "15"}),
        stream((1, "end", a_job("failed", 0))),
    ]
    events = list(follow(transport, PATH, last_event_id="0", sleep=pauses.append))
    assert [event.kind for event in events] == ["end"]
    assert pauses == [15.0]


def test_a_server_that_asks_to_come_again_is_asked_again(
    transport: Transport, script: Script, pauses: list[float]
) -> None:
    away = {"error": {"code": "unavailable", "message": "Reconnect later."}, "request_id": "r"}
    script.answers = [stream((None, "error", away)), stream((1, "end", a_job("succeeded", 1)))]
    assert len(list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))) == 1


def test_a_job_that_is_erased_ends_the_stream_with_an_error(
    transport: Transport, script: Script, pauses: list[float]
) -> None:
    gone = {"error": {"code": "not_found", "message": "There is no job j."}, "request_id": "r"}
    script.answers = [stream((1, "progress", a_job("running", 0.1)), (None, "error", gone))]
    with pytest.raises(errors.NotFoundError, match="no job"):
        list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))


def test_an_unknown_job_is_not_asked_for_twice(
    transport: Transport, script: Script, pauses: list[float], an_error: Callable[..., Answer]
) -> None:
    script.answers = [an_error(404, "not_found")]
    with pytest.raises(errors.NotFoundError):
        list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))
    assert len(script.requests) == 1


def test_a_server_that_ends_the_stream_for_ever_is_given_up(
    transport: Transport, script: Script, pauses: list[float]
) -> None:
    script.answers = [stream() for _ in range(10)]
    with pytest.raises(errors.ProtocolError):
        list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 3\n\n", b'data: {"id": "j"}\n\n'])
def test_an_event_that_is_no_job_is_named(
    transport: Transport, script: Script, pauses: list[float], data: bytes
) -> None:
    script.answers = [Answer(200, data)]
    with pytest.raises(errors.ProtocolError):
        list(follow(transport, PATH, last_event_id=None, sleep=pauses.append))
