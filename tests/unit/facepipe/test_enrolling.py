"""Enrolling many, against a real HTTP server that follows a script."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facepipe.cli import main
from facepipe.client import Client
from facepipe.enrolling import Enroller, Outcome
from facepipe.errors import UnavailableError
from facepipe.roster import Person
from tests.unit.facepipe.conftest import Answer, Script

NOBODY = Answer(body={"items": [], "next_cursor": None})
ENROLLED = Answer(
    201,
    {
        "id": "s1",
        "name": "Ada",
        "samples": [{"id": "1", "det_score": 0.9, "quality": 0.5}],
        "rejected": [],
        "duplicates": [],
    },
)


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    with Client(script.url, retries=0) as made:
        yield made


def found(*subjects: dict[str, Any]) -> Answer:
    return Answer(body={"items": list(subjects), "next_cursor": None})


def ada(**more: Any) -> dict[str, Any]:
    return {"id": "s1", "name": "Ada", "external_id": None, "metadata": {}, **more}


def person(folder: Path, *pictures: bytes, external_id: str | None = "7") -> Person:
    images = []
    for number, picture in enumerate(pictures):
        images.append(folder / f"{number}.jpg")
        images[-1].write_bytes(picture)
    return Person("Ada", external_id, tuple(images))


def enroll(client: Client, who: Person, pauses: list[float] | None = None) -> Outcome:
    slept: list[float] = [] if pauses is None else pauses
    (outcome,) = Enroller(client, "staff", parallel=1, sleep=slept.append).run([who])
    return outcome


def test_somebody_new_is_enrolled(script: Script, client: Client, tmp_path: Path) -> None:
    script.answers = [NOBODY, NOBODY, ENROLLED]
    outcome = enroll(client, person(tmp_path, b"a"))
    assert (outcome.state, outcome.samples) == ("enrolled", 1)
    assert [request.path for request in script.requests] == [
        "/v1/galleries/staff/subjects?limit=1000&external_id=7",
        "/v1/galleries/staff/subjects?limit=1000&name=Ada",
        "/v1/galleries/staff/subjects",
    ]


def test_pictures_that_somebody_has_are_not_sent(script: Script, client: Client, tmp_path: Path) -> None:
    sample = {"id": "1", "det_score": 0.9, "quality": 0.5, "image_sha256": hashlib.sha256(b"a").hexdigest()}
    added = Answer(201, {"samples": [{"id": "2", "det_score": 0.9, "quality": 0.5}], "rejected": []})
    script.answers = [found(ada(external_id="7")), found(sample), added]
    outcome = enroll(client, person(tmp_path, b"a", b"b", b"b"))
    assert (outcome.state, outcome.samples, outcome.known) == ("added", 1, 2)
    assert script.requests[-1].path == "/v1/galleries/staff/subjects/s1/samples"
    assert script.requests[-1].body.count(b"filename=") == 1

    script.answers = [found(ada(external_id="7")), found(sample)]
    assert enroll(client, person(tmp_path, b"a")).state == "known"


def test_without_an_external_id_a_name_that_is_unique_is_enough(script: Script, client: Client, tmp_path: Path) -> None:
    added = Answer(201, {"samples": [{"id": "2", "det_score": 0.9, "quality": 0.5}], "rejected": []})
    script.answers = [found(ada(external_id="8")), NOBODY, added]
    assert enroll(client, person(tmp_path, b"a", external_id=None)).state == "added"
    script.answers = [found(ada(), ada(id="s2"))]
    outcome = enroll(client, person(tmp_path, b"a", external_id=None))
    assert outcome.state == "failed"
    assert "2 subjects are called 'Ada'" in outcome.reason


def test_a_namesake_with_another_external_id_is_another_person(script: Script, client: Client, tmp_path: Path) -> None:
    script.answers = [NOBODY, found(ada(external_id="8")), ENROLLED]
    assert enroll(client, person(tmp_path, b"a")).state == "enrolled"


def test_a_full_server_is_waited_for_and_what_arrived_is_not_sent_again(
    script: Script, client: Client, tmp_path: Path, an_error: Callable[..., Answer]
) -> None:
    pauses: list[float] = []
    sample = {"id": "2", "det_score": 0.9, "quality": 0.5}
    script.answers = [
        NOBODY,
        an_error(503, "unavailable", headers={"Retry-After": "7"}),
        found(ada()),
        Answer(201, {"samples": [], "rejected": [], "duplicates": ["0.jpg"]}),
        Answer(201, {"samples": [sample], "rejected": []}),
    ]
    who = person(tmp_path, *(bytes([number]) for number in range(9)), external_id=None)
    outcome = enroll(client, who, pauses)
    assert pauses == [7.0]
    assert (outcome.state, outcome.samples, outcome.known) == ("added", 1, 1)
    assert len(script.requests) == 5


def test_a_server_that_stays_away_ends_the_run(
    script: Script, client: Client, tmp_path: Path, an_error: Callable[..., Answer]
) -> None:
    script.answers = [NOBODY, NOBODY]
    for _ in range(4):
        script.answers += [an_error(503, "unavailable"), NOBODY, NOBODY]
    script.answers.append(an_error(503, "unavailable"))
    with pytest.raises(UnavailableError):
        enroll(client, person(tmp_path, b"a"))


def test_refused_and_unreadable_pictures_are_named(
    script: Script, client: Client, tmp_path: Path, an_error: Callable[..., Answer]
) -> None:
    refusal = an_error(422, "no_face")
    assert isinstance(refusal.body, dict)
    refusal.body["rejected"] = [{"file": "0.jpg", "code": "no_face", "message": "No face."}]
    script.answers = [NOBODY, NOBODY, refusal]
    who = person(tmp_path, b"a")
    outcome = enroll(client, Person(who.name, who.external_id, (*who.images, tmp_path / "gone.jpg")))
    assert (outcome.state, outcome.samples) == ("failed", 0)
    assert sorted((one.file, one.code) for one in outcome.rejected) == [
        ("0.jpg", "no_face"),
        ("gone.jpg", "unreadable"),
    ]


def test_the_command_tells_what_became_of_everybody(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Ada_1.jpg").write_bytes(b"a")
    (tmp_path / "people" / ".hidden").touch()
    gallery = {"name": "staff", "model_id": "m", "subject_count": 0, "sample_count": 0}
    script.answers = [Answer(201, {**gallery, "created_at": "2026-11-20T00:00:00Z"}), NOBODY, NOBODY, ENROLLED]
    report = tmp_path / "report.json"
    arguments = ["enroll", str(tmp_path / "people"), "-g", "staff", "--json", "--url", script.url]
    assert main([*arguments, "--report", str(report)]) == 0
    captured = capsys.readouterr()
    (document,) = map(json.loads, captured.out.splitlines())
    assert (document["external_id"], document["state"], document["samples"]) == ("Ada", "enrolled", 1)
    assert "1 enrolled with 1 sample, 0 known before, 0 failed" in captured.err
    assert "1 hidden" in captured.err
    written = json.loads(report.read_text())
    assert (written["refused"], written["totals"]["samples"], written["is_complete"]) == ([], 1, True)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["enroll", "-g", "g"], "either a folder or a --manifest"),
        (["enroll", "x", "--manifest", "y", "-g", "g"], "either a folder or a --manifest"),
        (["enroll", ".", "-g", "g"], "has no JPEG, PNG or WebP"),
        (["enroll", "--manifest", "none.csv", "-g", "g"], "none.csv"),
        (["gallery", "import", "none.zip"], "none.zip"),
        (["gallery", "import", ".", "--format", "folder"], "--gallery NAME"),
        (["gallery", "import", "."], "no SHA256SUMS"),
    ],
)
def test_a_mistake_is_one_clear_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
