"""The face routes of predecessor 003 (smartav_api) on a running stack, as its clients speak to it."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import LaunchedStack, compat_url
from tests.acceptance.face_table import (
    a_sample,
    astronaut,
    check_json,
    check_text,
    data_url,
    nobody,
    portraits,
    post,
    saved,
)

DATABASE = {"host": "db", "port": 5432, "db_name": "FaceRecognition", "username": "postgres", "password": "secret"}


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=120) as client:
        yield client


@pytest.fixture
def url(compat_stack: LaunchedStack, http: httpx.Client) -> str:
    """The prefix of the face routes, with an empty table."""
    found = f"{compat_url(compat_stack, 5000)}/face-recognition"
    http.get(f"{found}/clear-samples").raise_for_status()
    return found


def face() -> bytes:
    return saved(astronaut())


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [candidate["id"] for candidate in answer.json()]


def test_the_steps_of_the_original_test_program(url: str, http: httpx.Client) -> None:
    for method in ("GET", "POST"):
        answer = http.request(method, f"{url}/config-database", json=DATABASE)
        check_text(answer, "Database configuration is done.")
    check_json(http.get(f"{url}/clear-samples"), {"success": "Samples have been removed successfully"})
    sent = [a_sample("james_test_image", face())]
    check_json(post(http, f"{url}/update-samples", sent), {"success": ["james_test_image"], "fail": []})
    (candidate,) = post(http, url, {"image": data_url(face()), "min_distance": 0.35}).json()
    assert candidate["id"] == "james_test_image"


def test_samples_of_an_id_join_each_other(url: str, http: httpx.Client, shared_dir: Path) -> None:
    other = portraits(shared_dir, 1)[0]
    sent = [a_sample("a", face(), name="Ada", metadata="first"), a_sample("a", other, name="", metadata="")]
    check_json(post(http, f"{url}/update-samples", sent), {"success": ["a", "a"], "fail": []})
    for file in (face(), other):
        (candidate,) = post(http, url, {"image": data_url(file)}).json()
        assert (candidate["id"], candidate["name"], candidate["metadata"]) == ("a", "Ada", "first")


def test_the_table_is_that_of_002(url: str, http: httpx.Client, compat_stack: LaunchedStack) -> None:
    main = compat_url(compat_stack, 6337)
    post(http, f"{url}/update-samples", [a_sample("a", face())])
    assert ids(post(http, f"{main}/face-recognition", {"image": data_url(face())})) == ["a"]


def test_name_and_metadata_of_an_unknown_person_are_changed(url: str, http: httpx.Client) -> None:
    assert ids(post(http, url, {"image": data_url(face())})) == ["unknown_person_1"]
    answer = post(http, f"{url}/update-metadata/unknown_person_1", {"name": "O'Brien", "metadata": "pilot"})
    check_json(answer, {"success": '"unknown_person_1" has been configured successfully.'})
    (candidate,) = post(http, url, {"image": data_url(face())}).json()
    assert (candidate["id"], candidate["name"]) == ("unknown_person_1", "O'Brien")
    assert candidate["metadata"] == "pilot"


def test_metadata_is_refused_with_three_texts(url: str, http: httpx.Client) -> None:
    path = f"{url}/update-metadata/nobody"
    check_json(post(http, path, {"metadata": "m"}), {"error": '"name" is missing in the request.'}, 400)
    check_json(post(http, path, {"name": "n"}), {"error": '"metadata" is missing in the request.'}, 400)
    whole = {"name": "n", "metadata": "m"}
    check_json(post(http, path, whole), {"error": 'Could not find "nobody" in database.'}, 400)


def test_three_strangers_get_three_numbers_also_at_once(url: str, http: httpx.Client, shared_dir: Path) -> None:
    files = portraits(shared_dir, 3)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda file: post(http, url, {"image": data_url(file)}), files * 2))
    found = [ids(answer)[0] for answer in answers]
    assert set(found) == {f"unknown_person_{number}" for number in (1, 2, 3)}
    assert found[:3] == found[3:]


def test_a_space_after_the_comma_as_the_go_client_sends_it(url: str, http: httpx.Client) -> None:
    image = data_url(face(), label="jpg", space=" ")
    assert ids(http.post(url, json={"image": image})) == ["unknown_person_1"]


def test_a_clear_by_post_and_a_picture_of_nobody(url: str, http: httpx.Client) -> None:
    check_json(http.post(f"{url}/clear-samples"), {"success": "Samples have been removed successfully"})
    answer = post(http, url, {"image": data_url(nobody())})
    check_json(answer, {"error": "No face detected from the input image."}, 500)


def test_the_inner_node_on_its_own_port(compat_stack: LaunchedStack, http: httpx.Client) -> None:
    url = compat_url(compat_stack, 8000)
    check_text(http.get(f"{url}/"), "<h1 style='color:blue'>Feature extraction server is running!</h1>")
    parts = [("image", ("1.png", io.BytesIO(saved(astronaut(), "PNG"))))]
    answer = http.post(f"{url}/extract_feature", data={"face_data": '[{"id": "a"}]'}, files=parts)
    (feature,) = json.loads(answer.text)
    assert (feature["id"], len(feature["vector"])) == ("a", 512)
