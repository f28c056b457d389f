"""The client against a scripted server: what is sent, and how answers are read."""

import json
from collections.abc import Callable, Iterator

import pytest

from facepipe import Client
from facepipe.documents import Appearance, Face, Job
from facepipe.errors import ProtocolError, WaitTimeoutError
from tests.unit.facepipe.conftest import Answer, Script


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    with Client(script.url, "", retries=1) as made:
        yield made


def test_a_submission_that_is_repeated_keeps_its_idempotency_key(
    client: Client, script: Script, an_error: Callable[..., Answer]
) -> None:
    script.answers = [an_error(429, "overloaded"), Answer(202, {"id": "j", "state": "queued", "links": {}})]
    job = client.jobs.submit(b"bytes", gallery="staff", sample_fps=2.5)
    keys = [request.headers["idempotency-key"] for request in script.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert b"2.5" in script.requests[0].body
    assert (job.state, job.is_final) == ("queued", False)


def test_two_submissions_have_two_keys(client: Client, script: Script) -> None:
    script.answers = [Answer(202, {"id": str(n), "state": "queued"}) for n in range(2)]
    for _ in range(2):
        client.jobs.submit(b"bytes")
    assert len({request.headers["idempotency-key"] for request in script.requests}) == 2


def test_a_url_is_not_uploaded(client: Client, script: Script) -> None:
    script.answers = [Answer(202, {"id": "j", "state": "queued"})]
    client.jobs.submit("https://example.org/clip.mp4", priority="low")
    assert json.loads(script.requests[0].body) == {"media_url": "https://example.org/clip.mp4", "priority": "low"}


def test_lists_are_read_page_by_page(client: Client, script: Script) -> None:
    pages = [
        {"items": [], "next_cursor": "a"},
        {"items": [{"id": "1", "state": "queued"}], "next_cursor": "b"},
        {"items": [{"id": "2", "state": "failed"}], "next_cursor": None},
    ]
    script.answers = [Answer(body=page) for page in pages]
    assert [job.id for job in client.jobs.list(state="queued")] == ["1", "2"]
    assert [request.path for request in script.requests] == [
        "/v1/jobs?state=queued",
        "/v1/jobs?state=queued&cursor=a",
        "/v1/jobs?state=queued&cursor=b",
    ]


def test_a_list_that_is_none_is_named(client: Client, script: Script) -> None:
    script.answers = [Answer(body={"jobs": []})]
    with pytest.raises(ProtocolError):
        list(client.jobs.list())


def test_waiting_ends_with_the_job(client: Client, script: Script) -> None:
    seen: list[str] = []
    script.answers = [Answer(body={"id": "j", "state": state}) for state in ("queued", "partial")]
    assert client.jobs.wait("j", on_progress=lambda job: seen.append(job.state)).state == "partial"
    assert seen == ["queued"]


def test_waiting_gives_up_in_time(client: Client, script: Script) -> None:
    script.answers = [Answer(body={"id": "j", "state": "running"})]
    with pytest.raises(WaitTimeoutError, match="it goes on"):
        client.jobs.wait("j", timeout_s=0)


def test_fields_of_a_newer_server_are_ignored() -> None:
    job = Job.from_wire({"id": "j", "state": "queued", "colour": "blue", "progress": {"fraction": 0.5, "mood": 1}})
    assert job.progress.fraction == 0.5


@pytest.mark.parametrize("wire", [{}, {"id": "j"}, {"id": "j", "state": "queued", "progress": 3}])
def test_a_document_without_what_it_must_have_is_named(wire: dict[str, object]) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        Job.from_wire(wire)


def test_documents_go_to_json_and_back() -> None:
    face = {"box": [1, 2, 3, 4], "det_score": 0.9, "landmarks": [[1, 2]] * 5, "embedding": [0.6, 0.8]}
    once = Face.from_wire(face)
    assert Face.from_wire(json.loads(json.dumps(once.to_json()))) == once
    job = Job.from_wire({"id": "j", "state": "queued", "created_at": "2026-11-20T19:00:00Z"})
    assert job.created_at is not None
    assert job.created_at.tzinfo is not None
    assert Job.from_wire(json.loads(json.dumps(job.to_json()))) == job


def test_an_appearance_without_a_picture_needs_no_request(client: Client, script: Script) -> None:
    assert client.jobs.thumbnail(Appearance(None, "unknown 1", 0, 1, None, 1)) is None
    assert script.requests == []


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEPIPE_URL", raising=False)
    monkeypatch.setenv("FACEPIPE_PORT", "8123")
    assert Client().url == "http://127.0.0.1:8123/"
    monkeypatch.setenv("FACEPIPE_URL", "https://faces.example.org")
    assert Client().url == "https://faces.example.org/"
