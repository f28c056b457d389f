"""The API in front of real pools, spoken to in plain HTTP."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import insightface
import pytest
import skimage
from PIL import Image

from common.settings import ApiSettings
from tests.acceptance.conftest import LaunchedStack, wait_for

GROUP = (Path(insightface.__file__).parent / "data" / "images" / "t1.jpg").read_bytes()


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PORTRAIT = png(Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").crop((60, 0, 360, 300)))


@pytest.fixture
def http(stack: LaunchedStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        yield client


@pytest.fixture
def gallery(http: httpx.Client) -> Iterator[str]:
    name = f"g-{time.time_ns()}"
    assert http.post("/v1/galleries", json={"name": name}).status_code == 201
    yield name
    http.delete(f"/v1/galleries/{name}")


def another_shot(picture: bytes) -> bytes:
    """The same person in another size, light and turn, as another camera would see them."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    smaller = image.resize((image.width * 4 // 5, image.height * 4 // 5)).rotate(4, Image.Resampling.BICUBIC)
    return png(smaller.point(lambda value: int(value * 0.85)))


def files(**parts: bytes) -> dict[str, tuple[str, bytes]]:
    return {name: (f"{name}.jpg", data) for name, data in parts.items()}


def events(http: httpx.Client, job_id: str, last: str | None = None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(id, name, document) of every event until the stream closes."""
    headers = {"Last-Event-ID": last} if last else {}
    with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=120) as response:
        assert response.status_code == 200
        event: dict[str, str] = {}
        for line in response.iter_lines():
            if line.startswith(":") or line.startswith("retry"):
                continue
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                yield event.get("id", ""), event["event"], json.loads(event["data"])
                event = {}


def job_ids(http: httpx.Client) -> set[str]:
    return {job["id"] for job in http.get("/v1/jobs").json()["items"]}


def finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    for _, name, document in events(http, job_id):
        if name == "end":
            return document
    raise AssertionError("the stream closed without an end")


def test_the_server_is_ready_and_knows_its_workers(http: httpx.Client) -> None:
    response = http.get("/readyz")
    assert response.status_code == 200
    assert all(response.json()["workers"].values())


def test_a_flat_picture_has_no_faces(http: httpx.Client) -> None:
    flat = png(Image.new("RGB", (320, 240), (128, 128, 128)))
    document = http.post("/v1/detect", files=files(image=flat)).json()
    assert document == {"width_px": 320, "height_px": 240, "faces": []}


def test_every_face_of_a_group_is_found_where_it_is(http: httpx.Client) -> None:
    document = http.post("/v1/detect", files=files(image=GROUP)).json()
    assert len(document["faces"]) == 6
    scores = [face["det_score"] for face in document["faces"]]
    assert scores == sorted(scores, reverse=True)
    for face in document["faces"]:
        x1, y1, x2, y2 = face["box"]
        assert all(x1 <= x <= x2 and y1 <= y <= y2 for x, y in face["landmarks"])


def test_embeddings_have_unit_length_and_name_their_model(http: httpx.Client) -> None:
    document = http.post("/v1/embeddings", files=files(image=PORTRAIT)).json()
    (face,) = document["faces"]
    assert sum(value * value for value in face["embedding"]) == pytest.approx(1, abs=1e-4)
    assert document["model_id"] == http.get("/readyz").json()["model_id"]


def test_one_person_is_alike_and_the_bound_decides(http: httpx.Client) -> None:
    parts = files(source=PORTRAIT, target=another_shot(PORTRAIT))
    document = http.post("/v1/compare", files=parts).json()
    assert document["matched"]
    assert document["similarity"] > document["min_similarity"]
    strict = http.post("/v1/compare", files=parts, data={"min_similarity": "1"}).json()
    assert not strict["matched"]
    other = http.post("/v1/compare", files=files(source=PORTRAIT, target=GROUP)).json()
    assert not other["matched"]


@pytest.mark.parametrize("data", [b"garbage" * 100, PORTRAIT[:2000], b"GIF89a"])
def test_what_is_no_picture_is_the_callers_fault(http: httpx.Client, data: bytes) -> None:
    response = http.post("/v1/detect", files=files(image=data))
    assert response.status_code == 400
    assert response.json()["error"]["code"] in {"bad_media", "truncated_media"}
    assert response.json()["error"]["field"] == "image"


def test_a_person_is_enrolled_searched_and_erased(http: httpx.Client, gallery: str) -> None:
    flat = png(Image.new("RGB", (200, 200)))
    response = http.post(
        f"/v1/galleries/{gallery}/subjects",
        data={"name": "Eileen", "metadata": '{"role": "astronaut"}'},
        files=[("images", ("a.png", PORTRAIT)), ("images", ("group.jpg", GROUP)), ("images", ("flat.png", flat))],
    )
    assert response.status_code == 201, response.text
    eileen = response.json()
    assert len(eileen["samples"]) == 1
    assert {one["file"]: one["code"] for one in eileen["rejected"]} == {
        "group.jpg": "several_faces",
        "flat.png": "no_face",
    }
    crop = Image.open(io.BytesIO(http.get(eileen["samples"][0]["crop_url"]).content))
    assert (crop.format, crop.size) == ("JPEG", (112, 112))
    probe = files(image=another_shot(PORTRAIT))
    (face,) = http.post(f"/v1/galleries/{gallery}/search", files=probe).json()["faces"]
    (candidate,) = face["candidates"]
    assert (candidate["subject_id"], candidate["name"], candidate["metadata"]) == (
        eileen["id"],
        "Eileen",
        {"role": "astronaut"},
    )
    strangers = http.post(f"/v1/galleries/{gallery}/search", files=files(image=GROUP)).json()
    assert [face["candidates"] for face in strangers["faces"]] == [[]] * 6
    http.delete(f"/v1/galleries/{gallery}/subjects/{eileen['id']}")
    (face,) = http.post(f"/v1/galleries/{gallery}/search", files=probe).json()["faces"]
    assert face["candidates"] == []
    assert http.get(eileen["samples"][0]["crop_url"]).status_code == 404


def test_nobody_is_enrolled_from_a_blurred_or_empty_picture(http: httpx.Client, gallery: str) -> None:
    image = Image.open(io.BytesIO(PORTRAIT)).convert("RGB")
    blurred = png(image.resize((image.width // 12, image.height // 12)).resize(image.size, Image.Resampling.BICUBIC))
    for picture, codes in ((blurred, {"face_too_blurred", "no_face"}), (b"", {"empty_file"})):
        response = http.post(
            f"/v1/galleries/{gallery}/subjects", data={"name": "Eileen"}, files=[("images", ("a.png", picture))]
        )
        assert response.status_code == 422, response.text
        assert response.json()["rejected"][0]["code"] in codes


def test_pictures_of_calls_are_gone_afterwards(http: httpx.Client, stack: LaunchedStack) -> None:
    http.post("/v1/detect", files=files(image=PORTRAIT))
    http.post("/v1/detect", files=files(image=b"garbage"))
    left = [path for name in ("calls", "incoming") for path in (stack.home / "blobs" / name).glob("*")]
    assert left == []


def test_a_picture_as_a_job_gives_appearances_and_thumbnails(http: httpx.Client, gallery: str) -> None:
    http.post(f"/v1/galleries/{gallery}/subjects", data={"name": "Eileen"}, files=[("images", ("a.png", PORTRAIT))])
    response = http.post("/v1/jobs", data={"gallery": gallery}, files=files(media=another_shot(PORTRAIT)))
    job = finished(http, response.json()["id"])
    assert (job["state"], job["progress"]["fraction"], job["progress"]["faces"]) == ("succeeded", 1.0, 1)
    assert job["media"]["kind"] == "image"
    (appearance,) = http.get(job["links"]["appearances"]).json()["items"]
    assert appearance["name"] == "Eileen"
    thumbnail = Image.open(io.BytesIO(http.get(appearance["thumbnail_url"]).content))
    assert thumbnail.format == "JPEG"
    (detection,) = http.get(job["links"]["detections"]).json()["items"]
    assert (detection["frame_index"], detection["media_time_ms"]) == (0, 0)
    assert detection["subject_id"] == appearance["subject_id"] == detection["candidates"][0]["subject_id"]
    (track,) = http.get(job["links"]["tracks"]).json()["items"]
    assert [http.get(url).status_code for url in track["crop_urls"]] == [200] * len(track["crop_urls"])


def test_a_video_is_followed_to_its_end_and_erased(http: httpx.Client, gallery: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PORTRAIT)
    video = tmp_path / "a.mp4"
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-loop", "1", "-i", str(tmp_path / "a.png"), "-t", "6"),
            *("-r", "10", "-vf", "scale=320:-2", "-pix_fmt", "yuv420p", "-c:v", "libx264", str(video)),
        ],
        check=True,
    )
    http.post(f"/v1/galleries/{gallery}/subjects", data={"name": "Eileen"}, files=[("images", ("a.png", PORTRAIT))])
    data = {"gallery": gallery, "sample_fps": "5"}
    job_id = http.post("/v1/jobs", data=data, files={"media": ("a.mp4", video.read_bytes())}).json()["id"]
    told = list(events(http, job_id))
    assert told[-1][1] == "end"
    revisions = [int(revision) for revision, _, _ in told]
    assert revisions == sorted(set(revisions))
    job = told[-1][2]
    assert (job["state"], job["progress"]["frames_done"], job["media"]["kind"]) == ("succeeded", 30, "video")
    assert list(events(http, job_id, last=told[-1][0])) == [told[-1]]
    (appearance,) = http.get(f"/v1/jobs/{job_id}/appearances").json()["items"]
    assert (appearance["name"], appearance["start_ms"], appearance["detections"]) == ("Eileen", 0, 30)
    lines = http.get(f"/v1/jobs/{job_id}/detections", headers={"Accept": "application/x-ndjson"}).text.splitlines()
    page = http.get(f"/v1/jobs/{job_id}/detections", params={"limit": 1000}).json()
    assert [json.loads(line) for line in lines] == page["items"]
    assert [item["media_time_ms"] for item in page["items"]] == [200 * number for number in range(30)]
    found = http.get(f"/v1/galleries/{gallery}/subjects/{appearance['subject_id']}/appearances").json()["items"]
    assert [one["job_id"] for one in found] == [job_id]
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert http.get(appearance["thumbnail_url"]).status_code == 404


def test_a_file_that_is_no_media_fails_its_job_with_a_reason(http: httpx.Client) -> None:
    job = finished(http, http.post("/v1/jobs", files=files(media=b"garbage" * 1000)).json()["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "bad_media")


def test_streams_of_clients_that_left_are_given_to_others(http: httpx.Client, stack: LaunchedStack) -> None:
    scheduler = stack.pid_of("workers.housekeeping")
    os.kill(scheduler, signal.SIGSTOP)  # a job that nobody schedules is silent: only the heartbeat notices who left
    try:
        events_url = http.post("/v1/jobs", files=files(media=PORTRAIT)).json()["links"]["events"]
        with contextlib.ExitStack() as streams:
            for _ in range(ApiSettings().max_event_streams):
                assert streams.enter_context(http.stream("GET", events_url)).status_code == 200
            refused = http.get(events_url)
            assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)

        def is_let_in() -> bool:
            with http.stream("GET", events_url) as stream:
                return stream.status_code == 200

        wait_for(is_let_in, 90, lambda: "streams of clients that left are still taken")
    finally:
        os.kill(scheduler, signal.SIGCONT)


def test_an_upload_that_breaks_off_makes_no_job_and_leaves_nothing(http: httpx.Client, stack: LaunchedStack) -> None:
    before = job_ids(http)
    head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    part = '--b\r\nContent-Disposition: form-data; name="media"; filename="a"\r\n\r\n'
    incoming = stack.home / "blobs" / "incoming"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n{part}".encode() + b"x" * 200_000)
        wait_for(lambda: any(incoming.iterdir()), 30, lambda: "the upload never began")
    wait_for(lambda: not any(incoming.iterdir()), 30, lambda: "the broken upload is still there")
    assert job_ids(http) == before
