"""Alive, ready, and how much is going on."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from api.services import Services
from common.contracts import STAGES
from tests.unit.api.requests import a_file, check_error

PROCESSES = (*STAGES, "housekeeping")


def samples(client: FlaskClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def announce(services: Services, *names: str) -> None:
    for name in names:
        services.workers.seen(f"{name}@host", name, threads=2, device="cpu", model_ids=[])


def test_a_process_that_answers_is_alive(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}


def test_what_is_missing_is_named(client: FlaskClient, services: Services) -> None:
    document = check_error(client.get("/readyz"), 503, "unavailable")
    assert document["missing"] == [*(f"worker:{stage}" for stage in STAGES), "housekeeping"]
    announce(services, "decode", "detect", "match", "housekeeping")
    assert check_error(client.get("/readyz"), 503, "unavailable")["missing"] == ["worker:embed"]


def test_a_whole_house_is_ready(client: FlaskClient, services: Services) -> None:
    announce(services, *PROCESSES)
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.get_json() == {
        "status": "ready",
        "model_id": "test-model",
        "workers": dict.fromkeys(PROCESSES, 1),
    }


def test_a_worker_that_fell_silent_is_missing(client: FlaskClient, services: Services) -> None:
    announce(services, *PROCESSES)
    with services.database.transaction() as cursor:
        cursor.execute("update workers set seen_at = now() - interval '1 minute' where stage = 'detect'")
    assert check_error(client.get("/readyz"), 503, "unavailable")["missing"] == ["worker:detect"]


def test_absent_servers_are_named(make_app: Callable[..., Flask], empty_database_url: str) -> None:
    broken = make_app(database_url="postgresql://127.0.0.1:1/x", redis_url="redis://127.0.0.1:1/0").test_client()
    assert check_error(broken.get("/readyz"), 503, "unavailable")["missing"] == ["database", "broker"]
    assert broken.get("/healthz").status_code == 200
    assert value(samples(broken), "facepipe_database_up") == 0
    empty = make_app(database_url=empty_database_url).test_client()
    assert check_error(empty.get("/readyz"), 503, "unavailable")["missing"] == ["migrations"]


def test_an_idle_house_has_zeros_for_everything(client: FlaskClient) -> None:
    found = samples(client)
    assert value(found, "facepipe_database_up") == 1
    assert value(found, "facepipe_jobs", state="queued") == 0
    assert value(found, "facepipe_frames") == value(found, "facepipe_faces") == 0
    assert value(found, "facepipe_workers", stage="embed") == 0
    assert value(found, "facepipe_oldest_open_step_age_seconds", stage="decode") == 0


def test_work_is_counted_from_the_database(client: FlaskClient, services: Services) -> None:
    announce(services, *PROCESSES)
    for _ in range(2):
        client.post("/v1/jobs", data={"media": a_file()})
    with services.database.transaction() as cursor:
        cursor.execute("update jobs set frames_done = 10, faces = 3, created_at = now() - interval '1 hour'")
        cursor.execute("update steps set stage = 'embed', state = 'running'")
    found = samples(client)
    assert value(found, "facepipe_jobs", state="queued") == 2
    assert (value(found, "facepipe_frames"), value(found, "facepipe_faces")) == (20, 6)
    assert value(found, "facepipe_open_steps", stage="embed", state="running") == 2
    assert value(found, "facepipe_oldest_open_step_age_seconds", stage="embed") >= 3600
    assert value(found, "facepipe_worker_threads", stage="match") == 2


def test_requests_are_counted_by_route_and_strangers_make_no_new_labels(client: FlaskClient) -> None:
    client.get("/v1/jobs")
    client.get("/v1/jobs")
    client.get("/v1/galleries/a")
    client.get("/v1/galleries/b")
    for number in range(3):
        client.get(f"/nothing/{number}")
        client.open("/v1/jobs", method=f"BREW{number}")
    found = samples(client)
    name = "facepipe_http_requests_total"
    assert value(found, name, method="GET", route="/v1/jobs", status="200") == 2
    assert value(found, name, method="GET", route="/v1/galleries/<string:gallery>", status="404") == 2
    assert value(found, name, method="GET", route="other", status="404") == 3
    assert value(found, name, method="other", route="other", status="405") == 3
    assert value(found, "facepipe_http_request_seconds_count", method="GET", route="/v1/jobs") == 2


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_may_use_head(client: FlaskClient, services: Services, path: str) -> None:
    announce(services, *PROCESSES)
    assert client.head(path).status_code == 200
