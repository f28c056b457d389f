"""Who may call."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import OPERATIONS
from api.auth import OPEN_PATHS, is_loopback
from api.services import EXTENSION
from tests.unit.api.requests import a_file, check_error
from tests.unit.api.test_errors import address


@pytest.fixture
def public(make_app: Callable[..., Flask]) -> Flask:
    return make_app(host="0.0.0.0")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def a_token(app: Flask) -> tuple[str, str]:
    key_id, token = app.extensions[EXTENSION].keys.create("test")
    return str(key_id), str(token)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", False),
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_loopback_names_are_known(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


def test_beyond_loopback_everything_but_health_needs_a_key(public: Flask) -> None:
    for operation in OPERATIONS:
        response = public.test_client().open(address(operation), method=operation.method)
        if operation.path in OPEN_PATHS:
            assert response.status_code in {200, 503}
        else:
            check_error(response, 401, "unauthorized")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_unknown_paths_are_not_told_apart_without_a_key(public: Flask) -> None:
    check_error(public.test_client().get("/v1/nothing"), 401, "unauthorized")


def test_a_key_opens_until_it_is_revoked(public: Flask) -> None:
    key_id, token = a_token(public)
    client = public.test_client()
    assert client.get("/v1/jobs", headers=bearer(token)).status_code == 200
    assert client.get("/v1/jobs", headers={"Authorization": f"bearer  {token}"}).status_code == 200
    public.extensions[EXTENSION].keys.revoke(key_id)
    check_error(client.get("/v1/jobs", headers=bearer(token)), 401, "unauthorized")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer fp_x", "Bearer \xff", "fp_"])
def test_another_authorization_opens_nothing(public: Flask, header: str) -> None:
    response = public.test_client().get("/v1/jobs", headers={"Authorization": header})
    check_error(response, 401, "unauthorized")


def test_idempotency_keys_belong_to_the_api_key(public: Flask) -> None:
    client = public.test_client()
    ids = set()
    for _ in range(2):
        _, token = a_token(public)
        headers = {**bearer(token), "Idempotency-Key": "same"}
        ids.add(client.post("/v1/jobs", data={"media": a_file()}, headers=headers).get_json()["id"])
    assert len(ids) == 2


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_this_machine_needs_no_key(client: FlaskClient, host: str) -> None:
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "192.168.0.1", "[::1"])
def test_a_name_that_a_stranger_points_at_this_machine_is_refused(client: FlaskClient, host: str) -> None:
    check_error(client.get("/v1/jobs", headers={"Host": host}), 400, "bad_input", "Host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "x"])
def test_a_page_of_a_stranger_is_refused(client: FlaskClient, origin: str) -> None:
    response = client.post("/v1/jobs", data={"media": a_file()}, headers={"Origin": origin})
    check_error(response, 400, "bad_input", "Origin")


def test_a_page_of_this_machine_is_let_in(client: FlaskClient) -> None:
    assert client.get("/v1/jobs", headers={"Origin": "http://localhost:3000"}).status_code == 200


def test_health_is_open_to_probes_by_any_name(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"Host": "pod-7"}).status_code == 200
