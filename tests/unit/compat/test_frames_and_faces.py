"""Predecessor 000 on the wire, from recorded requests of two versions of jsonpickle to the bytes of the answers."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client, TestResponse

from api.compat.frames_and_faces.faces import describe_face
from api.compat.jsonpickled import RawPicture, read_picture, read_text, write_array, write_picture, write_scalar
from api.compat.mount import Mount
from api.compat.png import write_png
from common.blobs.files import FileBlobStore
from common.errors import ConflictError
from common.settings import Settings
from common.wide_embedding import DIM, widen
from tests.media import picture, quarters, read_stamp
from tests.unit.api.requests import a_face
from tests.unit.compat.conftest import RECORDINGS, VERSIONS
from tests.unit.compat.test_jsonpickled import FORBIDDEN
from workers.decode.image import decode_image

FRAMES = "http://127.0.0.1:10001"
FACES = "http://127.0.0.1:10002"
METADATA = {
    "num_frames_original": 20,
    "num_frames": 10,
    "duration_seconds": 0.8,
    "fps_original": 25.0,
    "fps": 12.5,
    "width_original": 64,
    "height_original": 48,
    "width": 64,
    "height": 48,
    "frame_idx_original": list(range(0, 20, 2)),
}


@pytest.fixture
def client(mount: Mount) -> Client:
    return Client(mount, TestResponse)


def recorded(version: str, name: str) -> dict[str, Any]:
    """Body and content type of a recorded request."""
    types = json.loads((RECORDINGS / version / "content-types.json").read_text())
    return {"data": (RECORDINGS / version / f"{name}.body").read_bytes(), "content_type": types[name]}


def left_behind(settings: Settings) -> list[str]:
    """Every blob."""
    blobs = FileBlobStore(settings.blobs_directory)
    return [key for prefix in ("calls", "incoming") for key, _ in blobs.list(prefix)]


@pytest.mark.usefixtures("decode_pool")
class TestFrames:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_json_to_the_root_gives_jpeg_files(self, version: str, client: Client, settings: Settings) -> None:
        answer = client.post("/", base_url=FRAMES, **recorded(version, "frames"))
        assert answer.status_code == 200
        assert len(answer.data) == int(answer.headers["Content-Length"])
        document = json.loads(answer.text)
        assert list(document) == ["frames", "metadata"]
        assert list(document["metadata"].items()) == list(METADATA.items())
        assert {tuple(frame) for frame in document["frames"]} == {("py/b64",)}
        images = [Image.open(io.BytesIO(base64.b64decode(frame["py/b64"]))) for frame in document["frames"]]
        assert {(image.format, image.size) for image in images} == {("JPEG", (64, 48))}
        assert [read_stamp(np.asarray(image)) for image in images] == METADATA["frame_idx_original"]
        answer.close()
        assert left_behind(settings) == []

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("name", ["frames", "frames-form"])
    def test_the_first_route_gives_pillow_images(
        self, version: str, name: str, client: Client, settings: Settings
    ) -> None:
        answer = client.post("/extract-frames", base_url=FRAMES, **recorded(version, name))
        assert answer.status_code == 200
        assert len(answer.data) == int(answer.headers["Content-Length"])
        document = json.loads(answer.text)
        assert document["metadata"] == METADATA
        for frame, index in zip(document["frames"], METADATA["frame_idx_original"], strict=True):
            assert list(frame) == ["py/object", "py/state"]
            assert frame["py/object"] == "PIL.Image.Image"
            info, mode, size, palette, pixels = frame["py/state"]
            assert (info, mode, size, palette) == ({}, "RGB", {"py/tuple": [64, 48]}, None)
            rows = np.frombuffer(base64.b64decode(pixels["py/b64"]), np.uint8).reshape(48, 64, 3)
            assert read_stamp(rows) == index
        answer.close()
        assert left_behind(settings) == []

    def test_text_that_is_no_video_is_refused(self, client: Client, settings: Settings) -> None:
        body = {"fps_max": 1, "width_max": 9, "height_max": 9, "video": {"py/b64": "bm8gdmlkZW8="}}
        answer = client.post("/", base_url=FRAMES, json=body)
        assert answer.status_code == 400
        assert list(answer.get_json()) == ["error"]
        form = {"fps_max": "1", "width_max": "9", "height_max": "9", "video": (io.BytesIO(b"no video"), "x.mp4")}
        assert client.post("/extract-frames", base_url=FRAMES, data=form).status_code == 400
        assert left_behind(settings) == []

    def test_more_pictures_than_an_answer_may_hold_are_refused(self, settings: Settings, make: Any) -> None:
        client = Client(make(compat_max_frames_bytes=10_000), TestResponse)
        answer = client.post("/extract-frames", base_url=FRAMES, **recorded(VERSIONS[0], "frames"))
        assert answer.status_code == 413
        assert "smaller" in answer.get_json()["error"]
        assert left_behind(settings) == []


GOOD = {"fps_max": 1, "width_max": 9, "height_max": 9, "video": {"py/b64": "AAAA"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"fps_max": 0},
        {"fps_max": -1},
        {"fps_max": True},
        {"fps_max": "1"},
        {"fps_max": None},
        {"fps_max": 10**400},
        {"width_max": 0.5},
        {"height_max": float("inf")},
        {"width_max": 10**30},
        {"video": "AAAA"},
        {"video": {"py/b64": "A"}},
        {"video": {"py/object": "PIL.Image.Image"}},
    ],
    ids=str,
)
def test_a_wrong_request_for_frames_is_refused(changes: dict[str, Any], client: Client, settings: Settings) -> None:
    answer = client.post("/", base_url=FRAMES, data=json.dumps({**GOOD, **changes}), content_type="application/json")
    assert answer.status_code == 400
    assert left_behind(settings) == []


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_named(field: str, client: Client) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    answer = client.post("/extract-frames", base_url=FRAMES, json=body)
    assert answer.status_code == 400
    assert field in answer.get_json()["error"]


@pytest.mark.parametrize(
    ("path", "request_", "status"),
    [
        ("/", {"data": b"{}", "content_type": "text/plain"}, 415),
        ("/", {"data": b"nonsense", "content_type": "application/json"}, 400),
        ("/", {"json": {}}, 400),
        ("/", {"data": b"x" * ((1 << 20) + 1), "content_type": "application/json"}, 413),
        ("/extract-frames", {"data": {"fps_max": "1"}, "content_type": "multipart/form-data"}, 400),
        ("/extract-frames", {"data": b"", "content_type": "text/plain"}, 415),
        ("/face-analysis", {"data": {"image": "text"}, "content_type": "multipart/form-data"}, 400),
        ("/face-analysis", {"json": {}}, 400),
        ("/elsewhere", {"json": {}}, 404),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals_are_json_that_no_client_takes_for_success(
    path: str, request_: dict[str, Any], status: int, client: Client
) -> None:
    answer = client.post(path, base_url=FACES, **request_)
    assert answer.status_code == status
    assert list(answer.get_json()) == ["error"]


def test_other_methods_are_refused(client: Client) -> None:
    answer = client.get("/face-analysis", base_url=FACES)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


HOSTILE = [value for value in FORBIDDEN if isinstance(value, dict)]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: json.dumps(value)[:60])
def test_hostile_shapes_have_no_effect(value: dict[str, Any], client: Client, settings: Settings) -> None:
    twice = {"data": json.dumps(json.dumps({"image": value})), "content_type": "application/json"}
    part = {"image": (io.BytesIO(json.dumps(value).encode()), "image")}
    frames = {**GOOD, "video": value}
    answers = [
        client.post("/", base_url=FACES, **twice),
        client.post("/face-analysis", base_url=FACES, **twice),
        client.post("/face-analysis", base_url=FACES, data=part),
        client.post("/", base_url=FRAMES, data=json.dumps(json.dumps(frames)), content_type="application/json"),
        client.post("/extract-frames", base_url=FRAMES, json=frames),
    ]
    assert [answer.status_code for answer in answers] == [400] * 5
    assert left_behind(settings) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "name", ["face-file", "face-array", "face-image", "face-jpeg-image", "face-png-image", "face-grey-image"]
)
def test_recorded_pictures_are_read(version: str, name: str, tmp_path: Path) -> None:
    given = read_picture(read_text(recorded(version, name)["data"])["image"], "image", max_px=100)
    path = tmp_path / "picture"
    path.write_bytes(write_png(given) if isinstance(given, RawPicture) else given)
    pixels = decode_image(str(path), max_px=100)
    assert pixels.shape == (8, 12, 3)
    if name != "face-grey-image":
        assert quarters(pixels) == ["r", "g", "b", "w"]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_raw_pixels_become_a_file_of_the_same_pixels(mode: str) -> None:
    image = picture(7, 5).convert(mode)
    file = write_png(RawPicture(7, 5, len(image.getbands()), image.tobytes()))
    opened = Image.open(io.BytesIO(file))
    assert (opened.format, opened.mode, opened.tobytes()) == ("PNG", mode, image.tobytes())


def test_arrays_are_written_as_the_old_servers_wrote_them() -> None:
    answers = json.loads((RECORDINGS / "jsonpickle-2.0.0" / "answers.json").read_text())
    assert answers == {
        "float32 (5, 2)": write_array(np.arange(10, dtype=np.float32).reshape(5, 2)),
        "float64 (4,)": write_array(np.arange(4, dtype=np.float64) / 3),
        "float64": write_scalar(np.float64(0.75)),
        "int64": write_scalar(np.int64(1)),
    }
    sent = json.loads(json.loads(recorded("jsonpickle-2.0.0", "face-image")["data"]))["image"]
    assert sent == write_picture(12, 8, picture(12, 8).tobytes())


def test_a_face_has_the_original_keys_and_types() -> None:
    guess = {"age": 27.6, "gender": "male", "gender_score": 0.9}
    face = describe_face(a_face(embedding=[3.0, 4.0], attributes=guess))
    assert list(face) == ["age", "bbox", "det_score", "gender", "landmark", "normed_embedding"]
    assert (face["age"], face["gender"]) == (28, write_scalar(np.int64(1)))
    assert face["bbox"] == write_array(np.array([10.0, 10.0, 110.0, 130.0]))
    assert face["det_score"] == write_scalar(np.float64(0.9))
    assert face["landmark"]["py/reduce"][2]["py/tuple"][1] == {"py/tuple": [5, 2]}
    assert face["normed_embedding"] == write_array(np.array([0.6, 0.8] + [0.0] * 510, np.float32))


def test_without_guesses_age_and_gender_are_null() -> None:
    face = describe_face(a_face(embedding=[1.0]))
    assert (face["age"], face["gender"]) == (None, None)


def test_zeros_behind_an_embedding_change_no_cosine() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 128))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert widen(a.tolist()).shape == (DIM,)
    assert float(widen(a.tolist()) @ widen(b.tolist())) == pytest.approx(cosine, abs=1e-6)
    with pytest.raises(ConflictError, match="FACEPIPE_MODEL_PACK"):
        widen([1.0] * 513)
