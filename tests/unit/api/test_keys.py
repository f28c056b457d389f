"""The front door for API keys."""

import json
from pathlib import Path

import pytest

from api.keys import main
from common.store.database import Database
from common.store.keys import Keys


@pytest.fixture(autouse=True)
def _settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPIPE_DATABASE_URL", database_url)


def test_no_keys_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "There are no keys.\n"
    assert main(["--json", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_key_is_made_shown_once_listed_and_revoked(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    assert main(["create", "ci", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert Keys(database).check(made["token"]) == made["id"]
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert made["id"] in listed
    assert "ci" in listed
    assert made["token"].rsplit("_", 1)[1] not in listed
    assert main(["revoke", made["id"]]) == 0
    assert Keys(database).check(made["token"]) is None
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["revoked_at"] is not None


def test_the_token_is_the_last_line_for_people(capsys: pytest.CaptureFixture[str], database: Database) -> None:
    assert main(["create", "ci"]) == 0
    assert Keys(database).check(capsys.readouterr().out.splitlines()[-1])


def test_an_unknown_key_cannot_be_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revoke", "x"]) == 1
    assert "no API key 'x'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["drop"], ["create"], ["revoke"], ["list", "x"]])
def test_a_wrong_question_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_running_stack_of_this_home_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> None:
    monkeypatch.delenv("FACEPIPE_DATABASE_URL")
    monkeypatch.setenv("FACEPIPE_HOME", str(tmp_path))
    assert main(["list"]) == 1
    assert "make up" in capsys.readouterr().err
    (tmp_path / "stack.json").write_text(json.dumps({"database_url": database_url}))
    assert main(["list"]) == 0
