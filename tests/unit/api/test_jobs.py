"""Jobs over HTTP."""

import functools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.services import EXTENSION, Services
from common.settings import ApiSettings, Settings
from common.store.database import Database
from tests.unit.api.requests import a_file, check_error, stored_files


def submit(client: FlaskClient, data: bytes = b"media", key: str | None = None, **fields: Any) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/jobs", data={"media": a_file(data), **fields}, headers=headers)


def test_there_are_no_jobs_at_first(client: FlaskClient) -> None:
    assert client.get("/v1/jobs").get_json() == {"items": [], "next_cursor": None}


def test_a_job_is_accepted_with_its_media(client: FlaskClient, services: Services) -> None:
    response = submit(client, b"x" * 100_000)
    document = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == document["links"]["self"] == f"/v1/jobs/{document['id']}"
    assert document["state"] == "queued"
    assert services.blobs.read(f"jobs/{document['id']}/media") == b"x" * 100_000
    for link in ("self", "detections", "tracks", "appearances"):
        assert client.get(document["links"][link]).status_code == 200


def test_a_new_job_shows_its_resolved_options_and_no_progress(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff", "min_similarity": 0.3})
    url = submit(client, gallery="staff", sample_fps="2.5", priority="high").headers["Location"]
    job = client.get(url).get_json()
    assert job["options"] == {
        "gallery": "staff",
        "sample_fps": 2.5,
        "min_similarity": 0.3,
        "min_margin": 0.05,
        "limit": 5,
        "attributes": False,
        "priority": "high",
        "webhook_url": None,
    }
    assert job["progress"] == {"fraction": 0.0, "frames_done": 0, "frames_total": None, "faces": 0}
    assert (job["media"], job["error"], job["started_at"], job["finished_at"]) == (None, None, None, None)
    assert job["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("asked", "gallery", "setting", "resolved"),
    [
        ({}, None, None, 0.4),
        ({}, None, 0.35, 0.35),
        ({}, 0.3, 0.35, 0.3),
        ({"min_similarity": "0.2"}, 0.3, 0.35, 0.2),
        ({"min_similarity": "0"}, 0.3, 0.35, 0.0),
        ({"min_similarity": "-1"}, None, None, -1.0),
    ],
)
def test_min_similarity_is_the_callers_else_the_gallerys_else_the_servers_else_the_models(
    make_app: Callable[..., Flask],
    settings: Settings,
    asked: dict[str, Any],
    gallery: float | None,
    setting: float | None,
    resolved: float,
) -> None:
    client = make_app(match=settings.match.model_copy(update={"min_similarity": setting})).test_client()
    client.post("/v1/galleries", json={"name": "staff", "min_similarity": gallery})
    url = submit(client, gallery="staff", **asked).headers["Location"]
    assert client.get(url).get_json()["options"]["min_similarity"] == resolved


def test_the_row_carries_what_the_pools_need(client: FlaskClient, services: Services, database: Database) -> None:
    client.post("/v1/galleries", json={"name": "staff"})
    job_id = submit(client, gallery="staff", min_margin="0.1", limit="3").get_json()["id"]
    row = services.jobs.get(job_id)
    gallery_id = str(services.galleries.get("staff")["id"])
    assert row["options"] == {
        "gallery": "staff",
        "gallery_id": gallery_id,
        "min_similarity": 0.4,
        "min_margin": 0.1,
        "limit": 3,
        "sample_fps": 5.0,
        "model_id": "test-model",
        "attributes": False,
        "asked_min_similarity": None,
    }
    assert (str(row["gallery_id"]), row["model_id"], row["priority"]) == (gallery_id, "test-model", 6)
    assert row["blob_key"] == f"jobs/{job_id}/media"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_fps", "0"),
        ("sample_fps", "nan"),
        ("sample_fps", "121"),
        ("min_similarity", "nan"),
        ("min_similarity", "2"),
        ("min_margin", "-0.1"),
        ("limit", "0"),
        ("priority", "urgent"),
        ("gallery", ""),
        ("media_url", "https://example.org/a.mp4"),
        ("webhook_url", "not a URL"),
        ("colour", "red"),
        ("Ünknown", "x"),
    ],
)
def test_a_bad_option_is_refused_by_name_and_nothing_is_stored(
    client: FlaskClient, tmp_path: Path, field: str, value: str
) -> None:
    fields: dict[str, Any] = {field: value}
    check_error(submit(client, **fields), 400, "bad_input", field)
    assert stored_files(tmp_path) == []
    assert client.get("/v1/jobs").get_json()["items"] == []


@pytest.mark.parametrize("gallery", ["absent", "a b", "a\0b", "../x"])
def test_an_unknown_gallery_is_not_found_and_nothing_is_stored(
    client: FlaskClient, tmp_path: Path, gallery: str
) -> None:
    assert submit(client, gallery=gallery).status_code in {400, 404}
    assert stored_files(tmp_path) == []


def test_a_retry_gives_the_same_job_and_stores_nothing_again(client: FlaskClient, tmp_path: Path) -> None:
    first = submit(client, key="k-1", sample_fps="2")
    again = submit(client, key="k-1", sample_fps="2.0")
    assert again.status_code == 202
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert stored_files(tmp_path) == [f"jobs/{first.get_json()['id']}/media"]


@pytest.mark.parametrize("change", [{"data": b"other"}, {"sample_fps": "3"}])
def test_a_key_used_for_another_request_is_refused(client: FlaskClient, tmp_path: Path, change: dict[str, Any]) -> None:
    submit(client, key="k-1")
    check_error(submit(client, key="k-1", **change), 409, "idempotency_mismatch", "Idempotency-Key")
    assert len(stored_files(tmp_path)) == 1


@pytest.mark.parametrize("key", ["a b", "x" * 256, "ü"])
def test_a_malformed_key_is_refused(client: FlaskClient, key: str) -> None:
    check_error(submit(client, key=key), 400, "bad_input", "Idempotency-Key")


def test_a_full_house_refuses_before_and_after_the_upload(
    make_app: Callable[..., Flask], settings: Settings, tmp_path: Path
) -> None:
    limits = ApiSettings.model_validate({**settings.api.model_dump(), "max_open_jobs": 1})
    client = make_app(api=limits).test_client()
    accepted = submit(client, key="k")
    check_error(submit(client), 429, "overloaded")
    check_error(submit(client, key="other"), 429, "overloaded")
    assert submit(client, key="k").get_json() == accepted.get_json()
    assert len(stored_files(tmp_path)) == 1


def test_an_api_key_with_many_open_jobs_is_refused_and_told_its_limit(
    make_app: Callable[..., Flask], settings: Settings, tmp_path: Path
) -> None:
    limits = ApiSettings.model_validate({**settings.api.model_dump(), "max_open_jobs_per_key": 1})
    app = make_app(api=limits, host="0.0.0.0")
    keys = app.extensions[EXTENSION].keys
    first, second = ({"Authorization": f"Bearer {keys.create(name)[1]}"} for name in ("first", "second"))
    post = functools.partial(app.test_client().post, "/v1/jobs")
    assert post(data={"media": a_file(b"media")}, headers=first).status_code == 202
    refused = post(data={"media": a_file(b"media")}, headers=first)
    check_error(refused, 429, "overloaded")
    assert "may have 1 (max_open_jobs_per_key)" in refused.get_json()["error"]["message"]
    assert post(data={"media": a_file(b"media")}, headers=second).status_code == 202
    assert len(stored_files(tmp_path)) == 2


def test_a_failed_job_is_tried_again_while_its_media_is_there(
    client: FlaskClient, services: Services, database: Database
) -> None:
    url = submit(client).headers["Location"]
    check_error(client.post(f"{url}/retry"), 409, "conflict")
    with database.transaction() as cursor:
        cursor.execute("update steps set state = 'failed'")
        cursor.execute("update jobs set state = 'failed', finished_at = now()")
    again = client.post(f"{url}/retry").get_json()
    assert (again["state"], again["finished_at"]) == ("queued", None)
    with database.transaction() as cursor:
        cursor.execute("update steps set state = 'failed'")
        cursor.execute("update jobs set state = 'failed', finished_at = now()")
    services.blobs.delete(f"jobs/{again['id']}")
    check_error(client.post(f"{url}/retry"), 409, "conflict")


def test_a_job_by_address_stores_no_media(client: FlaskClient, services: Services, tmp_path: Path) -> None:
    response = client.post("/v1/jobs", json={"media_url": "https://93.184.215.14/a.mp4", "sample_fps": 1})
    assert response.status_code == 202
    row = services.jobs.get(response.get_json()["id"])
    assert (row["media_url"], row["media_sha256"]) == ("https://93.184.215.14/a.mp4", None)
    assert stored_files(tmp_path) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.mp4", "http://169.254.169.254/latest", "http://[::1]/a"])
def test_a_forbidden_address_is_refused_at_once(client: FlaskClient, url: str) -> None:
    response = client.post("/v1/jobs", json={"media_url": url})
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "forbidden_url")


@pytest.mark.parametrize(
    "body", [{}, {"media_url": ""}, {"media_url": "ftp://93.184.215.14/a"}, {"media_url": 5}, {"media_url": "x" * 3000}]
)
def test_a_missing_or_odd_address_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    assert client.post("/v1/jobs", json=body).status_code == 400


def test_a_gallery_of_another_model_is_refused(client: FlaskClient, services: Services) -> None:
    services.galleries.create(str(uuid.uuid4()), "old", "old-model", None)
    check_error(submit(client, gallery="old"), 409, "model_mismatch", "gallery")


def test_jobs_are_listed_by_pages_and_by_state(client: FlaskClient) -> None:
    ids = [submit(client).get_json()["id"] for _ in range(3)]
    client.post(f"/v1/jobs/{ids[0]}/cancel")
    first = client.get("/v1/jobs?limit=2").get_json()
    second = client.get("/v1/jobs", query_string={"limit": 2, "cursor": first["next_cursor"]}).get_json()
    assert [one["id"] for one in (*first["items"], *second["items"])] == ids[::-1]
    assert second["next_cursor"] is None
    assert [one["id"] for one in client.get("/v1/jobs?state=cancelled").get_json()["items"]] == [ids[0]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
        ("page=2", "page"),
    ],
)
def test_a_bad_query_is_refused_by_name(client: FlaskClient, query: str, field: str) -> None:
    check_error(client.get(f"/v1/jobs?{query}"), 400, "bad_input", field)


def test_a_job_is_cancelled_and_stays_so(client: FlaskClient) -> None:
    url = submit(client).headers["Location"]
    cancelled = client.post(f"{url}/cancel").get_json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert client.post(f"{url}/cancel").get_json() == cancelled


def test_a_job_that_has_ended_cannot_be_cancelled(client: FlaskClient, database: Database) -> None:
    url = submit(client).headers["Location"]
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = 'succeeded'")
    check_error(client.post(f"{url}/cancel"), 409, "conflict")


def test_erasing_a_job_erases_its_files(client: FlaskClient, services: Services, tmp_path: Path) -> None:
    job = submit(client).get_json()
    services.blobs.put(f"jobs/{job['id']}/tracks/0.thumb.jpg", b"jpeg")
    assert client.delete(job["links"]["self"]).status_code == 204
    assert stored_files(tmp_path) == []
    check_error(client.get(job["links"]["self"]), 404, "not_found")
    check_error(client.delete(job["links"]["self"]), 404, "not_found")


@pytest.mark.parametrize(
    ("state", "done", "total", "fraction"),
    [
        ("queued", 0, None, 0.0),
        ("running", 0, 0, 0.0),
        ("running", 50, 200, 0.25),
        ("running", 200, 200, 0.999),
        ("succeeded", 200, 200, 1.0),
        ("partial", 150, 200, 1.0),
        ("failed", 0, None, 0.0),
        ("cancelled", 50, 200, 0.25),
    ],
)
def test_progress_is_whole_only_at_the_end(
    client: FlaskClient, database: Database, state: str, done: int, total: int | None, fraction: float
) -> None:
    url = submit(client).headers["Location"]
    with database.transaction() as cursor:
        cursor.execute("update jobs set state = %s, frames_done = %s, frames_total = %s", (state, done, total))
    assert client.get(url).get_json()["progress"]["fraction"] == fraction


def test_a_partial_job_names_what_is_missing(client: FlaskClient, database: Database) -> None:
    url = submit(client).headers["Location"]
    with database.transaction() as cursor:
        cursor.execute(
            "update jobs set state = 'partial', error = %s::jsonb, media = %s::jsonb",
            (
                '{"code": "bad_media", "message": "1 of 2 segments failed.",'
                ' "ranges": [{"start_ms": 0, "end_ms": 5, "code": "bad_media", "message": "m"}]}',
                '{"kind": "video", "width_px": 640, "height_px": 480, "fps": 25, "duration_s": 1.5, "codec": "h264"}',
            ),
        )
    job = client.get(url).get_json()
    assert job["error"]["ranges"] == [{"start_ms": 0, "end_ms": 5, "code": "bad_media", "message": "m"}]
    seen = {"kind": "video", "width_px": 640, "height_px": 480, "fps": 25, "duration_s": 1.5}
    assert job["media"] == seen | {"detector_input_px": None}


def test_the_broker_is_not_needed_to_accept_a_job(make_app: Callable[..., Flask]) -> None:
    app = make_app(redis_url="redis://127.0.0.1:1/0")
    assert submit(app.test_client()).status_code == 202


def test_an_absent_database_is_told_without_its_address(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app(database_url="postgresql://secret-host.invalid/db?connect_timeout=1")
    document = check_error(submit(app.test_client()), 503, "unavailable")
    assert "secret-host" not in document["error"]["message"]
    assert app.extensions[EXTENSION].settings.database_url not in str(document)
    assert stored_files(tmp_path) == []
