"""What the commands about footage, unknown people and calibration send and print."""

import json
from pathlib import Path

import pytest

from facepipe.cli import main
from tests.unit.facepipe.conftest import Answer, Script

TIME = "2026-11-21T12:00:00Z"
PERSON = {
    "id": "p-1",
    "number": 12,
    "name": "unknown 12",
    "model_id": "m",
    "subject_id": None,
    "gallery": None,
    "tracks": 5,
    "jobs": 3,
    "first_seen_at": TIME,
    "last_seen_at": TIME,
    "thumbnail_url": "/v1/people/p-1/thumbnail.jpg",
}
SEEN = {
    "job_id": "j-1",
    "track_id": 4,
    "start_ms": 1000,
    "end_ms": 2500,
    "similarity": 0.71,
    "detections": 9,
    "subject_id": None,
    "person_id": "p-1",
    "name": "unknown 1",
    "thumbnail_url": "/v1/jobs/j-1/tracks/4/thumbnail.jpg",
}


def test_footage_is_searched_by_a_picture(script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "face.jpg"
    picture.write_bytes(b"picture")
    found = {"items": [SEEN], "found": 7, "model_id": "m", "min_similarity": 0.4}
    script.answers += [Answer(body=found), Answer(body=found)]
    arguments = ["search", str(picture), "--footage", "--since", "2026-11-01", "--url", script.url]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "0:00:01.000" in shown
    assert "1 appearance of 7" in shown
    assert (script.requests[0].path, b'name="since"' in script.requests[0].body) == ("/v1/footage/search", True)
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["person_id"] == "p-1"


def test_a_search_needs_a_gallery_or_footage(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "face.jpg", "--url", script.url]) == 2
    assert "--footage" in capsys.readouterr().err
    assert main(["search", "face.jpg", "--gallery", "g", "--since", "2026-11-01", "--url", script.url]) == 2
    assert script.requests == []


def test_people_are_listed_no_more_than_asked_for(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    page = {"items": [PERSON, {**PERSON, "id": "p-2"}], "next_cursor": None}
    script.answers += [Answer(body=page)]
    assert main(["people", "list", "--limit", "1", "--min-jobs", "2", "--json", "--url", script.url]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["p-1"]
    assert script.requests[0].path == "/v1/people?order=most_seen&min_jobs=2"


def test_a_person_is_named_and_told_how_to_go_on(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    subject = {"id": "s-1", "name": "Ada", "sample_count": 2}
    script.answers += [Answer(201, {"person": PERSON, "subject": subject, "rematch_job_id": "j-9"})]
    assert main(["people", "name", "p-1", "Ada", "--gallery", "staff", "--url", script.url]) == 0
    assert json.loads(script.requests[0].body) == {"gallery": "staff", "name": "Ada"}
    assert "facepipe watch j-9" in capsys.readouterr().out


@pytest.mark.parametrize("rate", ["0", "1", "-1", "nan", "often"])
def test_a_rate_lies_between_0_and_1(rate: str) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["calibrate", "--gallery", "staff", "--fmr", rate])
    assert refused.value.code == 2
