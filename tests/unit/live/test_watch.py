"""`facepipe live` waits for a server that is away, and passes on what it refuses."""

import json
from collections.abc import Iterator

import pytest

from common.errors import TransientError
from deploy.live.__main__ import Watch, main
from deploy.live.screen import Screen
from facepipe.console import Terminal
from facepipe.documents import Faces
from facepipe.errors import NotFoundError, OverloadedError, ServerUnreachableError, UnavailableError
from tests.unit.live.test_people import NOON
from workers.live.camera import Camera

NOBODY = Faces.from_wire({"faces": []})


@pytest.fixture
def camera() -> Iterator[Camera]:
    def pictures(check: object) -> Iterator[bytes]:
        while True:
            check()  # type: ignore[operator]
            yield b"picture"

    with Camera(pictures, is_endless=True, tell=pytest.fail) as camera:
        yield camera


def watch(
    camera: Camera, *answers: object, frames: int = 1, slept: list[float] | None = None, every_s: float = 0.0
) -> Watch:
    left = list(answers)

    def ask(jpeg: bytes) -> Faces:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Faces)
        return answer

    screen = Screen(Terminal(is_json=True), lambda: NOON)
    pauses = [] if slept is None else slept
    return Watch(camera, screen, ask, is_search=True, frames=frames, every_s=every_s, sleep=pauses.append)


def test_it_ends_after_as_many_pictures_as_were_wanted(camera: Camera, capsys: pytest.CaptureFixture[str]) -> None:
    watch(camera, NOBODY, NOBODY, frames=2).run()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frame"] for line in lines] == [1, 2]
    assert lines[0]["skipped"] <= lines[1]["skipped"]


@pytest.mark.parametrize("kind", [ServerUnreachableError, UnavailableError, OverloadedError])
def test_a_server_that_is_away_is_waited_for_with_growing_pauses(
    camera: Camera, kind: type[ServerUnreachableError], capsys: pytest.CaptureFixture[str]
) -> None:
    slept: list[float] = []
    away = [kind("code", "The server is away.") for _ in range(4)]
    watched = watch(camera, *away, NOBODY, slept=slept)
    watched.run()
    assert watched.tally.pictures == 1
    assert slept == sorted(slept)
    assert len(slept) == 4
    said = capsys.readouterr().err
    assert said.count("The server is away. Looking again in") == 4
    assert "The server answers again." in said


def test_it_looks_no_more_often_than_wanted_and_does_not_rest_at_the_end(camera: Camera) -> None:
    slept: list[float] = []
    watch(camera, NOBODY, NOBODY, NOBODY, frames=3, slept=slept, every_s=1000.0).run()
    assert [round(pause, -2) for pause in slept] == [1000.0, 1000.0]


def test_a_refusal_ends_it(camera: Camera) -> None:
    with pytest.raises(NotFoundError):
        watch(camera, NotFoundError("not_found", "There is no gallery 'x'.")).run()


def test_a_source_that_cannot_be_read_ends_it() -> None:
    def refuse(check: object) -> Iterator[bytes]:
        raise TransientError("It is text.")

    with Camera(refuse, is_endless=False, tell=pytest.fail) as camera, pytest.raises(TransientError):
        watch(camera).run()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.mp4"], "'nowhere.mp4' is no source"),
        (["rtsp://cam/x", "--min-similarity", "0.5"], "--min-similarity goes with --gallery"),
        (["rtsp://cam/x", "--url", "nonsense"], "'nonsense' is not a URL"),
    ],
)
def test_wrong_arguments_are_told_and_end_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
