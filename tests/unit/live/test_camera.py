"""A source is opened again when it ends, and never fills anything up."""

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from common.errors import ConfigurationError, TransientError
from workers.live import camera as module
from workers.live.camera import Camera

Check = Callable[[], None]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.004)


def test_a_file_ends() -> None:
    with Camera(lambda check: iter([b"1", b"2"]), is_endless=False, tell=pytest.fail) as camera:
        while not camera.newest.is_over:
            camera.newest.take(10)
        camera.raise_failure()
    assert camera.opened == 1


def test_a_file_that_cannot_be_read_raises_why() -> None:
    def refuse(check: Check) -> Iterator[bytes]:
        raise TransientError("It is text.")

    with Camera(refuse, is_endless=False, tell=pytest.fail) as camera:
        assert camera.newest.take(10) is None
        assert camera.newest.is_over
        with pytest.raises(TransientError, match="text"):
            camera.raise_failure()


def test_a_stream_is_opened_again_and_says_so() -> None:
    said: list[str] = []
    tries = itertools.count()
    is_back = threading.Event()

    def open_source(check: Check) -> Iterator[bytes]:
        match next(tries):
            case 0:
                yield b"first"
            case 1 | 2 | 3:
                raise TransientError("Connection refused.")
            case _:
                is_back.set()
                yield b"second"
                while True:
                    check()

    with Camera(open_source, is_endless=True, tell=said.append) as camera:
        assert is_back.wait(10)
        pictures = [camera.newest.take(10), camera.newest.take(10)] if camera.newest.skipped == 0 else []
    assert camera.opened == 2
    assert pictures == [] or b"second" in {picture.jpeg for picture in pictures if picture}
    assert said == [
        "The source has ended. Trying again in 0.001 s.",
        "Connection refused. Trying again in 0.002 s.",
        "Connection refused. Trying again in 0.004 s.",
        "Connection refused. Trying again in 0.004 s.",
        "The source is back.",
    ]


def test_leaving_stops_a_source_that_waits() -> None:
    opened = threading.Event()

    def wait_for_ever(check: Check) -> Iterator[bytes]:
        opened.set()
        while True:
            check()
            yield b"picture"

    with Camera(wait_for_ever, is_endless=True, tell=pytest.fail) as camera:
        assert opened.wait(10)
    assert not camera._thread.is_alive()


def test_a_wrong_installation_is_not_tried_again() -> None:
    def fail(check: Check) -> Iterator[bytes]:
        raise ConfigurationError("ffmpeg cannot be started.")

    with Camera(fail, is_endless=True, tell=pytest.fail) as camera:
        assert camera.newest.take(10) is None
        with pytest.raises(ConfigurationError):
            camera.raise_failure()
