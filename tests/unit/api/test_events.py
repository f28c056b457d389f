"""Following a job by Server-Sent Events."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.documents.jobs import Job
from api.errors import error_document
from api.services import Services
from api.streams import job_events
from common.settings import ApiSettings, Settings
from common.store.database import Database
from tests.unit.api.requests import a_file, check_error


@pytest.fixture
def job_id(client: FlaskClient) -> str:
    return str(client.post("/v1/jobs", data={"media": a_file()}).get_json()["id"])


def follow(client: FlaskClient, job_id: str, **headers: str) -> TestResponse:
    return client.get(f"/v1/jobs/{job_id}/events", headers=headers)


def events(response: TestResponse) -> Iterator[dict[str, Any]]:
    """Events as they come; comments and the reconnection time are left out."""
    for chunk in response.iter_encoded():
        lines = dict(line.split(": ", 1) for line in chunk.decode().splitlines() if line and not line.startswith(":"))
        if "data" in lines:
            yield {"id": lines.get("id"), "event": lines["event"], "data": json.loads(lines["data"])}


def update(database: Database, assignment: str) -> None:
    with database.transaction() as cursor:
        cursor.execute(f"update jobs set {assignment}")


def test_an_unknown_job_cannot_be_followed(client: FlaskClient) -> None:
    check_error(follow(client, str(uuid.uuid4())), 404, "not_found")


def test_every_change_is_told_until_the_end(client: FlaskClient, job_id: str, database: Database) -> None:
    response = follow(client, job_id)
    assert response.mimetype == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-store"
    stream = events(response)
    first = next(stream)
    assert (first["id"], first["event"], first["data"]["state"]) == ("0", "progress", "queued")
    update(database, "state = 'running', frames_total = 4, frames_done = 1")
    second = next(stream)
    assert (second["id"], second["data"]["progress"]["fraction"]) == ("1", 0.25)
    update(database, "state = 'succeeded', frames_done = 4")
    last = next(stream)
    assert (last["id"], last["event"], last["data"]["state"]) == ("2", "end", "succeeded")
    assert last["data"] == client.get(f"/v1/jobs/{job_id}").get_json()
    assert next(stream, None) is None


def test_a_client_that_comes_back_gets_only_what_is_new(client: FlaskClient, job_id: str, database: Database) -> None:
    update(database, "state = 'running'")
    stream = events(follow(client, job_id, **{"Last-Event-ID": "0"}))
    assert next(stream)["id"] == "1"
    known = events(follow(client, job_id, **{"Last-Event-ID": "1"}))
    told: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: told.append(next(known)))
    waiting.start()
    update(database, "frames_done = 2")
    waiting.join(timeout=30)
    assert [one["id"] for one in told] == ["2"]


@pytest.mark.parametrize("last", [None, "0", "1", "999"])
def test_a_job_that_has_ended_ends_at_once(
    client: FlaskClient, job_id: str, database: Database, last: str | None
) -> None:
    update(database, "state = 'failed'")
    headers = {} if last is None else {"Last-Event-ID": last}
    (only,) = events(follow(client, job_id, **headers))
    assert (only["event"], only["id"], only["data"]["state"]) == ("end", "1", "failed")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 40, "²"])
def test_an_event_id_of_another_stream_is_refused(client: FlaskClient, job_id: str, last: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last})
    check_error(response, 400, "bad_input", "Last-Event-ID")


def test_a_job_that_is_erased_ends_the_stream(client: FlaskClient, job_id: str) -> None:
    stream = events(follow(client, job_id))
    next(stream)
    client.delete(f"/v1/jobs/{job_id}")
    last = next(stream)
    assert (last["event"], last["data"]["error"]["code"]) == ("error", "not_found")
    assert last["data"]["request_id"]
    assert next(stream, None) is None


def test_silence_is_broken_by_comments(services: Services, job_id: str) -> None:
    stream = job_events(
        services.changes, job_id, revision=0, render=Job.from_row, render_error=error_document, heartbeat_s=0.01
    )
    assert next(stream).startswith("retry:")
    assert [next(stream) for _ in range(2)] == [": nothing new\n\n"] * 2


def test_streams_are_bounded_and_freed_when_the_client_leaves(
    make_app: Callable[..., Flask], settings: Settings
) -> None:
    limits = ApiSettings.model_validate({**settings.api.model_dump(), "max_event_streams": 2})
    client = make_app(api=limits).test_client()
    job_id = client.post("/v1/jobs", data={"media": a_file()}).get_json()["id"]
    before = threading.active_count()
    for _ in range(3):
        streams = [follow(client, job_id) for _ in range(2)]
        for stream in streams:
            next(events(stream))
        check_error(follow(client, job_id), 503, "unavailable")
        for stream in streams:
            stream.close()
            stream.close()
    assert threading.active_count() <= before + 1  # the one listener


def test_a_stream_that_nobody_reads_is_freed_too(client: FlaskClient, services: Services, job_id: str) -> None:
    for _ in range(services.settings.api.max_event_streams + 1):
        response = client.head(f"/v1/jobs/{job_id}/events")
        assert response.status_code == 200
        response.close()  # as every WSGI server does
