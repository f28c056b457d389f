"""The command line without a server, or with a scripted one."""

import json
from pathlib import Path

import pytest

from facepipe.cli import main
from facepipe.commands.server import find_checkout
from facepipe.console import clock, printable
from tests.unit.facepipe.conftest import Answer, Script

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [(0, "0:00:00.000"), (999, "0:00:00.999"), (61_001, "0:01:01.001"), (36_000_000, "10:00:00.000")],
)
def test_media_time_is_readable(time_ms: int, text: str) -> None:
    assert clock(time_ms) == text


def test_a_name_cannot_repaint_the_terminal() -> None:
    assert printable("Zoë\n\x1b[31mred\x07") == "Zoë\n�[31mred�"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["submit"],
        ["submit", "--min-similarity", "2", "clip.mp4"],
        ["submit", "--min-similarity", "nan", "clip.mp4"],
        ["submit", "--sample-fps", "0", "clip.mp4"],
        ["enroll", "people"],
        ["jobs"],
    ],
)
def test_asking_wrongly_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: facepipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit", "none.mp4"], "none.mp4"),
        (["detect", "none.jpg"], "none.jpg"),
        (["enroll", "nowhere", "--gallery", "g"], "nowhere"),
        (["--help-me"], "usage"),
        (["jobs", "list", "--url", "ftp://x"], "is not a URL"),
        (["results", "j", "--json", "--csv"], "choose one"),
    ],
)
def test_a_mistake_is_one_clear_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert said in captured.err
    assert captured.out == ""


def test_a_server_that_is_away_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "list", "--url", "http://127.0.0.1:9"]) == 1
    assert "Is the server up" in capsys.readouterr().err


def test_an_unknown_job_is_status_2(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers = [Answer(404, {"error": {"code": "not_found", "message": "There is no job j."}})]
    assert main(["jobs", "show", "j", "--url", script.url]) == 2
    assert "There is no job j." in capsys.readouterr().err


def test_a_script_reads_one_document_a_line(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [{"id": str(n), "state": "queued"} for n in range(2)]
    script.answers = [Answer(body={"items": jobs, "next_cursor": None})]
    assert main(["jobs", "list", "--json", "--url", script.url]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["0", "1"]


def test_the_checkout_is_found_from_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACEPIPE_ROOT", raising=False)
    assert find_checkout(ROOT / "docs") == ROOT
    assert find_checkout(tmp_path) is None
    monkeypatch.setenv("FACEPIPE_ROOT", str(ROOT))
    assert find_checkout(tmp_path) == ROOT
    monkeypatch.setenv("FACEPIPE_ROOT", str(tmp_path))
    assert find_checkout(ROOT) is None


def test_the_servers_commands_need_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FACEPIPE_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json"]) == 2
    assert "FACEPIPE_ROOT" in capsys.readouterr().err
