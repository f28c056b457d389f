"""Choosing over HTTP how a gallery is searched."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.services import Services
from common.store.galleries import NewSample, NewSubject
from tests.unit.api.requests import check_error

URL = "/v1/galleries/staff/index"
EXACT = {
    "kind": "exact",
    "state": "ready",
    **dict.fromkeys(("recall", "min_recall", "measured_at", "built", "job_id")),
}


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


def enrol(services: Services) -> None:
    sample = NewSample("00000000-0000-0000-0000-000000000002", 0.9, 0.9, "k", [1.0, 0.0])
    person = NewSubject("00000000-0000-0000-0000-000000000001", "Ada", None, {})
    services.galleries.add_subject("staff", "test-model", person, [sample])


def test_a_gallery_is_searched_exactly_unless_asked_otherwise(client: FlaskClient) -> None:
    assert client.get("/v1/galleries/staff").get_json()["index"] == EXACT
    assert client.patch(URL, json={"kind": "exact"}).get_json()["index"] == EXACT


def test_an_index_is_asked_for_and_given_up(client: FlaskClient, services: Services) -> None:
    enrol(services)
    answer = client.patch(URL, json={"kind": "hnsw", "priority": "high"})
    assert answer.status_code == 200
    index = answer.get_json()["index"]
    assert (index["kind"], index["state"], index["min_recall"], index["recall"]) == ("hnsw", "building", 0.99, None)
    job = services.jobs.get(index["job_id"])
    assert (job["kind"], job["model_id"], job["options"]["min_recall"]) == ("index", "test-model", 0.99)
    assert client.get("/v1/jobs?kind=index").get_json()["items"][0]["id"] == index["job_id"]
    check_error(client.patch(URL, json={"kind": "hnsw"}), 409, "conflict")
    line = client.get("/v1/audit?action=change_index").get_json()["items"][0]
    assert (line["gallery"], line["job_id"]) == ("staff", index["job_id"])
    assert client.patch(URL, json={"kind": "exact"}).get_json()["index"] == EXACT
    assert client.patch(URL, json={"kind": "hnsw", "min_recall": 0.5}).get_json()["index"]["min_recall"] == 0.5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "ivfflat"}, "kind"),
        ({"kind": "hnsw", "min_recall": 0}, "min_recall"),
        ({"kind": "hnsw", "min_recall": 1.1}, "min_recall"),
        ({"kind": "exact", "min_recall": 0.9}, None),
    ],
)
def test_what_is_no_index_is_refused(client: FlaskClient, body: dict[str, Any], field: str | None) -> None:
    check_error(client.patch(URL, json=body), 400, "bad_input", field)


def test_nothing_is_indexed_of_nobody_or_nowhere(client: FlaskClient) -> None:
    check_error(client.patch(URL, json={"kind": "hnsw"}), 409, "conflict")
    for kind in ("exact", "hnsw"):
        check_error(client.patch("/v1/galleries/absent/index", json={"kind": kind}), 404, "not_found", "gallery")
