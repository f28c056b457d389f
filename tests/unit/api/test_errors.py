"""One error shape on every path, whatever is sent there."""

import itertools
import uuid
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.app import OPERATIONS
from api.errors import STATUSES
from api.openapi import document_of
from api.operations import Operation
from common.errors import CODES
from tests.unit.api.requests import check_error

UNKNOWN = str(uuid.uuid4())
VALUES = {
    "gallery": "absent",
    "subject": UNKNOWN,
    "sample": UNKNOWN,
    "job": UNKNOWN,
    "webhook": UNKNOWN,
    "person": UNKNOWN,
    "track": "0",
    "crop": "0",
}
BODIES = [
    (b"", None),
    (b"garbage", "application/json"),
    (b"{}", "application/json"),
    (b"garbage", "multipart/form-data; boundary=b"),
    (b"--b--\r\n", "multipart/form-data; boundary=b"),
    (b"a=b", "application/x-www-form-urlencoded"),
    (b"\xff" * 100, "image/jpeg"),
]


def address(operation: Operation, **values: str) -> str:
    return operation.path.format(**{**VALUES, **values})


def with_path_parameters() -> Iterator[tuple[Operation, str]]:
    for operation, name in itertools.product(OPERATIONS, VALUES):
        if f"{{{name}}}" in operation.path:
            yield operation, name


@pytest.fixture
def declared(app: Flask) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    paths: dict[str, dict[str, dict[str, dict[str, object]]]] = document_of(app)["paths"]
    return paths


def test_every_code_has_a_status() -> None:
    assert set(STATUSES) == set(CODES)


def test_an_unknown_address_is_not_found(client: FlaskClient) -> None:
    for path in ("/", "/v1", "/v1/", "/v1/jobs/", "/v1//jobs", "/v1/jobs/x/../..", "/v2/jobs", "/docs/", "/\0"):
        check_error(client.get(environ_overrides={"PATH_INFO": path}), 404, "not_found")


def test_another_method_is_refused_and_the_right_ones_are_named(client: FlaskClient) -> None:
    for path in {operation.path for operation in OPERATIONS}:
        allowed = {operation.method for operation in OPERATIONS if operation.path == path}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} - allowed:
            response = client.open(path.format(**VALUES), method=method)
            check_error(response, 405, "method_not_allowed")
            assert set(response.headers["Allow"].split(", ")) >= allowed


def test_garbage_gets_a_declared_answer_and_never_finds_a_defect(
    client: FlaskClient, declared: dict[str, dict[str, dict[str, dict[str, object]]]]
) -> None:
    for operation, (body, content_type) in itertools.product(OPERATIONS, BODIES):
        described = declared[operation.path][operation.method.lower()]
        response = client.open(address(operation), method=operation.method, data=body, content_type=content_type)
        assert str(response.status_code) in described["responses"]
        assert response.status_code != 500
        if response.status_code >= 400:
            check_error(
                response,
                response.status_code,
                response.get_json()["error"]["code"],
                response.get_json()["error"].get("field"),
            )


@pytest.mark.parametrize("value", ["%00", "x" * 5000, "%F0%9F%99%82", "-1", "9" * 30, "..", "'", "1.5", " "])
def test_a_bad_id_is_not_found(client: FlaskClient, value: str) -> None:
    for operation, name in with_path_parameters():
        response = client.open(address(operation, **{name: value}), method=operation.method)
        assert response.status_code in {400, 404, 405, 415}
        assert set(response.get_json()) == {"error", "request_id"}


def test_a_defect_is_logged_and_not_shown(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("common.store.jobs.Jobs.get", fail)
    response = client.get(f"/v1/jobs/{UNKNOWN}", headers={"X-Request-ID": "trace-1"})
    document = check_error(response, 500, "internal")
    assert "secret" not in response.text
    assert document["request_id"] == "trace-1"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert (str(record.exc_info[1]), vars(record)["request_id"]) == ("secret detail", "trace-1")


@pytest.mark.parametrize("asked", ["abc-1.2_X", "x" * 64])
def test_a_plain_request_id_is_kept(client: FlaskClient, asked: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": asked}).headers["X-Request-ID"] == asked


@pytest.mark.parametrize("asked", ["", "a b", "x" * 65, "<script>", "ü"])
def test_another_request_id_is_replaced(client: FlaskClient, asked: str) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": asked}).headers["X-Request-ID"]
    assert given != asked
    assert len(given) == 32
