"""Bulk jobs in the client and on the command line, against a scripted server."""

import json
from typing import Any

import pytest

from facepipe.cli import main
from tests.unit.facepipe.conftest import Answer, Script

ACCEPTED = {"id": "j1", "state": "queued", "links": {}}


def a_gallery(name: str) -> dict[str, Any]:
    created_at = "2026-11-20T12:00:00+00:00"
    return {"name": name, "model_id": "m", "subject_count": 0, "sample_count": 0, "created_at": created_at}


def galleries(*names: str) -> Answer:
    return Answer(body={"items": [a_gallery(name) for name in names], "next_cursor": None})


def ended(kind: str, report: dict[str, Any], *, state: str = "succeeded") -> Answer:
    job = {
        **ACCEPTED,
        "kind": kind,
        "state": state,
        "report": report,
        "options": {"gallery": "staff"},
        "progress": {"fraction": 1.0, "items_done": 5, "items_total": 5, "eta_s": None},
    }
    text = f"id: 1\nevent: end\ndata: {json.dumps(job)}\n\n"
    return Answer(body=text.encode(), headers={"Content-Type": "text/event-stream"})


REINDEX = {
    "from_model": "old",
    "to_model": "new",
    "min_similarity": {"before": 0.3, "after": 0.4},
    "samples": {
        "embedded": 5,
        "missing_crops": [],
        "compared": 5,
        "changed": 1,
        "answers": [{"before": "own", "after": "unknown", "count": 1}],
        "examples": [],
    },
    "tracks": {"embedded": 0, "missing_crops": []},
    "is_switched": True,
}


def test_galleries_are_chosen_by_pattern(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers += [galleries("staff-a", "staff-b", "guests"), Answer(202, ACCEPTED), Answer(202, ACCEPTED)]
    assert main(["reindex", "--gallery", "staff-*", "--model", "big", "--dry-run", "--url", script.url]) == 0
    asked = [(request.path, json.loads(request.body)) for request in script.requests[1:]]
    assert [path for path, _ in asked] == ["/v1/galleries/staff-a/reindex", "/v1/galleries/staff-b/reindex"]
    assert asked[0][1] == {
        "model": "big",
        "dry_run": True,
        "switch": "auto",
        "allow_missing": False,
        "priority": "low",
    }
    assert capsys.readouterr().out.count("Watch it with: facepipe watch j1") == 2


def test_a_pattern_that_fits_nothing_is_told(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers += [galleries("guests")]
    assert main(["reindex", "--gallery", "staff*", "--rollback", "--url", script.url]) == 2
    assert "No gallery is called 'staff*'" in capsys.readouterr().err


def test_waiting_ends_with_the_report(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers += [galleries("staff"), Answer(202, ACCEPTED), ended("reindex", REINDEX)]
    assert main(["reindex", "--all", "--model", "new", "--wait", "--url", script.url]) == 0
    said = capsys.readouterr().out
    assert "old (0.300) → new (0.400)" in said
    assert "1 of 5 are matched differently" in said
    assert "The gallery uses the new index." in said


def test_cleaning_says_what_went(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.answers += [galleries("staff"), Answer(body={"samples": 3, "tracks": 1})]
    assert main(["reindex", "--gallery", "staff", "--clean", "--url", script.url]) == 0
    assert "staff: removed embeddings of 3 samples and 1 track" in capsys.readouterr().out


def test_a_rematch_prints_who_is_somebody_else(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    change = {
        "job_id": "j0",
        "track_id": 0,
        "start_ms": 0,
        "end_ms": 1500,
        "before": {"subject_id": None, "name": "unknown 1", "similarity": 0.1},
        "after": {"subject_id": "s1", "name": "Ada", "similarity": 0.9},
    }
    report = {
        "jobs": 2,
        "tracks": 7,
        "changed_jobs": 1,
        "changed_tracks": 1,
        "changes": [change],
        "changes_left_out": 0,
        "skipped": [{"job_id": "j9", "reason": "No embeddings."}],
    }
    script.answers += [Answer(202, ACCEPTED), ended("rematch", report, state="partial")]
    arguments = ["rematch", "-g", "staff", "--job", "a", "--since", "2026-11-01T00:00:00+00:00", "--wait"]
    assert main([*arguments, "--url", script.url]) == 1
    body = json.loads(script.requests[0].body)
    assert (script.requests[0].path, body["jobs"]) == ("/v1/galleries/staff/rematch", ["a"])
    assert body["since"].startswith("2026-")
    printed = capsys.readouterr()
    assert "1 of 7 tracks in 1 of 2 jobs are somebody else now" in printed.out
    assert "unknown 1" in printed.out
    assert "Ada" in printed.out
    assert "j9: No embeddings." in printed.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["reindex", "--model", "x"],
        ["reindex", "--all"],
        ["reindex", "--all", "--model", "x", "--rollback"],
        ["rematch"],
        ["rematch", "-g", "g", "--since", "yesterday"],
    ],
)
def test_asking_wrongly_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: facepipe" in capsys.readouterr().err
