"""Unknown people and footage over HTTP; jobs are stored as the pools would."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.services import Services
from common.contracts import Message
from common.store.people import assign_people
from tests.unit.api.requests import a_face, a_file, a_picture, check_error

SEARCH = "/v1/footage/search"


def finish(services: Services, *faces: Sequence[float], gallery: str | None = None) -> str:
    """A finished job of one track a face, all of them strangers, with their pictures."""
    job_id = str(uuid.uuid4())
    with services.database.transaction() as cursor:
        cursor.execute(
            "insert into jobs (id, state, priority, options, model_id, blob_key, gallery_id)"
            " values (%s, 'succeeded', 6, '{}', 'test-model', '', (select id from galleries where name = %s))",
            (job_id, gallery),
        )
        for track, face in enumerate(faces):
            cursor.execute(
                "insert into tracks (job_id, track, start_ms, end_ms, detections, quality, stranger, candidates, crops)"
                " values (%s, %s, %s, %s, 3, 0.5, %s, '[]', 1)",
                (job_id, track, 9000 * track, 9000 * track + 800, track + 1),
            )
            cursor.execute(
                "insert into track_embeddings (job_id, track, model_id, embedding) values (%s, %s, 'test-model', %s)",
                (job_id, track, str(list(face))),
            )
        assign_people(cursor, job_id, "test-model", lambda one: one.person_id if one.similarity > 0.8 else None)
    for track in range(len(faces)):
        services.blobs.put(f"jobs/{job_id}/tracks/{track}.0.jpg", b"crop %d" % track)
        services.blobs.put(f"jobs/{job_id}/tracks/{track}.thumb.jpg", b"thumb %d" % track)
    return job_id


def people(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/people", query_string=query).get_json()["items"]
    return found


@pytest.fixture(autouse=True)
def staff(client: FlaskClient) -> None:
    client.post("/v1/galleries", json={"name": "staff"})


def test_at_first_there_is_nobody(client: FlaskClient) -> None:
    assert people(client) == []
    check_error(client.get(f"/v1/people/{uuid.uuid4()}"), 404, "not_found")


def test_people_are_listed_and_shown(client: FlaskClient, services: Services) -> None:
    first, second = finish(services, [1, 0], [0, 1]), finish(services, [1, 0])
    ada, ben = people(client)
    assert (ada["jobs"], ada["tracks"], ada["name"]) == (2, 2, f"unknown {ada['number']}")
    assert (ada["subject_id"], ada["gallery"], ada["model_id"]) == (None, None, "test-model")
    assert client.get(f"/v1/people/{ada['id']}").get_json() == ada
    assert [one["id"] for one in people(client, order="last_seen")] == [ada["id"], ben["id"]]
    assert [one["id"] for one in people(client, min_jobs=2)] == [ada["id"]]
    seen = client.get(f"/v1/people/{ada['id']}/appearances").get_json()["items"]
    assert [(one["job_id"], one["person_id"]) for one in seen] == [(second, ada["id"]), (first, ada["id"])]
    assert client.get(ada["thumbnail_url"]).data == b"thumb 0"
    assert client.get(seen[0]["thumbnail_url"]).data == b"thumb 0"
    tracks = client.get(f"/v1/jobs/{first}/tracks").get_json()["items"]
    assert [(one["name"], one["person_id"]) for one in tracks] == [("unknown 1", ada["id"]), ("unknown 2", ben["id"])]


def test_a_person_is_named_once(client: FlaskClient, services: Services) -> None:
    jobs = [finish(services, [1, 0]), finish(services, [1, 0], gallery="staff")]
    client.post("/v1/galleries", json={"name": "guests"})
    finish(services, [1, 0], gallery="guests")
    (ada,) = people(client)
    url = f"/v1/people/{ada['id']}/name"
    answer = client.post(url, json={"gallery": "staff", "name": "Ada", "external_id": "a1"})
    assert answer.status_code == 201
    named = answer.get_json()
    assert (named["person"]["name"], named["person"]["gallery"]) == ("Ada", "staff")
    subject = named["subject"]
    assert (subject["name"], subject["external_id"], subject["sample_count"]) == ("Ada", "a1", 3)
    samples = client.get(f"/v1/galleries/staff/subjects/{subject['id']}/samples").get_json()["items"]
    assert client.get(samples[0]["crop_url"]).data == b"crop 0"
    rematch = services.jobs.get(named["rematch_job_id"])
    assert (rematch["kind"], rematch["options"]["job_ids"]) == ("rematch", sorted(jobs))
    check_error(client.post(url, json={"gallery": "staff", "name": "Ida"}), 409, "conflict")


def test_a_name_that_cannot_be_given_leaves_nothing(client: FlaskClient, services: Services) -> None:
    finish(services, [1, 0])
    (ada,) = people(client)
    url = f"/v1/people/{ada['id']}/name"
    check_error(client.post(url, json={"gallery": "absent", "name": "Ada"}), 404, "not_found", "gallery")
    check_error(client.post(url, json={"gallery": "staff"}), 400, "bad_input", "name")
    with services.database.transaction() as cursor:
        cursor.execute("insert into galleries (id, name, model_id) values (gen_random_uuid(), 'old', 'old-model')")
        cursor.execute(
            "insert into subjects (id, gallery_id, name, external_id)"
            " select gen_random_uuid(), id, 'Ben', 'a1' from galleries where name = 'staff'"
        )
    check_error(client.post(url, json={"gallery": "old", "name": "Ada"}), 409, "model_mismatch", "gallery")
    taken = client.post(url, json={"gallery": "staff", "name": "Ada", "external_id": "a1"})
    check_error(taken, 409, "conflict", "external_id")
    assert people(client) == [ada]
    assert list(services.blobs.list("galleries")) == []


def test_people_are_merged_and_split(client: FlaskClient, services: Services) -> None:
    first, second = finish(services, [1, 0]), finish(services, [0, 1])
    ada, ben = people(client, order="last_seen")[::-1]
    merged = client.post(f"/v1/people/{ben['id']}/merge", json={"into": ada["id"]}).get_json()
    assert (merged["id"], merged["tracks"]) == (ada["id"], 2)
    check_error(client.get(f"/v1/people/{ben['id']}"), 404, "not_found")
    check_error(client.post(f"/v1/people/{ada['id']}/merge", json={"into": ada["id"]}), 400, "bad_input", "into")
    out = client.delete(f"/v1/people/{ada['id']}/tracks/{second}/0").get_json()
    assert (out["tracks"], out["id"] != ada["id"]) == (1, True)
    check_error(client.delete(f"/v1/people/{ada['id']}/tracks/{first}/0"), 409, "conflict")


@pytest.mark.usefixtures("pool")
def test_footage_is_searched_with_the_largest_face(client: FlaskClient, services: Services) -> None:
    job = finish(services, [0.8, 0.6], [0, 1])
    small = a_face(box=[0, 0, 20, 20], embedding=[0.0, 1.0])
    document = client.post(SEARCH, data={"image": a_file(a_picture(small, a_face()))}).get_json()
    (found,) = document["items"]
    assert (found["job_id"], found["start_ms"], found["end_ms"], found["name"]) == (job, 0, 800, "unknown 1")
    assert found["similarity"] == pytest.approx(0.8, abs=1e-3)
    assert (document["found"], document["model_id"], document["min_similarity"]) == (1, "test-model", 0.4)
    check_error(client.post(SEARCH, data={"image": a_file(a_picture())}), 422, "no_face", "image")


def test_footage_is_searched_with_an_embedding_or_a_track(
    client: FlaskClient, services: Services, pool: list[Message]
) -> None:
    old = finish(services, [0, 1])
    job = finish(services, [1, 0], gallery="staff")

    def found(**body: Any) -> list[str]:
        return [one["job_id"] for one in client.post(SEARCH, json=body).get_json()["items"]]

    assert found(embedding=[7, 0]) == [job]
    assert found(job_id=job, track_id=0) == [job]
    assert sorted(found(embedding=[1, 1], min_similarity=0.7)) == sorted([job, old])
    assert found(embedding=[1, 1], gallery="staff") == [job]
    assert found(embedding=[1, 1], until="2020-01-01T00:00:00Z") == []
    assert found(embedding=[1, 1], limit=1, model="test-pack") == [job]
    assert pool == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"embedding": [1, 0], "job_id": str(uuid.uuid4()), "track_id": 0}, None),
        ({"job_id": str(uuid.uuid4())}, None),
        ({"embedding": [1, 0, 0]}, "embedding"),
        ({"embedding": [0, 0]}, "embedding"),
        ({"embedding": ["x"]}, "embedding.0"),
        ({"embedding": [1, 0], "since": "yesterday"}, "since"),
        ({"embedding": [1, 0], "since": "2026-01-01T00:00:00"}, "since"),
        ({"embedding": [1, 0], "limit": 0}, "limit"),
    ],
)
def test_a_bad_probe_is_refused(client: FlaskClient, body: dict[str, Any], field: str | None) -> None:
    check_error(client.post(SEARCH, json=body), 400, "bad_input", field)


def test_footage_of_what_is_not_there_is_not_found(client: FlaskClient) -> None:
    check_error(client.post(SEARCH, json={"embedding": [1, 0], "gallery": "absent"}), 404, "not_found", "gallery")
    probe = {"job_id": str(uuid.uuid4()), "track_id": 3}
    check_error(client.post(SEARCH, json=probe), 404, "not_found", "track")
    check_error(client.post(SEARCH, json={"embedding": [1, 0], "model": "absent"}), 409, "model_mismatch")
