"""Age, gender, dense landmarks and pose through a whole stack, with a pack whose heads are small made-up networks."""

import hashlib
import io
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import skimage
from insightface.app.common import Face
from insightface.model_zoo.attribute import Attribute
from PIL import Image

from common.ffmpeg import find_ffmpeg
from tests.acceptance.conftest import LaunchedStack, wait_for
from tests.conftest import ROOT
from tests.integration.head_networks import SHAPES, write_head

GUESSES = {"attributes", "pose", "landmarks_106", "landmarks_68"}


def portrait() -> bytes:
    file = io.BytesIO()
    Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").crop((60, 0, 360, 300)).save(file, "PNG")
    return file.getvalue()


PORTRAIT = portrait()


def write_pack(folder: Path) -> None:
    """The detector and embedder of `mini`, with made-up heads."""
    mini = ROOT / "models" / "mini"
    folder.mkdir(parents=True)
    manifest = json.loads((mini / "manifest.json").read_text()) | {"name": folder.name}
    manifest["files"] = [file for file in manifest["files"] if file["task"] in {"detection", "embedding"}]
    for file in manifest["files"]:
        shutil.copy(mini / file["name"], folder)
    for contract, (side_px, _, _) in SHAPES.items():
        data = write_head(folder / f"{contract}.onnx", contract).read_bytes()
        manifest["files"].append(
            {
                "name": f"{contract}.onnx",
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "origin": "Made up.",
                "input": {"side_px": side_px, "colour": "rgb", "mean": 127.5, "std": 128.0},
                "task": "attributes" if contract == "genderage" else "landmarks",
                "contract": contract,
            }
        )
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    write_pack(folder / "guessing")
    return folder


@pytest.fixture(scope="module")
def http(packs: Path) -> Iterator[httpx.Client]:
    """A stack that runs the pack."""
    with tempfile.TemporaryDirectory(prefix="facepipe-home-") as home:
        env = {"FACEPIPE_MODELS_PATH": str(packs), "FACEPIPE_MODEL_PACK": "guessing"}
        stack = LaunchedStack(Path(home) / "home", env)
        try:
            with httpx.Client(base_url=stack.wait_until_ready().url, timeout=60) as client:
                yield client
        finally:
            stack.stop()


def ask(http: httpx.Client, url: str, **data: str) -> dict[str, Any]:
    """The one face of the portrait."""
    response = http.post(url, data=data, files={"image": ("a.png", PORTRAIT)})
    assert response.status_code == 200, response.text
    (face,) = response.json()["faces"]
    found: dict[str, Any] = face
    return found


def run(http: httpx.Client, media: bytes, **data: str) -> dict[str, Any]:
    """Links of a job that has succeeded."""
    accepted = http.post("/v1/jobs", data=data, files={"media": ("media", media)}).json()

    def state() -> str:
        return str(http.get(accepted["links"]["self"]).json()["state"])

    wait_for(lambda: state() not in {"queued", "running"}, 60, state)
    assert state() == "succeeded"
    links: dict[str, Any] = accepted["links"]
    return links


def test_every_call_gives_the_same_guesses_and_they_are_insightfaces(http: httpx.Client, packs: Path) -> None:
    gallery = f"g-{time.time_ns()}"
    http.post("/v1/galleries", json={"name": gallery})
    urls = ("/v1/detect", "/v1/embeddings", f"/v1/galleries/{gallery}/search")
    detected, embedded, searched = (ask(http, url, attributes="true") for url in urls)
    for face in (detected, embedded, searched):
        assert set(face) >= GUESSES
        assert {name: face[name] for name in GUESSES} == {name: detected[name] for name in GUESSES}
    assert (len(detected["landmarks_106"]), len(detected["landmarks_68"])) == (106, 68)
    assert set(detected["pose"]) == {"pitch", "yaw", "roll"}
    for url in urls:
        assert set(ask(http, url)) & GUESSES == set()

    theirs = Face(bbox=np.array(detected["box"], np.float32))
    picture = cv2.imdecode(np.frombuffer(PORTRAIT, np.uint8), cv2.IMREAD_COLOR)
    Attribute(str(packs / "guessing" / "genderage.onnx")).get(picture, theirs)
    assert detected["attributes"]["age"] == pytest.approx(max(theirs["age"], 0), abs=1.0)
    assert detected["attributes"]["gender"] == ("female", "male")[theirs["gender"]]


def test_a_picture_as_a_job_is_guessed_as_in_a_call(http: httpx.Client) -> None:
    expected = ask(http, "/v1/detect", attributes="true")["attributes"]
    links = run(http, PORTRAIT, attributes="true")
    for kind in ("tracks", "appearances"):
        (one,) = http.get(links[kind]).json()["items"]
        assert one["attributes"] == expected
    (detection,) = http.get(links["detections"]).json()["items"]
    assert "attributes" not in detection
    links = run(http, PORTRAIT)
    for kind in ("tracks", "appearances"):
        (one,) = http.get(links[kind]).json()["items"]
        assert "attributes" not in one


def test_a_video_has_one_guess_a_track_and_an_appearance(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PORTRAIT)
    video = tmp_path / "a.mp4"
    command = [find_ffmpeg(), "-v", "error", "-loop", "1", "-i", str(tmp_path / "a.png"), "-t", "2", "-r", "10"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", "-c:v", "libx264", str(video)], check=True)
    links = run(http, video.read_bytes(), attributes="true", sample_fps="5")
    (track,) = http.get(links["tracks"]).json()["items"]
    (appearance,) = http.get(links["appearances"]).json()["items"]
    assert track["attributes"] == appearance["attributes"]
    still = ask(http, "/v1/detect", attributes="true")["attributes"]
    assert track["attributes"]["age"] == pytest.approx(still["age"], abs=3)
