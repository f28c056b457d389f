"""Webhooks over HTTP: asked for with a job, listed, replayed; and the front door for their secret."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.services import Services
from api.webhooks import main
from common.settings import Settings
from tests.unit.api.requests import check_error, stored_files
from tests.unit.api.test_jobs import submit

HOOK = "http://127.0.0.1:9/hook"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def client(make_app: Callable[..., Flask], settings: Settings) -> FlaskClient:
    return make_app(webhook=settings.webhook.model_copy(update={"allow": "127.0.0.1:9"})).test_client()


def an_ended_job(client: FlaskClient) -> str:
    job_id: str = submit(client, webhook_url=HOOK).get_json()["id"]
    assert client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    return job_id


def items(client: FlaskClient, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/v1/webhooks{query}").get_json()["items"]
    return found


def test_there_are_no_webhooks_before_a_job_has_ended(client: FlaskClient) -> None:
    assert items(client) == []
    job = client.get(submit(client, webhook_url=HOOK).headers["Location"]).get_json()
    assert job["options"]["webhook_url"] == HOOK
    assert items(client) == []


def test_an_ended_job_has_one_that_is_pending(client: FlaskClient) -> None:
    job_id = an_ended_job(client)
    (webhook,) = items(client)
    assert webhook.pop("id")
    assert webhook.pop("created_at").endswith("Z")
    assert webhook.pop("next_at").endswith("Z")
    assert webhook == {
        "job_id": job_id,
        "url": HOOK,
        "state": "pending",
        "attempts": 0,
        "last_status": None,
        "last_error": None,
        "delivered_at": None,
    }
    assert items(client, "?state=delivered") == []
    assert [one["job_id"] for one in items(client, f"?state=pending&job={job_id}")] == [job_id]
    assert items(client, f"?job={UNKNOWN}") == []


@pytest.mark.parametrize("query", ["?state=lost", "?job=1", "?cursor=x"])
def test_a_bad_query_is_refused_by_name(client: FlaskClient, query: str) -> None:
    check_error(client.get(f"/v1/webhooks{query}"), 400, "bad_input", query[1:].partition("=")[0])


def test_a_webhook_that_was_delivered_may_be_replayed(client: FlaskClient, services: Services) -> None:
    an_ended_job(client)
    delivery = services.webhooks.claim(lease_s=60)
    assert delivery is not None
    services.webhooks.delivered(delivery, 204)
    (before,) = items(client)
    assert (before["state"], before["attempts"], before["last_status"], before["next_at"]) == (
        "delivered",
        1,
        204,
        None,
    )
    replayed = client.post(f"/v1/webhooks/{before['id']}/replay")
    assert (replayed.status_code, replayed.get_json()["state"]) == (200, "pending")
    again = services.webhooks.claim(lease_s=60)
    assert again is not None
    assert again.webhook_id == before["id"]


def test_an_unknown_webhook_is_not_found(client: FlaskClient) -> None:
    check_error(client.post(f"/v1/webhooks/{UNKNOWN}/replay"), 404, "not_found")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:10/", "forbidden_url"),
        ("http://169.254.169.254/latest/meta-data", "forbidden_url"),
        ("ftp://example.org/", "forbidden_url"),
        ("http://me:secret@127.0.0.1:9/", "forbidden_url"),
        ("http://", "bad_input"),
    ],
)
def test_a_url_that_may_not_be_reached_is_refused_with_the_job(
    client: FlaskClient, tmp_path: Path, url: str, code: str
) -> None:
    check_error(submit(client, webhook_url=url), 400, code, "webhook_url")
    check_error(
        client.post("/v1/jobs", json={"media_url": "http://8.8.8.8/a.mp4", "webhook_url": url}),
        400,
        code,
        "webhook_url",
    )
    assert stored_files(tmp_path) == []
    assert client.get("/v1/jobs").get_json()["items"] == []


def test_a_job_with_another_webhook_is_another_request(client: FlaskClient) -> None:
    first = submit(client, key="k", webhook_url=HOOK)
    assert submit(client, key="k", webhook_url=HOOK).get_json()["id"] == first.get_json()["id"]
    check_error(submit(client, key="k", webhook_url=f"{HOOK}/2"), 409, "idempotency_mismatch", "Idempotency-Key")


def test_the_secret_is_shown_and_stays(
    services: Services, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEPIPE_DATABASE_URL", database_url)
    assert main(["secret"]) == 0
    shown = capsys.readouterr().out.strip()
    assert shown == services.webhooks.secret("")
    assert main(["secret", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"secret": shown}
    monkeypatch.setenv("FACEPIPE_WEBHOOK__SECRET", "mine")
    assert main(["secret"]) == 0
    assert capsys.readouterr().out == "mine\n"
