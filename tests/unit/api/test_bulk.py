"""Bulk jobs over HTTP: accepted, refused, shown. What they do is told in tests/contract."""

import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.services import Services
from common.contracts import Message
from tests.unit.api.conftest import MODEL_ID
from tests.unit.api.requests import a_face, a_file, a_picture, check_error

STAFF = "/v1/galleries/staff"


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


def show(client: FlaskClient, location: str) -> dict[str, Any]:
    document: dict[str, Any] = client.get(location).get_json()
    return document


@pytest.mark.parametrize("model", ["test-pack", MODEL_ID])
def test_a_reindex_is_a_job_like_any_other(client: FlaskClient, model: str) -> None:
    response = client.post(f"{STAFF}/reindex", json={"model": model, "allow_missing": True, "priority": "high"})
    assert response.status_code == 202
    job = show(client, response.headers["Location"])
    assert (job["kind"], job["state"], job["model_id"], job["report"]) == ("reindex", "queued", MODEL_ID, None)
    assert job["progress"] == {"fraction": 0.0, "items_done": 0, "items_total": None, "eta_s": None}
    options = job["options"]
    assert (options["gallery"], options["allow_missing"], options["priority"]) == ("staff", True, "high")
    assert [one["id"] for one in client.get("/v1/jobs?kind=reindex").get_json()["items"]] == [job["id"]]
    assert client.get("/v1/jobs?kind=media").get_json()["items"] == []
    assert client.post(f"/v1/jobs/{job['id']}/cancel").get_json()["state"] == "cancelled"
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204


def test_a_reindex_for_a_model_that_nobody_has_says_what_to_do(client: FlaskClient) -> None:
    response = client.post(f"{STAFF}/reindex", json={"model": "absent"})
    check_error(response, 409, "model_mismatch")
    assert "facepipe models install" in response.get_json()["error"]["message"]


def test_a_dry_run_for_the_model_in_use_compares_nothing(client: FlaskClient) -> None:
    check_error(client.post(f"{STAFF}/reindex", json={"model": "test-pack", "dry_run": True}), 409, "conflict")


def test_one_reindex_of_a_gallery_at_a_time(client: FlaskClient) -> None:
    client.post(f"{STAFF}/reindex", json={"model": "test-pack"})
    check_error(client.post(f"{STAFF}/reindex", json={"model": "test-pack"}), 409, "conflict")
    check_error(client.post(f"{STAFF}/clean"), 409, "conflict")


def test_a_rollback_needs_a_former_index(client: FlaskClient, services: Services) -> None:
    check_error(client.post(f"{STAFF}/rollback", json={}), 409, "conflict")
    with services.database.transaction() as cursor:
        cursor.execute("update galleries set previous_model_id = 'gone-model'")
    assert show(client, STAFF)["previous_model_id"] == "gone-model"
    check_error(client.post(f"{STAFF}/rollback", json={}), 409, "model_mismatch")
    with services.database.transaction() as cursor:
        cursor.execute("update galleries set previous_model_id = %s", (MODEL_ID,))
    response = client.post(f"{STAFF}/rollback", json={})
    assert show(client, response.headers["Location"])["options"]["is_rollback"]


def test_cleaning_says_what_it_removed(client: FlaskClient) -> None:
    assert client.post(f"{STAFF}/clean").get_json() == {"samples": 0, "tracks": 0}


def test_a_rematch_is_accepted_with_its_choices(client: FlaskClient) -> None:
    subject = str(uuid.uuid4())
    asked = {"subjects": [subject], "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00+01:00"}
    response = client.post(f"{STAFF}/rematch", json=asked)
    assert response.status_code == 202
    job = show(client, response.headers["Location"])
    assert (job["kind"], job["options"]["subject_ids"], job["options"]["job_ids"]) == ("rematch", [subject], [])
    assert job["options"]["since"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"jobs": ["x"]},
        {"min_similarity": 2},
        {"nonsense": 1},
        {"webhook_url": "http://127.0.0.1/"},
    ],
)
def test_a_wrong_rematch_is_refused(client: FlaskClient, asked: dict[str, Any]) -> None:
    assert client.post(f"{STAFF}/rematch", json=asked).status_code == 400


def test_a_rematch_of_a_job_that_has_not_ended_is_refused(client: FlaskClient) -> None:
    job_id = client.post("/v1/jobs", data={"media": a_file(b"\0\0\0\x18ftypmp42")}).get_json()["id"]
    check_error(client.post(f"{STAFF}/rematch", json={"jobs": [job_id]}), 404, "not_found", "jobs")


@pytest.mark.parametrize("action", ["reindex", "rollback", "rematch", "clean"])
def test_an_unknown_gallery_is_not_found(client: FlaskClient, action: str) -> None:
    body = {"model": "test-pack"} if action == "reindex" else {}
    check_error(client.post(f"/v1/galleries/none/{action}", json=body), 404, "not_found", "gallery")


def test_calls_and_jobs_ask_for_the_model_of_the_gallery(
    client: FlaskClient, pool: list[Message], services: Services
) -> None:
    picture = a_picture(a_face(candidates=[]))
    assert client.post(f"{STAFF}/search", data={"image": a_file(picture)}).status_code == 200
    assert [message.options.model_id for message in pool] == [MODEL_ID]
    job_id = client.post(
        "/v1/jobs", data={"media": a_file(b"\0\0\0\x18ftypmp42"), "gallery": "staff", "min_similarity": "0.7"}
    ).get_json()["id"]
    options = services.jobs.get(job_id)["options"]
    assert (options["model_id"], options["asked_min_similarity"]) == (MODEL_ID, 0.7)


@pytest.mark.usefixtures("pool")
def test_enrolment_across_a_switch_is_asked_to_come_again(
    client: FlaskClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gallery goes over to another model between the measuring and the storing."""
    real = services.pools.ask

    def ask(*args: Any, **kwargs: Any) -> Any:
        answers = real(*args, **kwargs)
        with services.database.transaction() as cursor:
            cursor.execute("update galleries set model_id = 'new-model'")
        return answers

    monkeypatch.setattr(services.pools, "ask", ask)
    data = {"name": "Ada", "images": [a_file(a_picture(a_face()))]}
    response = client.post(f"{STAFF}/subjects", data=data)
    check_error(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"
    assert list(services.blobs.list("galleries")) == []
