"""Predecessor 004 (face service, webcam client, folder of files) on a running stack, as its client speaks to it."""

import io
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from PIL import Image

from api.compat.nearest_photo.album import GALLERY
from deploy.demo.photographs import PEOPLE, load_photograph
from tests.acceptance.conftest import LaunchedStack, compat_url, free_offset, wait_for
from tests.conftest import ROOT

PORT = 5000
CROP_PX = 96

#: The client gives up after so long.
PATIENCE_S = 10


@pytest.fixture
def http(compat_stack: LaunchedStack) -> Iterator[httpx.Client]:
    """As the client posts: no redirects, raw JPEG bodies. The gallery is empty before and after."""
    with httpx.Client(
        base_url=compat_url(compat_stack, PORT),
        timeout=60,
        follow_redirects=False,
        headers={"Content-Type": "image/jpeg"},
    ) as client:
        gallery = f"{compat_stack.url}/v1/galleries/{GALLERY}"
        client.delete(gallery)
        yield client
        client.delete(gallery)


def crop_of(person: str, *, side_px: int = CROP_PX, degrees: float = 0, light: float = 1.0) -> bytes:
    """A square JPEG of a face as the client cuts it out; `degrees` and `light` make another shot of it."""
    photograph = Image.fromarray(load_photograph(PEOPLE[person].photograph)).rotate(
        degrees, Image.Resampling.BICUBIC, center=middle(person)
    )
    x, y = middle(person)
    x1, y1, x2, y2 = PEOPLE[person].face
    half = max(x2 - x1, y2 - y1) * 0.6
    box = (round(x - half), round(y - half), round(x + half), round(y + half))
    crop = photograph.crop(box).resize((side_px, side_px), Image.Resampling.LANCZOS)
    return jpeg(crop.point(lambda value: int(value * light)))


def middle(person: str) -> tuple[float, float]:
    x1, y1, x2, y2 = PEOPLE[person].face
    return (x1 + x2) / 2, (y1 + y2) / 2


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_liveness(http: httpx.Client) -> None:
    answer = http.get("/test")
    assert (answer.status_code, answer.text) == (200, '{"message": "test success"}')
    assert answer.headers["Content-Type"].startswith("text/html")


def test_register_and_detect_as_the_webcam_client_does(http: httpx.Client) -> None:
    """A8: register `thomas_1` and `thomas_3`, detect another shot; its URL ends with a slash."""
    assert http.post("/detect", content=crop_of("Boris")).json() == {
        "dist": "100",
        "message": "image received. size=96x96",
        "name": None,
    }
    answer = http.post(f"{http.base_url}//user/thomas_1", content=crop_of("Boris"))
    assert answer.status_code == 200
    assert answer.json() == {"dist": "0", "message": "image received. size=96x96", "name": "thomas_1"}
    assert http.post("/user/thomas_3", content=crop_of("Boris", light=0.8)).status_code == 200
    began = time.monotonic()
    answer = http.post(f"{http.base_url}//detect", content=crop_of("Boris", degrees=3, light=0.9))
    assert time.monotonic() - began < PATIENCE_S
    assert answer.status_code == 200
    document = answer.json()
    assert list(document) == ["dist", "message", "name"]
    assert document["name"] == "thomas"
    assert re.fullmatch(r"\d+\.\d+(e-\d+)?", document["dist"])
    assert 0 <= float(document["dist"]) < 1


def test_several_photos_per_person_and_the_suffix_is_stripped(http: httpx.Client, compat_stack: LaunchedStack) -> None:
    for name, person in (("anna_maria_1", "Dora"), ("anna_maria_2", "Astrid"), ("bob", "Carlo")):
        assert http.post(f"/user/{name}", content=crop_of(person)).json()["name"] == name
    for name, person in (("anna_maria", "Dora"), ("anna_maria", "Astrid"), ("bob", "Carlo")):
        assert http.post("/detect", content=crop_of(person, degrees=-3)).json()["name"] == name
    page = httpx.get(f"{compat_stack.url}/v1/galleries/{GALLERY}/subjects").json()["items"]
    assert {one["external_id"]: one["sample_count"] for one in page} == {"anna_maria": 2, "bob": 1}


def test_a_name_registered_again_is_overwritten(http: httpx.Client) -> None:
    http.post("/user/guest_1", content=crop_of("Dora"))
    http.post("/user/guest_1", content=crop_of("Carlo"))
    assert http.post("/detect", content=crop_of("Carlo", degrees=2)).json()["name"] == "guest"
    assert http.post("/detect", content=crop_of("Dora")).json()["name"] is None


def test_threshold_a_stranger_is_nobody_and_status_200(http: httpx.Client) -> None:
    http.post("/user/thomas_1", content=crop_of("Boris"))
    for stranger in ("a stranger on the left", "a stranger in black", "Carlo"):
        answer = http.post("/detect", content=crop_of(stranger))
        assert answer.status_code == 200
        assert answer.json()["name"] is None
        assert 1 < float(answer.json()["dist"]) <= 2


def test_any_size_is_taken_and_the_distance_is_that_of_the_embeddings(
    http: httpx.Client, compat_stack: LaunchedStack
) -> None:
    small, large = crop_of("Boris"), crop_of("Boris", side_px=300)
    http.post("/user/thomas_1", content=small)
    document = http.post("/detect", content=large).json()
    assert document["message"] == "image received. size=300x300"
    assert document["name"] == "thomas"
    compared = httpx.post(
        f"{compat_stack.url}/v1/compare", files={"source": ("a.jpg", small), "target": ("b.jpg", large)}, timeout=60
    ).json()
    assert float(document["dist"]) == pytest.approx(math.sqrt(2 - 2 * compared["similarity"]), abs=0.01)


def test_a_crop_in_which_no_face_is_found_counts_as_one(http: httpx.Client) -> None:
    """The client sends what it took for a face: 96 x 96 pixels of which the detector may make nothing."""
    wall = jpeg(Image.linear_gradient("L").convert("RGB").resize((CROP_PX, CROP_PX)))
    assert http.post("/user/wall", content=wall).status_code == 200
    assert http.post("/detect", content=wall).json()["name"] == "wall"
    assert http.post("/detect", content=crop_of("Boris")).json()["name"] is None
    whole_frame = jpeg(Image.new("RGB", (320, 240), (90, 90, 90)))
    assert http.post("/detect", content=whole_frame).json()["dist"] == "100"


def test_security_probes_have_no_effect(http: httpx.Client, compat_stack: LaunchedStack) -> None:
    crop = crop_of("Boris")
    for path in ("/user/..%2Fx", "/user/%2Fetc%2Fpasswd", "/user/..", "/user/a%00", "/user/" + "a" * 65):
        assert 400 <= http.post(path, content=crop).status_code < 500
    for body in (b"", b"no picture", b"/etc/passwd", b"http://169.254.169.254/", crop[: len(crop) // 8]):
        assert 400 <= http.post("/detect", content=body).status_code < 500
        assert 400 <= http.post("/user/bob", content=body).status_code < 500
    injected = http.post("/user/" + "'); DROP TABLE x;--", content=crop)
    assert injected.status_code == 400
    page = httpx.get(f"{compat_stack.url}/v1/galleries/{GALLERY}/subjects").json()
    assert page.get("items", []) == []


def test_files_dropped_into_the_folder_are_recognised_and_registrations_outlive_a_restart(
    launch: Callable[..., LaunchedStack], home: Path, tmp_path: Path
) -> None:
    db = tmp_path / "db"
    db.mkdir()
    (db / "thomas_1.jpg").write_bytes(crop_of("Boris"))
    (db / "thomas_2.jpg").write_bytes(crop_of("Boris", light=0.8))
    env = {
        "FACEPIPE_COMPAT": "004",
        "FACEPIPE_COMPAT_PORT_OFFSET": str(free_offset()),
        "FACEPIPE_COMPAT_004_DB": str(db),
    }
    for start in (1, 2):
        stack = launch(home, env).wait_until_ready()
        console = home / "logs" / "compat.log"
        wait_for(lambda file=console: "in the folder" in file.read_text(), 30, stack.describe)  # type: ignore[misc]
        said = console.read_text()
        assert "thomas_1.jpg\nLoading file for thomas_1\nthomas_2.jpg\nLoading file for thomas_2\n" in said
        with httpx.Client(base_url=compat_url(stack, PORT), timeout=60) as http:
            assert http.post("/detect", content=crop_of("Boris", degrees=3)).json()["name"] == "thomas"
            if start == 1:
                assert "2 of them new" in said
                assert http.post("/user/dora_1", content=crop_of("Dora")).status_code == 200
                (db / "emil_1.jpg").write_bytes(crop_of("Emil"))
            else:
                assert "3 files in the folder, 1 of them new" in said
                assert http.post("/detect", content=crop_of("Dora", degrees=3)).json()["name"] == "dora"
                assert http.post("/detect", content=crop_of("Emil")).json()["name"] == "emil"
        assert stack.stop() == 0


def test_the_program_of_the_pod_serves_the_probe_and_the_client(
    launch: Callable[..., LaunchedStack], home: Path, tmp_path: Path, empty_database_url: str, redis_url: str
) -> None:
    """Kubernetes without Kubernetes: the container's command and variables, with test servers in place of sidecars."""
    (container,) = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "fr_deployment.yml").read_text())["spec"][
        "template"
    ]["spec"]["containers"]
    assert container["command"][1:] == ["-m", "deploy.up"]  # what `launch` starts
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    for name in ("FACEPIPE_FRAMES__DIRECTORY", "FACEPIPE_COMPAT_004_DB"):
        folder = tmp_path / env[name].lstrip("/")
        folder.mkdir()
        env[name] = str(folder)
    env |= {"FACEPIPE_DATABASE_URL": empty_database_url, "FACEPIPE_REDIS_URL": redis_url, "FACEPIPE_HOME": str(home)}
    env["FACEPIPE_COMPAT_PORT_OFFSET"] = str(free_offset())
    (tmp_path / "db" / "thomas_1.jpg").write_bytes(crop_of("Boris"))
    stack = launch(home, env).wait_until_ready()
    probe = container["readinessProbe"]["httpGet"]
    url = compat_url(stack, probe["port"])
    assert httpx.get(url + probe["path"], timeout=60).text == '{"message": "test success"}'
    console = home / "logs" / "compat.log"
    wait_for(lambda: "1 of them new" in console.read_text(), 30, stack.describe)
    found = httpx.post(f"{url}/detect", content=crop_of("Boris", degrees=3), timeout=60)
    assert found.json()["name"] == "thomas"
    assert httpx.get(f"{stack.url}/v1/galleries").status_code == 401  # the API itself wants a key beyond the pod
