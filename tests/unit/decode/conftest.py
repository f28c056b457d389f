"""Videos are made once a session; the decoders are every ffmpeg that an installation may come with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.ffmpeg import find_ffmpeg
from tests.media import Recipe, encoder_program, make_video
from workers.decode.command import Decoder

PROGRAMS = sorted({find_ffmpeg(), encoder_program()})
MakeVideo = Callable[[Recipe], str]


@pytest.fixture(scope="session", params=PROGRAMS, ids=lambda program: "ffmpeg-" + str(PROGRAMS.index(program)))
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """The ffmpeg on PATH and the one of the wheel."""
    return Decoder(request.param, stall_timeout_s=60)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> MakeVideo:
    """Path of the video of a recipe."""
    folder = tmp_path_factory.mktemp("videos")
    made: dict[Recipe, Path] = {}

    def make(recipe: Recipe) -> str:
        if recipe not in made:
            made[recipe] = make_video(folder / f"{len(made)}.{recipe.suffix}", recipe)
        return str(made[recipe])

    return make
