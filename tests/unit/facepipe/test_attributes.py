"""Guesses in the client and on the command line, with a scripted server."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from facepipe import Client
from facepipe.cli import main
from facepipe.console import guess_text
from facepipe.documents import Appearance, Attributes, Face, Pose
from tests.unit.facepipe.conftest import Answer, Script

GUESS = {"age": 31.4, "gender": "female", "gender_score": 0.93}
BARE = {"box": [0, 0, 9, 9], "det_score": 0.9, "landmarks": [[1, 2]] * 5}
SEEN = {"subject_id": None, "name": "unknown 1", "start_ms": 0, "end_ms": 800, "best_similarity": None, "detections": 5}


def a_job(**more: Any) -> dict[str, Any]:
    return {"id": "j", "state": "succeeded", "progress": {"fraction": 1.0, "frames_done": 5, "faces": 5}, **more}


def test_a_face_is_read_with_whatever_was_guessed() -> None:
    wire = {
        **BARE,
        "attributes": GUESS,
        "pose": {"pitch": 1, "yaw": -20.5, "roll": 3},
        "landmarks_106": [[1, 2]] * 106,
        "landmarks_68": [[1, 2, 3]] * 68,
    }
    face = Face.from_wire(wire)
    assert face.attributes == Attributes(31.4, "female", 0.93)
    assert face.pose == Pose(1, -20.5, 3)
    assert face.landmarks_106 == ((1.0, 2.0),) * 106
    assert face.landmarks_68 == ((1.0, 2.0, 3.0),) * 68
    json.dumps(face.to_json())
    bare = Face.from_wire({**BARE, "landmarks": None})
    assert (bare.landmarks, bare.attributes, bare.pose) == ((), None, None)


@pytest.mark.parametrize(
    ("score", "text"), [(0.93, "female, about 31"), (0.8, "female, about 31"), (0.6, "female?, about 31")]
)
def test_a_doubtful_gender_is_marked(score: float, text: str) -> None:
    assert guess_text(Attributes(31.4, "female", score)) == text
    assert guess_text(None) is None


def test_the_wish_is_sent_only_where_there_is_one(script: Script, tmp_path: Path) -> None:
    with Client(script.url) as client:
        for asked in (True, False):
            script.answers += [Answer(body={"faces": [BARE]}) for _ in range(3)] + [Answer(202, a_job())] * 2
            client.detect(b"x", attributes=asked)
            client.embeddings(b"x", attributes=asked)
            client.search("staff", b"x", attributes=asked)
            client.jobs.submit(b"x", attributes=asked)
            client.jobs.submit("http://host/clip.mp4", attributes=asked)
    sent = [b"attributes" in request.body for request in script.requests]
    assert sent == [True] * 5 + [False] * 5
    assert json.loads(script.requests[4].body)["attributes"] is True


def run(script: Script, *arguments: str, answers: list[Answer]) -> int:
    script.answers += answers
    return main([*arguments, "--url", script.url])


@pytest.mark.parametrize("is_guessed", [True, False])
def test_results_have_a_column_of_guesses_where_there_are_any(
    script: Script, capsys: pytest.CaptureFixture[str], is_guessed: bool
) -> None:
    seen = [{**SEEN, "attributes": GUESS}, SEEN] if is_guessed else [SEEN]
    answers = [Answer(body=a_job()), Answer(body={"items": seen, "next_cursor": None})]
    assert run(script, "results", "j", answers=answers) == 0
    out = capsys.readouterr().out
    assert ("guess" in out, "female, about 31" in out) == (is_guessed, is_guessed)


def test_a_csv_ends_with_the_guesses(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    seen = [{**SEEN, "attributes": GUESS}, SEEN]
    answers = [Answer(body=a_job()), Answer(body={"items": seen, "next_cursor": None})]
    assert run(script, "results", "j", "--csv", answers=answers) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["age"], row["gender"], row["gender_score"]) for row in rows] == [("31.4", "female", "0.93"), ("",) * 3]


@pytest.mark.parametrize("command", [["detect"], ["embed"], ["search", "-g", "staff"]])
def test_a_picture_shows_guesses_where_they_were_asked_for(
    script: Script, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"x")
    found = {"faces": [{**BARE, "attributes": GUESS}], "min_similarity": 0.4, "model_id": "m"}
    assert run(script, *command, str(picture), "--attributes", answers=[Answer(body=found)]) == 0
    assert "female, about 31" in capsys.readouterr().out
    assert b"attributes" in script.requests[-1].body
    found["faces"] = [BARE]
    assert run(script, *command, str(picture), answers=[Answer(body=found)]) == 0
    assert "guess" not in capsys.readouterr().out


def test_an_appearance_without_a_guess_has_none() -> None:
    assert Appearance.from_wire(SEEN).attributes is None
