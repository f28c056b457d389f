"""Captions and segmentation of predecessor 003 (smartav_api) on a running stack whose pools see colours."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from common.coco import COCO_CLASSES
from tests.acceptance.conftest import LaunchedStack, compat_url

INIT_ENGINE = "/instance-segmentation/init-engine"
DETECT = "/instance-segmentation/detect-objects"
CAPTION = "/image-captioning"


@pytest.fixture
def http(compat_stack: LaunchedStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=compat_url(compat_stack, 5000), timeout=60) as client:
        yield client


def saved(image: Image.Image, kind: str = "JPEG") -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def scene(*names: str) -> Image.Image:
    """A grey picture of 400x300 with a coloured block for each name."""
    image = Image.new("RGB", (400, 300), (100, 100, 100))
    blocks = {"red": (20, 40, 119, 139), "green": (160, 40, 259, 239), "blue": (290, 150, 369, 269)}
    for name in names:
        ImageDraw.Draw(image).rectangle(blocks[name], {"red": "#f00", "green": "#0f0", "blue": "#00f"}[name])
    return image


def decode_mask(document: dict[str, Any]) -> Any:
    """(height, width) class of every pixel, -1 for none, read as the original web page does."""
    with Image.open(io.BytesIO(base64.b64decode(document["mjpg"], validate=True))) as file:
        assert file.format == "JPEG"
        pixels = np.asarray(file.convert("RGB")).astype(float)
    classes = (np.rint(pixels / 50).astype(int) - 1) @ [25, 5, 1]
    return np.where(pixels.sum(axis=2) > 100, classes, -1)


def test_captioning_is_available(http: httpx.Client) -> None:
    answer = http.get(CAPTION)
    assert (answer.status_code, answer.text) == (200, "Image Captioning module is available.")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


def test_captions_of_an_object_and_of_an_array_of_one(http: httpx.Client) -> None:
    body = {"image": "data:image/jpeg;base64," + saved(Image.new("RGBA", (40, 30), (255, 0, 0, 80)), "PNG")}
    answers = [http.post(CAPTION, json=each) for each in (body, [body])]
    assert answers[0].json() == answers[1].json()
    document = answers[0].json()
    assert document["caption"] == "a man playing the guitar on stage"
    assert document["question"] == document["questions"][0]["question"]
    assert document["options"] == document["questions"][0]["options"]
    assert len(document["options"]) == 3
    assert "guitar" in document["question"]
    longer = http.post(CAPTION, json=[body, body])
    assert (longer.status_code, longer.json()) == (400, {"error": "Invalid request."})


def test_an_odd_caption_has_no_question_and_never_fails(http: httpx.Client) -> None:
    answer = http.post(CAPTION, json={"image": "data:image/png;base64," + saved(Image.new("RGB", (9, 9), "blue"))})
    assert answer.status_code == 200
    document = answer.json()
    assert document["caption"] == "nothing but plain blue colour in here"
    assert (document["question"], document["options"], document["questions"]) == ("", [], [])


def test_the_go_client_sends_a_space_after_the_comma(http: httpx.Client) -> None:
    body = {"image": "data:image/jpg;base64, " + saved(scene("red"))}
    assert http.post(DETECT, json=body).status_code == 200
    assert http.post(CAPTION, json=body).status_code == 200


def test_the_segmentation_engine_is_initialised_by_name(http: httpx.Client) -> None:
    answer = http.request("GET", INIT_ENGINE, json={"model": "yolact_base_54_800000.pth"})
    assert (answer.status_code, answer.text) == (200, "Loading model... Done.")
    missing = http.request("GET", INIT_ENGINE, json={})
    assert (missing.status_code, missing.text) == (400, 'Bad request. Your request is missing "model".')
    for wrong in ("../../x.pth", "yolact_base_54_800000.pt", "/etc/passwd", "http://169.254.169.254/x.pth"):
        assert http.request("GET", INIT_ENGINE, json={"model": wrong}).status_code == 400


def test_objects_are_sorted_bounded_and_have_a_true_width_and_height(http: httpx.Client) -> None:
    image = "data:image/jpeg;base64," + saved(scene("blue", "green", "red"), "PNG")
    document = http.post(DETECT, json={"image": image, "top_k": 8, "score_threshold": 0.5}).json()
    found = document["detected_objects"]
    assert [(each["Class"], each["Score"]) for each in found] == [("car", 0.9), ("dog", 0.8), ("person", 0.7)]
    wanted = {"car": (20, 40, 100, 100), "dog": (160, 40, 100, 200), "person": (290, 150, 80, 120)}
    for each in found:
        rect = each["Rect"]
        assert list(rect) == ["h", "w", "x", "y"]
        assert all(type(value) is int for value in rect.values())
        one_input_pixel = 400 / 64
        measured = np.array([rect["x"], rect["y"], rect["w"], rect["h"]])
        assert np.abs(measured - wanted[each["Class"]]).max() <= 2 * one_input_pixel
    best = http.post(DETECT, json={"image": image, "top_k": 1}).json()["detected_objects"]
    assert [each["Class"] for each in best] == ["car"]
    strong = http.post(DETECT, json={"image": image, "score_threshold": 0.75}).json()["detected_objects"]
    assert [each["Class"] for each in strong] == ["car", "dog"]


def test_the_mask_picture_has_the_size_of_the_input_and_decodes_to_the_class(http: httpx.Client) -> None:
    image = "data:image/jpeg;base64," + saved(scene("blue", "green", "red"), "PNG")
    document = http.post(DETECT, json={"image": image}).json()
    classes = decode_mask(document)
    assert classes.shape == (300, 400)
    assert len(document["detected_objects"]) == 3
    for each in document["detected_objects"]:
        rect, index = each["Rect"], COCO_CLASSES.index(each["Class"])
        inside = classes[rect["y"] : rect["y"] + rect["h"], rect["x"] : rect["x"] + rect["w"]]
        assert (inside == index).mean() > 0.75
        assert set(np.unique(inside[20:-20, 20:-20]).tolist()) == {index}
    assert (classes == -1).mean() > 0.6


def test_values_that_do_not_convert_are_replaced_by_the_defaults(http: httpx.Client) -> None:
    image = "data:image/jpeg;base64," + saved(scene("red", "green"), "PNG")
    plain = http.post(DETECT, json={"image": image}).json()
    assert len(plain["detected_objects"]) == 2
    assert http.post(DETECT, json={"image": image, "top_k": "x", "score_threshold": None}).json() == plain


def test_nothing_detected_is_an_empty_list_and_a_black_picture(http: httpx.Client) -> None:
    answer = http.post(DETECT, json={"image": "data:image/png;base64," + saved(scene(), "PNG")})
    assert (answer.status_code, answer.json()["detected_objects"]) == (200, [])
    with Image.open(io.BytesIO(base64.b64decode(answer.json()["mjpg"]))) as file:
        assert file.size == (400, 300)
        assert file.convert("RGB").getextrema() == ((0, 0), (0, 0), (0, 0))


@pytest.mark.parametrize("image", ["../../etc/passwd", "http://169.254.169.254/", "data:image/png;base64,AAAA", ""])
def test_what_is_no_picture_is_refused_and_never_opened(image: str, http: httpx.Client) -> None:
    assert http.post(DETECT, json={"image": image}).status_code == 400
    assert http.post(CAPTION, json={"image": image}).status_code == 400


def test_a_picture_is_required(http: httpx.Client) -> None:
    answer = http.post(DETECT, json={"top_k": 3})
    assert (answer.status_code, answer.text) == (400, 'Bad request. Your request is missing "image".')
    refused = http.post(CAPTION, json={})
    assert (refused.status_code, refused.json()) == (400, {"error": "Invalid request."})


def test_calls_side_by_side_get_their_own_answers(http: httpx.Client) -> None:
    colours = {"red": "car", "green": "dog", "blue": "person"}
    pictures = [name for name in colours for _ in range(4)]
    bodies = [{"image": "data:image/png;base64," + saved(scene(name), "PNG")} for name in pictures]
    with ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda body: http.post(DETECT, json=body).json(), bodies))
    assert [answer["detected_objects"][0]["Class"] for answer in answers] == [colours[name] for name in pictures]


def test_pools_for_pictures_are_seen_like_the_others(compat_stack: LaunchedStack) -> None:
    metrics = httpx.get(f"{compat_stack.url}/metrics").text
    assert 'facepipe_workers{stage="caption"} 1.0' in metrics
    assert 'facepipe_workers{stage="segment"} 1.0' in metrics
    assert "-m celery" in compat_stack.processes()[compat_stack.pid_of("-Q segment")]
