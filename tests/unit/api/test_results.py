"""Results of jobs over HTTP."""

import json
import uuid

import pytest
from flask.testing import FlaskClient

from api.services import Services
from common.store.database import Database
from tests.contract.test_results import a_stored_job, a_stored_subject, store_detection, store_track
from tests.unit.api.requests import check_error

NDJSON = "application/x-ndjson"


@pytest.fixture
def job_id(database: Database) -> str:
    return a_stored_job(database)


def test_a_new_job_has_no_results(client: FlaskClient, job_id: str) -> None:
    url = f"/v1/jobs/{job_id}"
    assert client.get(f"{url}/detections").get_json() == {"items": [], "next_cursor": None}
    assert client.get(f"{url}/tracks").get_json() == {"items": [], "next_cursor": None}
    assert client.get(f"{url}/appearances").get_json() == {"items": []}
    assert client.get(f"{url}/detections", headers={"Accept": NDJSON}).text == ""


def test_detections_show_boxes_and_landmarks_as_documented(
    client: FlaskClient, database: Database, job_id: str
) -> None:
    store_detection(database, job_id, 3)
    (item,) = client.get(f"/v1/jobs/{job_id}/detections").get_json()["items"]
    assert item == {
        "frame_index": 3,
        "media_time_ms": 600,
        "box": [1.5, 2, 3, 4],
        "det_score": 0.9,
        "landmarks": [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]],
        "track_id": None,
        "subject_id": None,
        "candidates": None,
    }


def test_pages_and_lines_hold_the_same_detections(client: FlaskClient, database: Database, job_id: str) -> None:
    for frame_index in range(7):
        store_detection(database, job_id, frame_index)
    url, items, cursor = f"/v1/jobs/{job_id}/detections", [], None
    while True:
        page = client.get(url, query_string={"limit": 3} | ({"cursor": cursor} if cursor else {})).get_json()
        items += page["items"]
        cursor = cursor_of_second = page["next_cursor"]
        if cursor is None:
            break
    lines = client.get(url, headers={"Accept": NDJSON})
    assert lines.mimetype == NDJSON
    assert [json.loads(line) for line in lines.text.splitlines()] == items
    assert len(items) == 7
    assert cursor_of_second is None
    first = client.get(f"{url}?limit=3").get_json()["next_cursor"]
    rest = client.get(url, query_string={"cursor": first, "limit": 2}, headers={"Accept": NDJSON})
    assert [json.loads(line) for line in rest.text.splitlines()] == items[3:5]


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/*", "text/html, */*;q=0.1"])
def test_json_is_the_default(client: FlaskClient, job_id: str, accept: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}/detections", headers={"Accept": accept})
    assert response.mimetype == "application/json"


def test_another_media_type_is_not_acceptable(client: FlaskClient, job_id: str) -> None:
    response = client.get(f"/v1/jobs/{job_id}/detections", headers={"Accept": "text/csv"})
    check_error(response, 406, "not_acceptable", "Accept")


@pytest.mark.parametrize("accept", ["application/json", NDJSON])
def test_an_error_comes_before_the_first_line(client: FlaskClient, accept: str) -> None:
    for query, status, code in (
        ("", 404, "not_found"),
        ("?limit=0", 400, "bad_input"),
        ("?cursor=x", 400, "bad_input"),
    ):
        response = client.get(f"/v1/jobs/{uuid.uuid4()}/detections{query}", headers={"Accept": accept})
        assert (response.status_code, response.get_json()["error"]["code"]) == (status, code)


def test_who_appears_when(client: FlaskClient, database: Database, job_id: str) -> None:
    ada = a_stored_subject(database)
    store_track(database, job_id, 0, ada, None)
    store_track(database, job_id, 1, None, 1)
    items = client.get(f"/v1/jobs/{job_id}/appearances").get_json()["items"]
    assert items[0] == {
        "subject_id": ada,
        "name": "Ada",
        "start_ms": 0,
        "end_ms": 900,
        "best_similarity": 0.5,
        "detections": 3,
        "thumbnail_url": f"/v1/jobs/{job_id}/tracks/0/thumbnail.jpg",
        "person_id": None,
    }
    assert (items[1]["subject_id"], items[1]["name"]) == (None, "unknown 1")
    found = client.get(f"/v1/galleries/staff/subjects/{ada}/appearances").get_json()
    assert found == {"items": [{**items[0], "job_id": job_id}], "next_cursor": None}


def test_guesses_are_shown_where_there_are_any(client: FlaskClient, database: Database, job_id: str) -> None:
    store_track(database, job_id, 0, a_stored_subject(database), None)
    store_track(database, job_id, 1, None, 1)
    with database.transaction() as cursor:
        for table in ("tracks", "appearances"):
            cursor.execute(f"update {table} set age = 31.44, female_score = 0.2 where stranger is null")
    for kind in ("tracks", "appearances"):
        first, second = client.get(f"/v1/jobs/{job_id}/{kind}").get_json()["items"]
        assert first["attributes"] == {"age": 31.4, "gender": "male", "gender_score": 0.8}
        assert "attributes" not in second


def test_pictures_are_where_the_documents_say(
    client: FlaskClient, database: Database, services: Services, job_id: str
) -> None:
    store_track(database, job_id, 4, None, 1)
    for name in ("4.thumb.jpg", "4.0.jpg", "4.1.jpg"):
        services.blobs.put(f"jobs/{job_id}/tracks/{name}", name.encode())
    (track,) = client.get(f"/v1/jobs/{job_id}/tracks").get_json()["items"]
    assert (track["track_id"], track["name"]) == (4, "unknown 1")
    urls = [track["thumbnail_url"], *track["crop_urls"]]
    answers = [client.get(url) for url in urls]
    assert [answer.data for answer in answers] == [b"4.thumb.jpg", b"4.0.jpg", b"4.1.jpg"]
    assert {answer.mimetype for answer in answers} == {"image/jpeg"}
    check_error(client.get(f"/v1/jobs/{job_id}/tracks/5/thumbnail.jpg"), 404, "not_found")
