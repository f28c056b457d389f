"""What comes in as a body, well formed and not; nothing that is refused stays on the disk."""

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.requests import a_file, check_error, stored_files

BOUNDARY = "multipart/form-data; boundary=b"
PART = '--b\r\nContent-Disposition: form-data; name="media"; filename="a"\r\n\r\ndata'


@pytest.fixture(autouse=True)
def _nothing_refused_stays(tmp_path: Path) -> Any:
    yield
    assert stored_files(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", BOUNDARY),
        (b"garbage", BOUNDARY),
        (PART.encode(), BOUNDARY),
        (f"{PART}\r\n--b".encode(), BOUNDARY),
        (f"{PART}\r\n--other--\r\n".encode(), BOUNDARY),
        (f"{PART}\r\n--b--\r\n".encode(), "multipart/form-data"),
        (f"{PART}\r\n--b--\r\n".encode(), "multipart/form-data; boundary=ü"),
        (b"--b\r\n\r\ndata\r\n--b--\r\n", BOUNDARY),
        (b"--b\r\nContent-Disposition: nonsense\r\n\r\ndata\r\n--b--\r\n", BOUNDARY),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\ndata\r\n--b--\r\n", BOUNDARY),
        (b"--b--\r\n", BOUNDARY),
    ],
)
def test_a_broken_multipart_body_is_refused(client: FlaskClient, body: bytes, content_type: str) -> None:
    response = client.post("/v1/jobs", data=body, content_type=content_type)
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "bad_input")
    assert client.get("/v1/jobs").get_json()["items"] == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
def test_another_content_type_is_refused(client: FlaskClient, content_type: str) -> None:
    response = client.post("/v1/jobs", data=b"media=x", content_type=content_type)
    check_error(response, 415, "unsupported_media_type")


def test_a_missing_part_is_named(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", data={"priority": "low"}, content_type="multipart/form-data")
    check_error(response, 400, "bad_input", "media")
    check_error(client.post("/v1/compare", data={"source": a_file()}), 400, "bad_input", "target")


def test_text_where_a_file_belongs_is_named(client: FlaskClient) -> None:
    response = client.post("/v1/detect", data={"image": "file.jpg"}, content_type="multipart/form-data")
    document = check_error(response, 400, "bad_input", "image")
    assert "file part" in document["error"]["message"]


def test_a_file_where_text_belongs_is_named(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", data={"media": a_file(), "priority": a_file()})
    check_error(response, 400, "bad_input", "priority")


def test_a_part_given_twice_is_named(client: FlaskClient) -> None:
    check_error(client.post("/v1/detect", data={"image": [a_file(), a_file()]}), 400, "bad_input", "image")
    response = client.post("/v1/jobs", data={"media": a_file(), "priority": ["low", "high"]})
    check_error(response, 400, "bad_input", "priority")


def test_an_empty_file_is_refused(client: FlaskClient) -> None:
    check_error(client.post("/v1/jobs", data={"media": a_file(b"")}), 400, "empty_file", "media")
    check_error(client.post("/v1/detect", data={"image": a_file(b"")}), 400, "empty_file", "image")


def test_a_form_without_a_chosen_file_is_told_so(client: FlaskClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="media"; filename=""\r\n\r\n\r\n--b--\r\n'
    check_error(client.post("/v1/jobs", data=body, content_type=BOUNDARY), 400, "bad_input", "media")


@pytest.mark.parametrize(("url", "part", "limit"), [("/v1/detect", "image", 5000), ("/v1/jobs", "media", 200_000)])
def test_a_file_beyond_its_limit_is_refused_while_it_comes(
    client: FlaskClient, url: str, part: str, limit: int
) -> None:
    check_error(client.post(url, data={part: a_file(b"x" * (limit + 1))}), 413, "too_large")


def test_a_file_at_its_limit_is_let_in(client: FlaskClient) -> None:
    response = client.post("/v1/jobs", data={"media": a_file(b"x" * 200_000)})
    assert response.status_code == 202
    client.delete(response.headers["Location"])


def test_a_huge_length_is_refused_before_anything_is_read(client: FlaskClient) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("the body was read")

    response = client.post(
        "/v1/jobs",
        input_stream=Unread(),
        content_type=BOUNDARY,
        environ_overrides={"CONTENT_LENGTH": str(10**15)},
    )
    check_error(response, 413, "too_large")


def test_a_body_shorter_than_its_length_is_refused(client: FlaskClient) -> None:
    whole = f"{PART}\r\n--b--\r\n".encode()
    response = client.post(
        "/v1/jobs", input_stream=io.BytesIO(PART.encode()), content_type=BOUNDARY, content_length=len(whole)
    )
    assert response.status_code == 400


def test_a_chunked_upload_has_the_same_limit(client: FlaskClient) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="media"; filename="a"\r\n\r\n'
    response = client.post(
        "/v1/jobs",
        input_stream=io.BytesIO(head + b"x" * 300_000),
        content_type=BOUNDARY,
        environ_overrides={"wsgi.input_terminated": True},
    )
    check_error(response, 413, "too_large")


def test_too_many_files_are_refused(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})
    data = {"name": "Ada", "images": [a_file() for _ in range(5)]}
    check_error(client.post("/v1/galleries/staff/subjects", data=data), 413, "too_large")


def test_a_long_text_field_is_refused(client: FlaskClient) -> None:
    data = {"media": a_file(), "gallery": "x" * 600_000}
    check_error(client.post("/v1/jobs", data=data), 413, "too_large")


def test_an_upload_waits_outside_of_the_store_and_is_gone_after_a_defect(
    client: FlaskClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def fail(*_: object, **__: object) -> None:
        seen.append(stored_files(tmp_path))
        raise RuntimeError("a defect")

    monkeypatch.setattr("api.routes.jobs.submit", fail)
    check_error(client.post("/v1/jobs", data={"media": a_file()}), 500, "internal")
    assert len(seen[0]) == 1
    assert seen[0][0].startswith("incoming/")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"name": "\\ud800"}', b'{"\\ud800": 1}', b"[" * 100_000, b"{}x"],
)
def test_a_body_that_is_no_json_object_is_refused(client: FlaskClient, body: bytes) -> None:
    response = client.post("/v1/galleries", data=body, content_type="application/json")
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "bad_input")


def test_a_large_json_body_is_refused(client: FlaskClient) -> None:
    body = b'{"name": "' + b"x" * (2 << 20) + b'"}'
    check_error(client.post("/v1/galleries", data=body, content_type="application/json"), 413, "too_large")
