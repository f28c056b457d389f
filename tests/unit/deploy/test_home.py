"""The directory of a stack."""

from pathlib import Path

import pytest

from common.errors import ConfigurationError
from deploy.home import Home, RunningStack

STACK = RunningStack(1, "http://127.0.0.1:8000", "http://127.0.0.1:5555", "postgresql://", "redis://")


def test_nothing_runs_in_an_empty_home(tmp_path: Path) -> None:
    assert Home(tmp_path / "none").running() is None


def test_a_stack_is_found_while_its_lock_is_held_and_no_longer(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock():
        assert home.running() is None
        home.announce(STACK)
        assert Home(tmp_path).running() == STACK
    assert home.running() is None


def test_what_a_killed_launcher_announced_is_not_believed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock():
        home.announce(STACK)
        text = (tmp_path / "stack.json").read_text()
    (tmp_path / "stack.json").write_text(text)
    assert home.running() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1}', "nonsense"])
def test_a_damaged_announcement_is_no_stack(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    with home.lock():
        (tmp_path / "stack.json").write_text(text)
        assert home.running() is None


def test_a_second_lock_is_refused_and_names_the_process(tmp_path: Path) -> None:
    refused = pytest.raises(ConfigurationError, match=r"process \d+\) already runs")
    with Home(tmp_path).lock(), refused, Home(tmp_path).lock():
        pass


def test_logs_are_rotated_and_the_oldest_dropped(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for number in range(6):
        home.log("api").write_text(str(number))
    texts = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert texts == {"api.log": "5", "api.log.1": "4", "api.log.2": "3", "api.log.3": "2"}


def test_frames_lie_in_the_home_when_shared_memory_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "left-over").write_text("")
    with Home(tmp_path).frames(1 << 60) as folder:
        assert folder == tmp_path / "frames"
        assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_frames_of_a_killed_launcher_are_removed_by_the_next_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    killed, living = Home(tmp_path / "killed"), Home(tmp_path / "living")
    left_behind = killed.frames(1)
    abandoned = left_behind.__enter__()
    with living.lock(), living.frames(1) as in_use, Home(tmp_path / "third").frames(1):
        assert not abandoned.exists()
        assert in_use.exists()
    assert not in_use.exists()
