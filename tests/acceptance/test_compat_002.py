"""Predecessor 002 (face_recognition_v2) on a running stack, as its clients speak to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

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

DATABASE = {"host": "db", "port": "5432", "db_name": "FaceRecognition", "username": "postgres", "password": "secret"}


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=120) as client:
        yield client


@pytest.fixture
def url(compat_stack: LaunchedStack, http: httpx.Client) -> str:
    """The main server, with an empty table."""
    found = compat_url(compat_stack, 6337)
    http.get(f"{found}/clear-samples").raise_for_status()
    return found


def face() -> bytes:
    return saved(astronaut())


def test_twenty_five_portraits_in_one_request_and_ten_recognitions(
    url: str, http: httpx.Client, shared_dir: Path
) -> None:
    files = portraits(shared_dir)
    ids = [f"img{number}" for number in range(1, 26)]
    check_text(http.request("GET", f"{url}/config-database", json=DATABASE), "Database configuration is done.")
    sent = [a_sample(sample_id, file) for sample_id, file in zip(ids, files, strict=True)]
    check_json(post(http, f"{url}/update-samples", sent), {"success": ids, "fail": []})
    for _ in range(10):
        answer = post(http, f"{url}/face-recognition", {"image": data_url(files[24]), "min_distance": 0.3})
        (candidate,) = answer.json()
        x, y, w, h = map(int, candidate.pop("bbox").split(", "))
        assert 0 < x < x + w < 250
        assert 0 < y < y + h < 250
        assert candidate == {"id": "img25", "metadata": "img25.jpg", "name": "img25.jpg"}


def test_a_bigger_request_than_one_batch_and_failures_in_between(url: str, http: httpx.Client) -> None:
    file = face()
    sent = [a_sample(str(number), nobody() if number % 10 == 5 else file) for number in range(34)]
    fail = [str(number) for number in (5, 15, 25)]
    success = [str(number) for number in range(34) if str(number) not in fail]
    check_json(post(http, f"{url}/update-samples", sent), {"success": success, "fail": fail})


def test_of_equals_the_first_one_is_meant(url: str, http: httpx.Client) -> None:
    post(http, f"{url}/update-samples", [a_sample(sample_id, face()) for sample_id in "cab"])
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["id"] == "c"


def test_a_second_sample_of_an_id_replaces_the_first(url: str, http: httpx.Client, shared_dir: Path) -> None:
    stranger = portraits(shared_dir, 1)[0]
    post(http, f"{url}/update-samples", [a_sample("a", face())])
    changed = a_sample("a", stranger, name="Bo", metadata="m", action="x")
    check_json(post(http, f"{url}/update-samples", [changed]), {"success": ["a"], "fail": []})
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(stranger)}).json()
    assert (candidate["id"], candidate["name"], candidate["metadata"]) == ("a", "Bo", "m")
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["id"] == "unknown_person_1"


def test_of_an_id_twice_in_a_request_the_last_one_wins(url: str, http: httpx.Client) -> None:
    sent = [a_sample("a", face(), name="first"), a_sample("a", face(), name="last")]
    check_json(post(http, f"{url}/update-samples", sent), {"success": ["a", "a"], "fail": []})
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["name"] == "last"


@pytest.mark.parametrize("sample_id", ["o'brien", "'); DROP TABLE x;--", 'a "quoted" name', "名前", 7])
def test_ids_are_stored_literally(sample_id: Any, url: str, http: httpx.Client) -> None:
    sent = [a_sample(sample_id, face(), name=f"n{sample_id}", metadata=f"m{sample_id}", action=f"{sample_id}")]
    check_json(post(http, f"{url}/update-samples", sent), {"success": [sample_id], "fail": []})
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["id"] == str(sample_id)
    assert (candidate["name"], candidate["metadata"]) == (f"n{sample_id}", f"m{sample_id}")


def test_a_picture_of_several_people_is_no_reason_to_refuse(url: str, http: httpx.Client) -> None:
    one = astronaut()
    two = one.resize((150, 150))
    both = Image.new("RGB", (600, 300), (128, 128, 128))
    both.paste(one, (0, 0))
    both.paste(two, (400, 100))
    check_json(post(http, f"{url}/update-samples", [a_sample("two", saved(both))]), {"success": ["two"], "fail": []})
    candidates = post(http, f"{url}/face-recognition", {"image": data_url(saved(both))}).json()
    assert [candidate["id"] for candidate in candidates] == ["two", "two"]
    assert len({candidate["bbox"] for candidate in candidates}) == 2


@pytest.mark.parametrize("label", ["jpeg", "jpg", "png", "gif", "x-unheard-of"])
def test_the_label_of_a_picture_is_not_believed(label: str, url: str, http: httpx.Client) -> None:
    sent = a_sample("a", data_url(saved(astronaut().convert("RGBA"), "PNG"), label=label))
    check_json(post(http, f"{url}/update-samples", [sent]), {"success": ["a"], "fail": []})


def test_boxes_are_in_the_picture_as_a_viewer_shows_it(url: str, http: httpx.Client) -> None:
    turned = astronaut().rotate(180)
    exif = turned.getexif()
    exif[0x0112] = 3
    (upright,) = post(http, f"{url}/face-recognition", {"image": data_url(saved(astronaut(), "PNG"))}).json()
    (by_exif,) = post(http, f"{url}/face-recognition", {"image": data_url(saved(turned, "PNG", exif=exif))}).json()
    assert upright == by_exif


def test_min_distance_is_a_least_cosine_exclusive(url: str, http: httpx.Client, shared_dir: Path) -> None:
    file = face()
    post(http, f"{url}/update-samples", [a_sample("a", file)])

    def ids(image: bytes, bound: Any) -> list[str]:
        answer = post(http, f"{url}/face-recognition", {"image": data_url(image), "min_distance": bound})
        assert answer.status_code == 200, answer.text
        return [candidate["id"] for candidate in answer.json()]

    assert ids(file, 0.3) == ids(file, "0.3") == ids(file, 0.99) == ["a"]
    assert ids(portraits(shared_dir, 1)[0], -1.1) == ["a"]
    assert ids(file, 1) == ["unknown_person_1"]
    assert ids(file, 1) == ["unknown_person_2"]


def test_strangers_are_registered_and_known_the_next_time(url: str, http: httpx.Client, shared_dir: Path) -> None:
    first, second = portraits(shared_dir, 2)
    answers = [post(http, f"{url}/face-recognition", {"image": data_url(file)}) for file in (first, first, second)]
    numbers = [1, 1, 2]
    for answer, number in zip(answers, numbers, strict=True):
        (candidate,) = answer.json()
        name = f"unknown_person_{number}"
        assert list(candidate) == ["bbox", "id", "metadata", "name"]
        assert candidate["id"] == candidate["name"] == candidate["metadata"] == name
    assert answers[0].text == answers[1].text


def test_clearing_leaves_nobody_and_numbers_start_again(url: str, http: httpx.Client) -> None:
    post(http, f"{url}/update-samples", [a_sample("a", face()), a_sample("unknown_person_41", nobody())])
    success = {"success": "Samples have been removed successfully"}
    for method in ("GET", "POST"):
        check_json(http.request(method, f"{url}/clear-samples", headers={"Content-Type": "application/json"}), success)
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["id"] == "unknown_person_1"


def test_nobody_in_a_picture(url: str, http: httpx.Client) -> None:
    answer = post(http, f"{url}/face-recognition", {"image": data_url(nobody())})
    check_json(answer, {"error": "No face detected from the input image."}, 500)


@pytest.mark.parametrize("image", ["../../etc/passwd", "http://169.254.169.254/", "", "data:image/png;base64,?", 7])
def test_nothing_but_data_urls_is_read(image: Any, url: str, http: httpx.Client) -> None:
    answer = post(http, f"{url}/face-recognition", {"image": image})
    check_json(answer, {"error": "Failed to detect face from the input image"}, 500)
    sent = [a_sample("bad", face()) | {"image": image}, a_sample("good", face())]
    check_json(post(http, f"{url}/update-samples", sent), {"success": ["good"], "fail": ["bad"]})


def test_a_picture_that_is_none(url: str, http: httpx.Client) -> None:
    answer = post(http, f"{url}/face-recognition", {"image": data_url(b"GIF89a no picture")})
    check_json(answer, {"error": "Failed to detect face from the input image"}, 500)


def test_config_database_changes_nothing(url: str, http: httpx.Client, compat_stack: LaunchedStack) -> None:
    post(http, f"{url}/update-samples", [a_sample("a", face())])
    hostile = DATABASE | {"host": "x; touch pwned", "port": 1, "password": "$(touch pwned)"}
    check_text(http.request("GET", f"{url}/config-database", json=hostile), "Database configuration is done.")
    check_text(
        http.request("GET", f"{url}/config-database", json={**hostile, "port": None}), "Database configuration is done."
    )
    assert not list(compat_stack.home.parent.rglob("pwned"))
    assert not Path("pwned").exists()
    (candidate,) = post(http, f"{url}/face-recognition", {"image": data_url(face())}).json()
    assert candidate["id"] == "a"


def test_the_inner_node_makes_vectors_of_crops(compat_stack: LaunchedStack, http: httpx.Client) -> None:
    url = compat_url(compat_stack, 5000)
    crop = astronaut().crop((105, 50, 225, 225))
    form = {"face_data": json.dumps([{"id": "b"}, {"id": 7}])}
    parts = [("image", ("1.png", saved(crop, "PNG"))), ("image", ("2.png", nobody()))]
    answer = http.post(f"{url}/extract_feature", data=form, files=parts)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    first, second = json.loads(answer.text)
    assert (first["id"], len(first["vector"])) == ("b", 512)
    assert second == {"id": 7, "vector": []}
