"""Export, import, erasing and the audit over HTTP."""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import OPERATIONS
from api.services import Services
from common.contracts import Message
from tests.unit.api.requests import a_face, a_file, a_picture, check_error, stored_files

JPEG = b"\xff\xd8crop"
CROP = base64.b64encode(JPEG).decode()


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


@pytest.fixture
def ada(client: FlaskClient, pool: list[Message]) -> dict[str, Any]:
    """Ada with two samples."""
    pictures = [a_picture(a_face(crop=CROP)), a_picture(a_face(crop=CROP, embedding=[0.6, 0.8]))]
    images = [a_file(picture, f"{number}.jpg") for number, picture in enumerate(pictures)]
    form = {"name": "Zoë\u2028Ada", "external_id": "7", "metadata": '{"floor": 2}', "images": images}
    document: dict[str, Any] = client.post("/v1/galleries/staff/subjects", data=form).get_json()
    return document


def export(client: FlaskClient, name: str = "staff") -> list[dict[str, Any]]:
    response = client.get(f"/v1/galleries/{name}/export?label=staff.zip")
    assert response.status_code == 200
    assert response.mimetype == "application/x-ndjson"
    return [json.loads(line) for line in response.get_data().decode().splitlines()]


def moved(documents: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The only subject of an export as an import takes it, and its crops."""
    _, subject, *samples, _ = documents
    about = {name: subject[name] for name in ("id", "name", "external_id", "metadata")}
    names = ("id", "det_score", "quality", "image_sha256", "crop_sha256", "embeddings")
    listed = [{name: sample[name] for name in names} for sample in samples]
    return {**about, "samples": listed}, {one["id"]: base64.b64decode(one["crop"]) for one in samples}


def bring(client: FlaskClient, gallery: str, subject: dict[str, Any], crops: dict[str, bytes]) -> TestResponse:
    parts = [a_file(crop, f"{sample_id}.jpg") for sample_id, crop in crops.items()]
    return client.post(f"/v1/galleries/{gallery}/import", data={"subject": json.dumps(subject), "crops": parts})


def embeddings(services: Services, gallery: str) -> list[str]:
    with services.database.transaction() as cursor:
        cursor.execute(
            "select e.embedding::text as e from sample_embeddings e join galleries g on g.id = e.gallery_id"
            " where g.name = %s order by 1",
            (gallery,),
        )
        return [row["e"] for row in cursor.fetchall()]


def audit(client: FlaskClient, **query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/audit", query_string=query).get_json()["items"]
    return items


def test_an_export_has_everybody_with_crops_and_embeddings(client: FlaskClient, ada: dict[str, Any]) -> None:
    head, subject, *samples, end = export(client)
    assert (head["kind"], head["format"], head["version"]) == ("gallery", "facepipe-gallery", 1)
    assert (head["name"], head["model_id"]) == ("staff", "test-model")
    assert (subject["id"], subject["name"], subject["metadata"]) == (ada["id"], "Zoë\u2028Ada", {"floor": 2})
    assert {one["id"] for one in samples} == {one["id"] for one in ada["samples"]}
    for sample in samples:
        crop = base64.b64decode(sample["crop"])
        assert crop == JPEG
        assert hashlib.sha256(crop).hexdigest() == sample["crop_sha256"]
        (embedding,) = sample["embeddings"]
        data = base64.b64decode(embedding["float16"])
        assert hashlib.sha256(data).hexdigest() == embedding["sha256"]
        assert np.linalg.norm(np.frombuffer(data, "<f2").astype(float)) == pytest.approx(1, abs=1e-3)
    assert (end["kind"], end["subjects"], end["samples"]) == ("end", 1, 2)


def test_what_was_exported_comes_in_elsewhere_as_it_was(
    client: FlaskClient, ada: dict[str, Any], services: Services, tmp_path: Path
) -> None:
    subject, crops = moved(export(client))
    client.post("/v1/galleries", json={"name": "copy"})
    asked = client.post("/v1/galleries/copy/import", json={"subject": subject}).get_json()
    assert (asked["is_new"], asked["samples"], set(asked["missing"])) == (True, 0, set(crops))
    brought = bring(client, "copy", subject, crops).get_json()
    assert (brought["is_new"], brought["samples"], brought["missing"]) == (False, 2, [])
    assert brought["without_embedding"] == 0
    assert brought["id"] == asked["id"] != ada["id"]  # the original is still here
    assert embeddings(services, "copy") == embeddings(services, "staff")
    shown = client.get(f"/v1/galleries/copy/subjects/{brought['id']}").get_json()
    assert (shown["name"], shown["external_id"], shown["metadata"]) == ("Zoë\u2028Ada", "7", {"floor": 2})
    again = bring(client, "copy", subject, crops).get_json()
    assert (again["id"], again["samples"], again["missing"]) == (brought["id"], 0, [])
    assert len(stored_files(tmp_path)) == 4


def test_ids_are_kept_where_they_are_free(client: FlaskClient, ada: dict[str, Any]) -> None:
    subject, crops = moved(export(client))
    client.delete("/v1/galleries/staff")
    client.post("/v1/galleries", json={"name": "copy"})
    assert bring(client, "copy", subject, crops).get_json()["id"] == ada["id"]
    items = client.get(f"/v1/galleries/copy/subjects/{ada['id']}/samples").get_json()["items"]
    assert {one["id"] for one in items} == set(crops)


def spoiled(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(subject: dict[str, Any]) -> None:
        for sample in subject["samples"]:
            sample["embeddings"][0].update(changes)

    return spoil


@pytest.mark.parametrize(
    "changes",
    [
        {"model_id": "another-model"},
        {"sha256": "0" * 64},
        {"float16": "no base64!"},
        {"float16": "AAAA", "sha256": hashlib.sha256(b"\0\0\0").hexdigest()},
        {"float16": "AAAAAA==", "sha256": hashlib.sha256(bytes(4)).hexdigest()},
        {"float16": "AHwAAA==", "sha256": hashlib.sha256(base64.b64decode("AHwAAA==")).hexdigest()},
    ],
    ids=["model", "checksum", "base64", "length", "zero", "infinite"],
)
def test_an_embedding_that_cannot_be_trusted_is_left_out(
    client: FlaskClient, ada: dict[str, Any], services: Services, changes: dict[str, Any]
) -> None:
    subject, crops = moved(export(client))
    spoiled(**changes)(subject)
    client.post("/v1/galleries", json={"name": "copy"})
    brought = bring(client, "copy", subject, crops).get_json()
    assert (brought["samples"], brought["without_embedding"]) == (2, 2)
    assert embeddings(services, "copy") == []


def test_a_crop_that_is_not_the_exported_one_is_refused(
    client: FlaskClient, ada: dict[str, Any], services: Services
) -> None:
    subject, crops = moved(export(client))
    client.post("/v1/galleries", json={"name": "copy"})
    changed = {sample_id: crop + b"!" for sample_id, crop in crops.items()}
    check_error(bring(client, "copy", subject, changed), 400, "bad_input", "crops")
    check_error(bring(client, "copy", subject, {str(uuid.uuid4()): JPEG}), 400, "bad_input", "crops")
    for sample in subject["samples"]:
        sample["crop_sha256"] = hashlib.sha256(b"text").hexdigest()
    check_error(bring(client, "copy", subject, dict.fromkeys(crops, b"text")), 400, "bad_input", "crops")
    assert client.get("/v1/galleries/copy").get_json()["subject_count"] == 0


def test_a_taken_external_id_is_a_conflict(client: FlaskClient, ada: dict[str, Any]) -> None:
    subject, crops = moved(export(client))
    subject["id"] = str(uuid.uuid4())
    check_error(bring(client, "staff", subject, crops), 409, "conflict", "external_id")
    check_error(bring(client, "nowhere", subject, crops), 404, "not_found", "gallery")


def test_the_same_picture_is_enrolled_once(client: FlaskClient, ada: dict[str, Any], pool: list[Message]) -> None:
    url = f"/v1/galleries/staff/subjects/{ada['id']}/samples"
    known, new = a_picture(a_face(crop=CROP)), a_picture(a_face(crop=CROP, sharpness=0.9))
    asked = len(pool)
    images = [a_file(known, "again.jpg"), a_file(new, "new.jpg"), a_file(new, "twice.jpg")]
    added = client.post(url, data={"images": images}).get_json()
    assert (len(added["samples"]), added["rejected"], added["duplicates"]) == (1, [], ["again.jpg", "twice.jpg"])
    assert added["samples"][0]["image_sha256"] == hashlib.sha256(new).hexdigest()
    assert len(pool) == asked + 1  # what is known is not looked at again
    response = client.post(url, data={"images": [a_file(known, "again.jpg")]})
    assert (response.status_code, response.get_json()["duplicates"]) == (201, ["again.jpg"])
    assert len(client.get(url).get_json()["items"]) == 3


def test_subjects_are_found_by_name(client: FlaskClient, ada: dict[str, Any]) -> None:
    for name, found in (("Zoë\u2028Ada", [ada["id"]]), ("Ada", [])):
        items = client.get("/v1/galleries/staff/subjects", query_string={"name": name}).get_json()["items"]
        assert [one["id"] for one in items] == found


def test_somebody_is_erased_with_a_receipt(client: FlaskClient, ada: dict[str, Any], tmp_path: Path) -> None:
    export(client)
    url = f"/v1/galleries/staff/subjects/{ada['id']}"
    response = client.post(f"{url}/erase", headers={"X-Request-ID": "r-7"})
    receipt = response.get_json()
    assert response.status_code == 200
    assert (receipt["subject_id"], receipt["removed"]["samples"], receipt["request_id"]) == (ada["id"], 2, "r-7")
    assert [one["label"] for one in receipt["exports"]] == ["staff.zip"]
    assert stored_files(tmp_path) == []
    check_error(client.get(url), 404, "not_found")
    check_error(client.post(f"{url}/erase"), 404, "not_found")
    (line,) = audit(client, action="erase")
    assert line["receipt"] == receipt
    rest = {name: value for name, value in receipt.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == receipt["sha256"]


def test_the_audit_says_who_did_what_to_whom(client: FlaskClient, ada: dict[str, Any], pool: list[Message]) -> None:
    candidate = {"subject_id": ada["id"], "similarity": 0.9}
    picture = a_picture(a_face(candidates=[candidate]))
    form = {"image": a_file(picture)}
    client.post("/v1/galleries/staff/search", data=form, headers={"X-Request-ID": "r-search"})
    export(client)
    url = f"/v1/galleries/staff/subjects/{ada['id']}"
    client.patch(url, json={"name": "Ada"})
    client.delete(f"{url}/samples/{ada['samples'][0]['id']}")
    client.delete(url)
    client.delete("/v1/galleries/staff")
    lines = audit(client)
    assert [line["action"] for line in lines] == [
        "delete_gallery",
        "delete_subject",
        "delete_sample",
        "change_subject",
        "export",
        "search",
        "enroll",
        "create_gallery",
    ]
    assert {line["gallery"] for line in lines} == {"staff"}
    searched = lines[5]
    assert (searched["request_id"], searched["subject_ids"]) == ("r-search", [ada["id"]])
    assert searched["counts"] == {"faces": 1}
    assert [line["action"] for line in audit(client, subject=ada["id"])] == [
        *("delete_subject", "delete_sample", "change_subject", "search", "enroll")
    ]
    assert "Ada" not in json.dumps(lines)


def test_a_call_that_fails_leaves_no_line(client: FlaskClient) -> None:
    before = len(audit(client))
    check_error(client.delete("/v1/galleries/nowhere"), 404, "not_found", "gallery")
    check_error(client.get("/v1/galleries/nowhere/export"), 404, "not_found", "gallery")
    assert len(audit(client)) == before


@pytest.mark.parametrize(
    ("query", "field"),
    [({"since": "yesterday"}, "since"), ({"since": "2026-11-20T00:00:00"}, "since"), ({"subject": "x"}, "subject")],
)
def test_a_bad_question_to_the_audit_is_refused_by_field(
    client: FlaskClient, query: dict[str, str], field: str
) -> None:
    check_error(client.get("/v1/audit", query_string=query), 400, "bad_input", field)


def test_the_key_is_named(make_app: Callable[..., Flask]) -> None:
    public = make_app(host="0.0.0.0")
    key_id, token = public.extensions["facepipe"].keys.create("test")
    caller = public.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    caller.post("/v1/galleries", json={"name": "guests"}, headers=headers)
    (line,) = caller.get("/v1/audit?action=create_gallery&gallery=guests", headers=headers).get_json()["items"]
    assert line["key_id"] == key_id


def test_nothing_is_answered_that_could_not_be_written_down(
    client: FlaskClient, ada: dict[str, Any], services: Services
) -> None:
    with services.database.transaction() as cursor:
        cursor.execute("alter table audit add check (action <> 'search')")
    picture = a_picture(a_face(candidates=[{"subject_id": ada["id"], "similarity": 0.9}]))
    response = client.post("/v1/galleries/staff/search", data={"image": a_file(picture)})
    assert response.status_code == 500
    assert ada["id"] not in response.text


def people_calls() -> Iterator[str]:
    """Calls that change or look through a gallery."""
    for operation in OPERATIONS:
        is_change = operation.method != "GET" and operation.path.startswith("/v1/galleries")
        if is_change or operation.path.endswith(("/search", "/export")):
            yield operation.name


@pytest.mark.parametrize("name", sorted(people_calls()))
def test_every_call_that_touches_people_is_audited(name: str) -> None:
    (operation,) = (one for one in OPERATIONS if one.name == name)
    assert operation.audit is not None
