"""Guesses are made only where they are asked for, and refused at the door where nothing can make them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.services import EXTENSION
from common.contracts import CallRef, Message
from tests.unit.api.conftest import write_pack
from tests.unit.api.requests import a_face, a_file, a_picture, check_error, stored_files

CALLS = {"/v1/detect": "embed", "/v1/embeddings": "embed", "/v1/galleries/staff/search": "match"}
GUESSES = {
    "attributes": {"age": 31.4, "gender": "female", "gender_score": 0.93},
    "pose": {"pitch": 1.0, "yaw": -20.5, "roll": 3.0},
    "landmarks_106": [[1.0, 2.0]] * 106,
    "landmarks_68": [[1.0, 2.0, 3.0]] * 68,
}


@pytest.fixture
def app(make_app: Callable[..., Flask], tmp_path: Path) -> Flask:
    """With a pack that can guess."""
    write_pack(tmp_path / "models" / "guessing", has_attributes=True)
    app = make_app(model_pack="guessing")
    app.test_client().post("/v1/galleries", json={"name": "staff"})
    return app


@pytest.mark.parametrize("url", CALLS)
def test_a_call_shows_what_was_guessed(client: FlaskClient, pool: list[Message], url: str) -> None:
    data = {"image": a_file(a_picture(a_face(candidates=[], **GUESSES))), "attributes": "true"}
    response = client.post(url, data=data)
    assert response.status_code == 200, response.get_json()
    (face,) = response.get_json()["faces"]
    assert {name: face[name] for name in GUESSES} == GUESSES
    (message,) = pool
    assert isinstance(message.ref, CallRef)
    assert (message.ref.until, message.options.attributes) == (CALLS[url], True)


@pytest.mark.parametrize("url", CALLS)
def test_nothing_is_guessed_unless_asked_for(client: FlaskClient, pool: list[Message], url: str) -> None:
    (face,) = client.post(url, data={"image": a_file(a_picture(a_face(candidates=[])))}).get_json()["faces"]
    assert set(face) & set(GUESSES) == set()
    assert not pool[0].options.attributes


@pytest.mark.usefixtures("pool")
def test_a_face_without_landmarks_says_so(client: FlaskClient) -> None:
    picture = a_picture({**a_face(), "landmarks": None})
    (face,) = client.post("/v1/detect", data={"image": a_file(picture)}).get_json()["faces"]
    assert face["landmarks"] is None


def test_a_job_carries_the_wish_to_the_pools(client: FlaskClient, app: Flask) -> None:
    accepted = client.post("/v1/jobs", data={"media": a_file(), "attributes": "true"}).get_json()
    assert client.get(accepted["links"]["self"]).get_json()["options"]["attributes"] is True
    assert app.extensions[EXTENSION].jobs.get(accepted["id"])["options"]["attributes"] is True


@pytest.mark.parametrize("url", [*CALLS, "/v1/jobs"])
def test_a_wish_that_is_no_boolean_is_refused_by_name(client: FlaskClient, url: str) -> None:
    part = "media" if url == "/v1/jobs" else "image"
    check_error(client.post(url, data={part: a_file(), "attributes": "maybe"}), 400, "bad_input", "attributes")


@pytest.mark.parametrize("url", [*CALLS, "/v1/jobs"])
def test_a_pack_that_cannot_guess_is_said_at_the_door_and_nothing_is_kept(
    make_app: Callable[..., Flask], tmp_path: Path, url: str
) -> None:
    client = make_app(model_pack="test-pack").test_client()
    client.post("/v1/galleries", json={"name": "staff"})
    part = "media" if url == "/v1/jobs" else "image"
    refused = check_error(
        client.post(url, data={part: a_file(), "attributes": "true"}), 409, "no_attribute_model", "attributes"
    )
    assert "facepipe models install" in refused["error"]["message"]
    assert stored_files(tmp_path) == []
    assert client.get("/v1/jobs").get_json()["items"] == []
