"""Predecessor 000 (video2frames and the insightface server) on a running stack, as its clients speak to it."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import skimage
from PIL import Image

from tests.acceptance.conftest import LaunchedStack, compat_url
from tests.unit.compat.conftest import RECORDINGS, VERSIONS

FRAMES, FACES = 10001, 10002

#: The main face in frames of tae.mp4, [x1, y1, x2, y2].
MAIN_FACES = {
    0: [598, 169, 716, 332],
    60: [612, 193, 738, 375],
    120: [625, 187, 756, 365],
    180: [620, 171, 744, 324],
    240: [623, 171, 744, 326],
    300: [622, 171, 742, 330],
    360: [622, 173, 743, 340],
    420: [622, 174, 744, 350],
    480: [617, 173, 740, 349],
    540: [615, 172, 736, 346],
}


@pytest.fixture
def http(compat_stack: LaunchedStack) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=300) as client:
        yield client


@pytest.fixture
def frames_url(compat_stack: LaunchedStack) -> str:
    return compat_url(compat_stack, FRAMES)


@pytest.fixture
def faces_url(compat_stack: LaunchedStack) -> str:
    return compat_url(compat_stack, FACES)


def twice(document: dict[str, Any]) -> dict[str, Any]:
    """How `requests.post(json=jsonpickle.encode(…))` sends it."""
    return {"json": json.dumps(document)}


def pickled(data: bytes) -> dict[str, str]:
    return {"py/b64": base64.b64encode(data).decode()}


def pickled_image(image: Image.Image) -> dict[str, Any]:
    state = [{}, image.mode, {"py/tuple": list(image.size)}, None, pickled(image.tobytes())]
    return {"py/object": "PIL.Image.Image", "py/state": state}


def unpickled(value: Any) -> Any:
    """A numpy array or number by the dtype and shape that the text names."""
    match value["py/reduce"]:
        case [
            {"py/function": "numpy.core.multiarray._reconstruct"},
            _,
            {"py/tuple": [1, {"py/tuple": shape}, dtype, False, data]},
        ]:
            return np.frombuffer(base64.b64decode(data["py/b64"]), dtype_of(dtype)).reshape(shape)
        case [{"py/function": "numpy.core.multiarray.scalar"}, {"py/tuple": [dtype, data]}]:
            return np.frombuffer(base64.b64decode(data["py/b64"]), dtype_of(dtype))[0]
    raise AssertionError(value)


def dtype_of(value: dict[str, Any]) -> npt.DTypeLike:
    (kind, name, state) = value["py/reduce"][0], value["py/reduce"][1], value["py/reduce"][2]
    assert kind == {"py/type": "numpy.dtype"}
    assert state == {"py/tuple": [3, "<", None, None, None, -1, -1, 0]}
    return np.dtype(f"<{name['py/tuple'][0]}")


def faces_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text[:500]
    document = answer.json()
    assert list(document) == ["fa_results", "face_detection_recognition"]
    assert document["fa_results"] == document["face_detection_recognition"]
    faces: list[dict[str, Any]] = document["fa_results"]
    return faces


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def portrait() -> Image.Image:
    return Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB").crop((60, 0, 360, 300))


def saved(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "path", "port"),
    [
        ("frames", "/", FRAMES),
        ("frames-form", "/extract-frames", FRAMES),
        ("face-part", "/face-analysis", FACES),
        ("face-jpeg-image", "/face-analysis", FACES),
        ("face-array", "/", FACES),
    ],
)
def test_recorded_requests_of_old_and_new_clients_are_answered(
    version: str, name: str, path: str, port: int, http: httpx.Client, compat_stack: LaunchedStack
) -> None:
    types = json.loads((RECORDINGS / version / "content-types.json").read_text())
    answer = http.post(
        compat_url(compat_stack, port) + path,
        content=(RECORDINGS / version / f"{name}.body").read_bytes(),
        headers={"Content-Type": types[name]},
    )
    if port == FACES:
        assert faces_of(answer) == []
    else:
        assert answer.status_code == 200
        assert answer.json()["metadata"]["frame_idx_original"] == list(range(0, 20, 2))


def test_a_portrait_in_every_form_gives_the_same_face(faces_url: str, http: httpx.Client) -> None:
    image = portrait()
    part = {"image": ("image", json.dumps(pickled_image(image)))}
    answers = [
        http.post(f"{faces_url}/", **twice({"image": pickled(saved(image))})),
        http.post(f"{faces_url}/face-analysis", **twice({"image": pickled_image(image)})),
        http.post(f"{faces_url}/face-analysis", **twice({"image": pickled_image(image.convert("RGBA"))})),
        http.post(f"{faces_url}/face-analysis", files=part),
    ]
    (face,) = faces_of(answers[0])
    assert all(faces_of(answer) == [face] for answer in answers)
    assert list(face) == ["age", "bbox", "det_score", "gender", "landmark", "normed_embedding"]
    box, score = unpickled(face["bbox"]), unpickled(face["det_score"])
    assert (box.dtype, box.shape, score.dtype) == (np.float64, (4,), np.float64)
    assert 0 < score <= 1
    assert overlap(box, [110, 55, 230, 215]) > 0.3
    landmark, embedding = unpickled(face["landmark"]), unpickled(face["normed_embedding"])
    assert (landmark.dtype, landmark.shape) == (np.float32, (5, 2))
    assert landmark[0, 0] < landmark[1, 0]
    assert (embedding.dtype, embedding.shape) == (np.float32, (512,))
    assert abs(float(np.linalg.norm(embedding)) - 1) < 1e-5
    assert type(face["age"]) is int
    assert 5 < face["age"] < 100
    gender = unpickled(face["gender"])
    assert (gender.dtype, gender.shape) == (np.int64, ())
    assert gender in {0, 1}


def test_grey_pictures_are_converted_and_empty_ones_have_no_faces(faces_url: str, http: httpx.Client) -> None:
    grey = portrait().convert("L")
    assert len(faces_of(http.post(f"{faces_url}/", **twice({"image": pickled(saved(grey))})))) == 1
    assert len(faces_of(http.post(f"{faces_url}/face-analysis", **twice({"image": pickled_image(grey)})))) == 1
    flat = Image.new("RGB", (320, 240), (128, 128, 128))
    assert faces_of(http.post(f"{faces_url}/", **twice({"image": pickled(saved(flat))}))) == []


def test_boxes_are_in_the_pixels_that_were_sent(faces_url: str, http: httpx.Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # a viewer would turn it upside down
    tall = Image.new("RGB", (300, 600), (90, 90, 90))
    tall.paste(portrait(), (0, 0))
    (face,) = faces_of(http.post(f"{faces_url}/", **twice({"image": pickled(saved(tall, "JPEG", exif=exif))})))
    assert unpickled(face["bbox"])[3] < 300


HOSTILE = [
    {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch pwned"]}]},
    {"py/object": "subprocess.Popen", "py/state": []},
    {"py/repr": "os/os.system('touch pwned')"},
    {"py/object": "PIL.Image.Image", "py/state": [{}, "RGB", {"py/tuple": [2, 1]}, None, pickled(b"short")]},
    {"py/object": "PIL.Image.Image", "py/state": [{}, "RGB", {"py/tuple": [100_000, 100_000]}, None, pickled(b"")]},
    pickled(b"no picture"),
    "/etc/passwd",
    "http://169.254.169.254/",
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: json.dumps(value)[:50])
def test_hostile_bodies_are_refused_without_effect(
    value: Any, frames_url: str, faces_url: str, http: httpx.Client
) -> None:
    wanted = {"fps_max": 1, "width_max": 64, "height_max": 64, "video": value}
    answers = [
        http.post(f"{faces_url}/", **twice({"image": value})),
        http.post(f"{faces_url}/face-analysis", files={"image": ("image", json.dumps(value))}),
        http.post(f"{frames_url}/", **twice(wanted)),
        http.post(f"{frames_url}/extract-frames", **twice(wanted)),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text[:300]
        assert list(answer.json()) == ["error"]


class TestTae:
    """The video of the original repository, with the numbers of the original server."""

    @pytest.fixture(scope="class")
    def video(self, shared_dir: Path) -> bytes:
        path = shared_dir / "data" / "tae.mp4"
        if not path.is_file():
            pytest.skip("optional data is absent: data/tae.mp4")
        return path.read_bytes()

    def test_ten_frames_a_second_as_pillow_images(self, video: bytes, frames_url: str, http: httpx.Client) -> None:
        form = {"fps_max": "10", "width_max": "640", "height_max": "480"}
        answer = http.post(f"{frames_url}/extract-frames", data=form, files={"video": ("Tae.mp4", video)})
        document = answer.json()
        assert document["metadata"] == {
            "num_frames_original": 555,
            "num_frames": 93,
            "duration_seconds": 9.25,
            "fps_original": 60.0,
            "fps": 10.054054054054054,
            "width_original": 1280,
            "height_original": 720,
            "width": 640,
            "height": 360,
            "frame_idx_original": list(range(0, 555, 6)),
        }
        assert len(document["frames"]) == 93
        assert all(frame["py/state"][2] == {"py/tuple": [640, 360]} for frame in document["frames"])

    def test_one_frame_a_second_as_files_and_the_face_in_each(
        self, video: bytes, frames_url: str, faces_url: str, http: httpx.Client
    ) -> None:
        wanted = {"fps_max": 1, "width_max": 1280, "height_max": 720, "video": pickled(video)}
        document = http.post(f"{frames_url}/", **twice(wanted)).json()
        assert document["metadata"] == {
            "num_frames_original": 555,
            "num_frames": 10,
            "duration_seconds": 9.25,
            "fps_original": 60.0,
            "fps": 1.0810810810810811,
            "width_original": 1280,
            "height_original": 720,
            "width": 1280,
            "height": 720,
            "frame_idx_original": list(MAIN_FACES),
        }
        for frame, box in zip(document["frames"], MAIN_FACES.values(), strict=True):
            faces = faces_of(http.post(f"{faces_url}/", **twice({"image": frame})))
            assert max(overlap(unpickled(face["bbox"]), box) for face in faces) >= 0.6

    def test_a_rate_between_rounds_to_even(self, video: bytes, frames_url: str, http: httpx.Client) -> None:
        wanted = {"fps_max": 24, "width_max": 100, "height_max": 1000, "video": pickled(video)}
        metadata = http.post(f"{frames_url}/", **twice(wanted)).json()["metadata"]
        assert metadata["num_frames"] == 278
        assert metadata["frame_idx_original"][:3] == [0, 2, 4]
        assert (metadata["width"], metadata["height"]) == (100, 56)
