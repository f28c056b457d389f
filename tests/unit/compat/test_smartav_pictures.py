"""Captions and segmentation of smartav_api in this process, with real pools beside it, and without any."""

import base64
import importlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageDraw

from api.compat.base import make_base
from api.compat.face_table.answers import render_error, render_refusals
from api.compat.smartav.pictures import add_rules
from api.compat.smartav.questions import EXAMPLES, Entry, find_questions, load_corpus
from api.services import assemble
from common.calls import CallDesk, connect_redis
from common.contracts import POOLS, STAGE_TASKS, CallRef, Message, Objects, Stage
from common.errors import ConfigurationError
from common.settings import Settings
from common.stage.lane import CallLane
from common.stage.runtime import Runtime
from tests.picture_packs import Layout, write_pack
from tests.unit.api.conftest import write_pack as write_face_pack

CAPTION = "/image-captioning"
ENGINE = "/instance-segmentation"
RED = (255, 0, 0)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    write_face_pack(tmp_path / "models" / "test-pack")
    return Settings.model_validate(
        {
            "home": tmp_path,
            "database_url": database_url,
            "redis_url": redis_url,
            "model_pack": "test-pack",
            "compat_max_body_bytes": 1 << 20,
            "api": {"call_timeout_s": 20},
            "frames": {"directory": tmp_path / "frames"},
        }
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[FlaskClient]:
    services = assemble(settings)
    app = make_base("facepipe-003", services, render_error=render_error)
    render_refusals(app)
    add_rules(app)
    yield app.test_client()
    services.database.close()


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., None]]:
    """Writes a pack and starts pools in threads of this process."""
    lanes: list[CallLane] = []
    with ExitStack() as open_pools:

        def start_pools(*stages: Stage, layout: Layout | None = None, captions: bool = False) -> None:
            write_pack(settings.home / "models" / "colours", layout=layout, captions=captions)
            for stage in stages:
                assert stage in POOLS
                runtime = Runtime(settings, stage)
                open_pools.callback(runtime.database.close)
                handler = importlib.import_module(f"workers.{stage}.tasks").make_tasks(runtime)[STAGE_TASKS[stage]]
                runtime.workers.seen(runtime.worker, stage, threads=1, device="cpu", model_ids=[])
                lane = CallLane(CallDesk(connect_redis(settings.redis_url)), stage, handler, threads=1)
                lane.start()
                lanes.append(lane)

        yield start_pools
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(CallLane.stop, lanes))


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def data_url(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    return "data:image/jpg;base64, " + base64.b64encode(file_of(image, kind, **options)).decode()


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, colour)


@pytest.mark.parametrize("layout", ["yolo8", "yolo7", "yolact"])
def test_a_picture_goes_through_the_pools_and_back(
    layout: Layout, start: Callable[..., None], client: FlaskClient
) -> None:
    start("decode", "segment", layout=layout)
    image = plain((90, 90, 90), (128, 64))
    ImageDraw.Draw(image).rectangle((32, 16, 63, 47), RED)
    answer = client.post(f"{ENGINE}/detect-objects", json={"image": data_url(image)})
    document = answer.get_json()
    assert list(document) == ["detected_objects", "mjpg"]
    (found,) = document["detected_objects"]
    assert (found["Class"], found["Score"]) == ("car", 0.9)
    assert found["Rect"] == {"x": 32, "y": 16, "w": 32, "h": 32}
    with Image.open(io.BytesIO(base64.b64decode(document["mjpg"], validate=True))) as mask:
        assert (mask.format, mask.size) == ("JPEG", image.size)
        pixels = np.asarray(mask).astype(float)
    assert (np.rint(pixels[28:36, 44:52] / 50) == [1, 1, 3]).all()
    assert (pixels[:8].sum(axis=2) <= 100).all()


def test_captions_are_of_the_picture_as_stored_and_objects_of_the_upright_one(
    start: Callable[..., None], client: FlaskClient
) -> None:
    start("decode", "segment", "caption", layout="yolo8", captions=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by a quarter
    image = plain((90, 90, 90), (128, 64))
    ImageDraw.Draw(image).rectangle((0, 0, 63, 63), RED)
    turned = data_url(image, exif=exif)
    answer = client.post(f"{ENGINE}/detect-objects", json={"image": turned})
    (found,) = answer.get_json()["detected_objects"]
    assert found["Rect"] == {"x": 0, "y": 0, "w": 64, "h": 64}
    with Image.open(io.BytesIO(base64.b64decode(answer.get_json()["mjpg"]))) as mask:
        assert mask.size == (64, 128)
    assert client.post(CAPTION, json={"image": turned}).get_json()["caption"] == "a man playing the guitar on stage"


def test_the_pool_that_nobody_started_is_named(start: Callable[..., None], client: FlaskClient) -> None:
    start("decode", layout="yolo8", captions=True)
    body = {"image": data_url(plain(RED))}
    for answer in (client.post(CAPTION, json=body), client.post(f"{ENGINE}/detect-objects", json=body)):
        assert answer.status_code in {500, 503}
        assert "its pool does not run" in answer.text


def test_without_a_pack_the_answer_says_how_to_install_one(client: FlaskClient) -> None:
    body = {"image": data_url(plain(RED))}
    caption = client.post(CAPTION, json=body)
    assert (caption.status_code, list(caption.get_json())) == (503, ["error"])
    for path, given in (("detect-objects", body), ("init-engine", {"model": "yolact_base_54_800000.pth"})):
        answer = client.post(f"{ENGINE}/{path}", json=given)
        assert answer.status_code == 500
        assert answer.text.startswith('Please init engine first by calling "/instance-segmentation/init-engine". ')
    loaded = client.post(f"{ENGINE}/load-model", json={})
    assert loaded.status_code == 500
    for answer in (caption, loaded):
        assert "facepipe models install" in answer.text


NO_PICTURES = (
    b"",
    b"{",
    b"[]",
    b"{}",
    b'"image"',
    b"null",
    json.dumps([{"image": data_url(plain(RED))}] * 2).encode(),
    json.dumps({"image": "../../etc/passwd"}).encode(),
    json.dumps({"image": "http://169.254.169.254/"}).encode(),
    json.dumps({"image": "data:image/png;base64,%%%%"}).encode(),
    json.dumps({"image": ""}).encode(),
    json.dumps({"image": {"py/object": "subprocess.Popen"}}).encode(),
)


def test_what_is_no_picture_is_refused(client: FlaskClient) -> None:
    for body in NO_PICTURES:
        caption = client.post(CAPTION, data=body, content_type="application/json")
        assert (caption.status_code, caption.text) == (400, '{"error":"Invalid request."}\n'), body
        objects = client.post(f"{ENGINE}/detect-objects", data=body, content_type="application/json")
        assert objects.status_code == 400, body
        assert objects.text.startswith("Bad request. "), body


def test_a_file_that_is_no_picture_is_refused_by_the_pools(start: Callable[..., None], client: FlaskClient) -> None:
    start("decode", "segment", "caption", layout="yolo8", captions=True)
    body = {"image": "data:image/png;base64," + base64.b64encode(b"no picture").decode()}
    assert client.post(CAPTION, json=body).status_code == 400
    answer = client.post(f"{ENGINE}/detect-objects", json=body)
    assert (answer.status_code, answer.text[:13]) == (400, "Bad request. ")


NUMBERS: tuple[tuple[dict[str, Any], Objects], ...] = (
    ({}, Objects(15, 0.15)),
    ({"top_k": "x", "score_threshold": "x"}, Objects(15, 0.15)),
    ({"top_k": None, "score_threshold": []}, Objects(15, 0.15)),
    ({"top_k": "8", "score_threshold": "0.5"}, Objects(8, 0.5)),
    ({"top_k": 10**9, "score_threshold": -3}, Objects(100, 0.0)),
    ({"top_k": 0, "score_threshold": 7, "iou_threshold": 0.3}, Objects(1, 1.0, 0.3)),
    ({"top_k": 2.9, "score_threshold": "nan", "iou_threshold": "x"}, Objects(2, 0.15, 0.45)),
)


def test_numbers_that_do_not_convert_are_the_defaults(settings: Settings, client: FlaskClient) -> None:
    asked: list[Objects | None] = []
    services = client.application.extensions["facepipe"]
    services.workers.seen("segment@here.1", "segment", threads=1, device="cpu", model_ids=[])
    desk = CallDesk(connect_redis(settings.redis_url))

    def answer(wire: Any) -> None:
        message = Message.from_wire(wire)
        asked.append(message.objects)
        assert isinstance(message.ref, CallRef)
        desk.answer(message.ref, {"objects": [], "mask_jpeg": ""})

    lane = CallLane(desk, "decode", answer, threads=1)
    lane.start()
    try:
        for given, _ in NUMBERS:
            body = {"image": data_url(plain(RED)), **given}
            assert client.post(f"{ENGINE}/detect-objects", json=body).status_code == 200
    finally:
        lane.stop()
    assert asked == [expected for _, expected in NUMBERS]


def test_engines_are_names_and_never_paths(start: Callable[..., None], client: FlaskClient) -> None:
    start("segment", layout="yolo8")
    init = f"{ENGINE}/init-engine"
    missing = client.get(init)
    assert (missing.status_code, missing.text) == (400, 'Bad request. Your request is missing "model".')
    for name in ("yolact_resnet50_54_800000.pth", "yolact_base_54_800000.pth", "yolact_im700_54_800000.pth", "colours"):
        for answer in (client.get(init, json={"model": name}), client.post(init, json={"model": name})):
            assert (answer.status_code, answer.text) == (200, "Loading model... Done.")
    for wrong in ("../../x.pth", "yolact_base_54_800000.pth\0", "/etc/passwd", "", "x.pth", 7, ["x"], {"a": 1}):
        assert client.get(init, json={"model": wrong}).status_code == 400
        assert client.post(f"{ENGINE}/load-model", json={"weights": wrong or "x"}).status_code == 400
    assert client.post(f"{ENGINE}/load-model").text == "success"
    assert client.post(f"{ENGINE}/load-model", json={"device": "2", "half": True}).text == "success"
    wrong_device = client.post(f"{ENGINE}/load-model", json={"device": "cuda:9"})
    assert (wrong_device.status_code, wrong_device.text) == (400, "Bad request")


def test_questions_are_of_the_entries_most_like_the_caption() -> None:
    corpus = tuple(Entry(text=text, question=f"{text}?", options=("a",)) for text in ("a red car", "a red cat", "snow"))
    assert [place for place, _ in find_questions("a red cat", corpus, limit=9)] == [1, 0]
    assert [place for place, _ in find_questions("A RED CAT", corpus, limit=1)] == [1]
    for odd in ("", "?" * 500, "\0", "zebra", "ж" * 90):
        assert find_questions(odd, corpus, limit=9) == []
    assert find_questions("a man playing the guitar on stage", EXAMPLES, limit=3)[0][1].options == EXAMPLES[0].options


def test_a_corpus_of_ones_own_is_read_and_a_broken_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([{"text": "snow", "question": "Is it cold?", "options": ["yes", "no"]}]))
    assert [entry.question for entry in load_corpus(path)] == ["Is it cold?"]
    path.write_text('[{"text": "snow"}]')
    with pytest.raises(ConfigurationError, match=r"corpus of questions: 0\.question"):
        load_corpus(path)
    assert load_corpus(None) == EXAMPLES
