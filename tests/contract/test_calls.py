"""Calls and their lane, on a real Redis."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from common.calls import CallDesk, connect_redis
from common.contracts import CallRef, Extract, Message, Options
from common.errors import BadInputError, FacepipeError, OverloadedError, TransientError
from common.stage.lane import CallLane


@pytest.fixture
def desk(redis_url: str) -> CallDesk:
    return CallDesk(connect_redis(redis_url))


@pytest.fixture
def lane(desk: CallDesk) -> Iterator[list[Message]]:
    """A decode pool that answers with the blob's name, or refuses one that is called bad; gives the messages taken."""
    taken: list[Message] = []

    def handle(wire: Mapping[str, Any]) -> None:
        message = Message.from_wire(wire)
        taken.append(message)
        assert isinstance(message.ref, CallRef)
        if message.blob_key == "defect":
            raise ZeroDivisionError
        if message.blob_key == "bad":
            desk.answer_error(message.ref, BadInputError("It is text.", "bad_media", "image"))
        else:
            desk.answer(message.ref, {"blob": message.blob_key})

    lane = CallLane(desk, "decode", handle, threads=2)
    lane.start()
    yield taken
    lane.stop()


def ask(desk: CallDesk, *blobs: str, timeout_s: float = 20) -> list[dict[str, Any] | FacepipeError]:
    return desk.ask(blobs, until="detect", options=Options(limit=3), timeout_s=timeout_s)


def test_nothing_asked_nothing_answered(desk: CallDesk) -> None:
    assert ask(desk) == []
    assert desk.take("decode", 0.05) is None


def test_answers_come_in_the_order_of_the_questions(desk: CallDesk, lane: list[Message]) -> None:
    blobs = [f"calls/{i}" for i in range(20)]
    assert ask(desk, *blobs) == [{"blob": blob} for blob in blobs]
    assert {message.options.limit for message in lane} == {3}


def test_an_error_of_one_picture_is_its_answer_alone(desk: CallDesk, lane: list[Message]) -> None:
    good, bad = ask(desk, "calls/1", "bad")
    assert good == {"blob": "calls/1"}
    assert isinstance(bad, BadInputError)
    assert (bad.code, bad.message, bad.field) == ("bad_media", "It is text.", "image")


def test_a_defect_does_not_end_the_lane(desk: CallDesk, lane: list[Message]) -> None:
    with pytest.raises(OverloadedError):
        ask(desk, "defect", timeout_s=0.3)
    assert ask(desk, "calls/1") == [{"blob": "calls/1"}]


def test_a_call_that_nobody_takes_ends_in_time(desk: CallDesk) -> None:
    with pytest.raises(OverloadedError) as caught:
        ask(desk, "calls/1", timeout_s=0.2)
    assert caught.value.code == "deadline_exceeded"


def test_calls_of_a_stage_are_taken_by_that_stage(desk: CallDesk) -> None:
    message = Message(CallRef("c", "match", int(time.time() * 1000) + 9000), Options(), "calls/1")
    desk.forward("embed", message)
    assert desk.take("detect", 0.05) is None
    wire = desk.take("embed", 5)
    assert wire is not None
    assert Message.from_wire(wire) == message


def test_a_video_waits_in_a_lane_of_its_own(desk: CallDesk, lane: list[Message]) -> None:
    wanted = Extract(10, 640, 480, "rgb", 1 << 20, "calls/2")
    answers: list[dict[str, Any] | FacepipeError] = []
    asking = threading.Thread(target=lambda: answers.append(desk.extract("calls/1", wanted, timeout_s=90)))
    asking.start()
    assert ask(desk, "calls/3") == [{"blob": "calls/3"}]
    wire = desk.take("extract", 5)
    assert wire is not None
    message = Message.from_wire(wire)
    assert (message.blob_key, message.extract) == ("calls/1", wanted)
    assert isinstance(message.ref, CallRef)
    desk.answer(message.ref, {"decoded": 3})
    asking.join(timeout=20)
    assert answers == [{"decoded": 3}]


def test_a_call_stays_in_its_lane_for_as_long_as_somebody_waits(desk: CallDesk, redis_url: str) -> None:
    client = connect_redis(redis_url)
    for seconds, longest in ((5, 60), (300, 301)):
        message = Message(CallRef("c", "decode", int((time.time() + seconds) * 1000)), Options(), "calls/1")
        desk.forward("extract", message)
        assert longest - 30 < client.ttl("facepipe:calls:extract") <= longest


def test_a_redis_that_is_away_is_a_transient_error() -> None:
    desk = CallDesk(connect_redis("redis://127.0.0.1:1/0"))
    with pytest.raises(TransientError):
        ask(desk, "calls/1")


def test_a_stopped_lane_leaves_no_thread(desk: CallDesk) -> None:
    lane = CallLane(desk, "match", lambda _: None, threads=1)
    lane.start()
    lane.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("calls-")]
