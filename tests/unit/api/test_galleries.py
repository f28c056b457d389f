"""Galleries, subjects and samples over HTTP."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.services import Services
from common.contracts import Message
from tests.unit.api.requests import a_bad_picture, a_face, a_file, a_picture, check_error, stored_files


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


def enrol(client: FlaskClient, *pictures: bytes, **fields: Any) -> TestResponse:
    images = [a_file(picture, f"{number}.jpg") for number, picture in enumerate(pictures)]
    return client.post("/v1/galleries/staff/subjects", data={"name": "Ada", "images": images, **fields})


def test_a_gallery_is_created_looked_at_listed_and_erased(client: FlaskClient) -> None:
    created = client.post("/v1/galleries", json={"name": "guests", "min_similarity": 0.5})
    assert created.status_code == 201
    assert created.headers["Location"] == "/v1/galleries/guests"
    document = created.get_json()
    assert {name: document[name] for name in ("name", "model_id", "min_similarity", "subject_count")} == {
        "name": "guests",
        "model_id": "test-model",
        "min_similarity": 0.5,
        "subject_count": 0,
    }
    assert client.get("/v1/galleries/guests").get_json() == document
    assert [one["name"] for one in client.get("/v1/galleries").get_json()["items"]] == ["guests", "staff"]
    assert client.delete("/v1/galleries/guests").status_code == 204
    check_error(client.get("/v1/galleries/guests"), 404, "not_found", "gallery")


def test_a_gallery_name_is_taken_once(client: FlaskClient) -> None:
    check_error(client.post("/v1/galleries", json={"name": "staff"}), 409, "conflict", "name")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": 5}, "name"),
        ({"name": "ok", "min_similarity": 1.01}, "min_similarity"),
        ({"name": "ok", "colour": "red"}, "colour"),
    ],
)
def test_a_bad_gallery_is_refused_by_field(client: FlaskClient, document: dict[str, Any], field: str) -> None:
    check_error(client.post("/v1/galleries", json=document), 400, "bad_input", field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_are_none_are_refused(client: FlaskClient, number: str) -> None:
    body = f'{{"name": "ok", "min_similarity": {number}}}'
    response = client.post("/v1/galleries", data=body, content_type="application/json")
    assert response.status_code == 400


def test_a_subject_is_enrolled_with_its_usable_pictures(
    client: FlaskClient, pool: list[Message], tmp_path: Path
) -> None:
    small = a_face(box=[0, 0, 30, 300])
    response = enrol(
        client,
        a_picture(a_face()),
        a_picture(),
        a_picture(a_face(), a_face()),
        a_picture(small),
        external_id="7",
        metadata='{"team": "engine"}',
    )
    document = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/galleries/staff/subjects/{document['id']}"
    assert (document["name"], document["external_id"], document["metadata"]) == ("Ada", "7", {"team": "engine"})
    assert document["sample_count"] == len(document["samples"]) == 1
    assert {one["file"]: one["code"] for one in document["rejected"]} == {
        "1.jpg": "no_face",
        "2.jpg": "several_faces",
        "3.jpg": "face_too_small",
    }
    assert client.get(document["samples"][0]["crop_url"]).data == b"jpeg"
    assert len(stored_files(tmp_path)) == 1
    assert {message.ref.until for message in pool} == {"embed"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (a_picture(), "no_face"),
        (a_picture(a_face(), a_face()), "several_faces"),
        (a_picture(a_face(box=[0, 0, 39.9, 100])), "face_too_small"),
        (a_picture(a_face(sharpness=0.1)), "face_too_blurred"),
        (a_picture(a_face(frontality=0.01)), "face_turned_away"),
        (a_bad_picture("bad_media"), "bad_media"),
        (a_bad_picture("too_large"), "too_large"),
        (a_bad_picture("empty_file"), "empty_file"),
    ],
)
@pytest.mark.usefixtures("pool")
def test_nobody_is_enrolled_without_a_usable_face(
    client: FlaskClient, tmp_path: Path, picture: bytes, code: str
) -> None:
    document = check_error(enrol(client, picture), 422, code, "images")
    assert [(one["file"], one["code"]) for one in document["rejected"]] == [("0.jpg", code)]
    assert client.get("/v1/galleries/staff/subjects").get_json()["items"] == []
    assert stored_files(tmp_path) == []


@pytest.mark.usefixtures("pool")
def test_several_reasons_are_told_picture_by_picture(client: FlaskClient) -> None:
    document = check_error(enrol(client, a_picture(), a_bad_picture("bad_media")), 422, "no_face", "images")
    assert [one["code"] for one in document["rejected"]] == ["no_face", "bad_media"]


@pytest.mark.usefixtures("pool")
def test_a_picture_at_the_very_bound_is_usable(client: FlaskClient) -> None:
    assert enrol(client, a_picture(a_face(box=[0, 0, 40, 40], sharpness=0.15))).status_code == 201


@pytest.mark.usefixtures("pool")
def test_a_refused_enrolment_keeps_no_crop(client: FlaskClient, tmp_path: Path) -> None:
    enrol(client, a_picture(a_face()), external_id="7")
    before = stored_files(tmp_path)
    check_error(enrol(client, a_picture(a_face()), external_id="7"), 409, "conflict", "external_id")
    assert stored_files(tmp_path) == before


@pytest.mark.usefixtures("pool")
def test_a_pool_of_another_model_enrols_nobody(client: FlaskClient) -> None:
    check_error(enrol(client, a_picture(a_face(), model_id="other")), 503, "unavailable")


def test_a_gallery_of_another_model_is_refused(client: FlaskClient, services: Services) -> None:
    services.galleries.create(str(uuid.uuid4()), "old", "old-model", None)
    data = {"name": "Ada", "images": [a_file()]}
    check_error(client.post("/v1/galleries/old/subjects", data=data), 409, "model_mismatch", "gallery")


def test_nobody_answering_is_told_as_such(client: FlaskClient, services: Services) -> None:
    services.pools._timeout_s = 0.1
    check_error(enrol(client, a_picture(a_face())), 503, "deadline_exceeded")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"external_id": ""}, "external_id"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": "[]"}, "metadata"),
        ({"metadata": '{"a": NaN}'}, "metadata"),
        ({"metadata": '{"a": 1e999}'}, "metadata"),
        ({"metadata": '{"a": "\\u0000"}'}, "metadata"),
        ({"metadata": '{"a": "\\ud800"}'}, "metadata"),
        ({"metadata": '{"a": "' + "x" * 17000 + '"}'}, "metadata"),
        ({"metadata": "[" * 100_000}, "metadata"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_of_a_subject_is_refused_by_name(client: FlaskClient, fields: dict[str, str], field: str) -> None:
    check_error(enrol(client, b"x", **fields), 400, "bad_input", field)


@pytest.mark.usefixtures("pool")
def test_a_subject_is_listed_changed_and_erased(client: FlaskClient, tmp_path: Path) -> None:
    subject = enrol(client, a_picture(a_face()), external_id="7").get_json()
    url = f"/v1/galleries/staff/subjects/{subject['id']}"
    assert client.get("/v1/galleries/staff/subjects?external_id=7").get_json()["items"][0]["id"] == subject["id"]
    assert client.get("/v1/galleries/staff/subjects?external_id=8").get_json()["items"] == []
    changed = client.patch(url, json={"name": "Ada L.", "external_id": None, "metadata": {"a": 1}}).get_json()
    assert (changed["name"], changed["external_id"], changed["metadata"]) == ("Ada L.", None, {"a": 1})
    assert client.get(url).get_json() == changed
    assert client.get(f"{url}/appearances").get_json() == {"items": [], "next_cursor": None}
    assert client.delete(url).status_code == 204
    assert stored_files(tmp_path) == []
    for path in (url, f"{url}/samples", f"{url}/appearances"):
        check_error(client.get(path), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"name": None}, {"metadata": None}, {"id": "x"}, {"name": ""}, [], "x"])
def test_a_change_that_is_none_is_refused(client: FlaskClient, body: object) -> None:
    response = client.patch(f"/v1/galleries/staff/subjects/{uuid.uuid4()}", json=body)
    assert (response.status_code, response.get_json()["error"]["code"]) == (400, "bad_input")


@pytest.mark.usefixtures("pool")
def test_samples_are_added_and_erased(client: FlaskClient, tmp_path: Path) -> None:
    subject = enrol(client, a_picture(a_face())).get_json()
    url = f"/v1/galleries/staff/subjects/{subject['id']}/samples"
    added = client.post(url, data={"images": [a_file(a_picture(a_face(sharpness=0.6))), a_file(a_picture())]})
    assert added.status_code == 201
    assert [one["code"] for one in added.get_json()["rejected"]] == ["no_face"]
    assert len(client.get(url).get_json()["items"]) == len(stored_files(tmp_path)) == 2
    sample = added.get_json()["samples"][0]
    assert client.delete(f"{url}/{sample['id']}").status_code == 204
    assert len(client.get(url).get_json()["items"]) == len(stored_files(tmp_path)) == 1
    check_error(client.get(sample["crop_url"]), 404, "not_found")
    check_error(client.delete(f"{url}/{sample['id']}"), 404, "not_found")


@pytest.mark.usefixtures("pool")
def test_erasing_a_gallery_erases_every_crop(client: FlaskClient, tmp_path: Path) -> None:
    enrol(client, a_picture(a_face()), a_picture(a_face(sharpness=0.6)))
    assert len(stored_files(tmp_path)) == 2
    client.delete("/v1/galleries/staff")
    assert stored_files(tmp_path) == []
