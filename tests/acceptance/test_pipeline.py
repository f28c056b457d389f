"""Videos and images through the whole stack: who appears, and when."""

import json
from pathlib import Path
from typing import Any

import pytest

from facepipe import Client
from tests.acceptance.conftest import LaunchedStack


@pytest.fixture
def client(stack: LaunchedStack) -> Client:
    return Client(stack.url)


def iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.fixture
def tae(client: Client, shared_dir: Path) -> Any:
    """The finished job of the sample video, its person enrolled from one of its frames."""
    client.galleries.create("tae")
    client.subjects.enroll("tae", "Tae", [shared_dir / "data" / "tae-frame-00180.jpg"])
    submitted = client.jobs.submit(shared_dir / "data" / "tae.mp4", gallery="tae", sample_fps=5)
    yield client.jobs.wait(submitted.id)
    client.jobs.delete(submitted.id)
    client.galleries.delete("tae")


def test_the_main_person_of_the_sample_video_has_one_appearance_that_spans_it(client: Client, tae: Any) -> None:
    assert tae.state == "succeeded", tae.error
    assert (tae.progress.frames_done, tae.progress.frames_total, tae.progress.fraction) == (47, 47, 1.0)
    (appearance,) = [one for one in client.jobs.appearances(tae.id) if one.name == "Tae"]
    assert appearance.start_ms == 0
    assert appearance.end_ms >= 9000
    thumbnail = client.jobs.thumbnail(appearance)
    assert thumbnail is not None
    assert thumbnail.startswith(b"\xff\xd8\xff")


def test_boxes_of_the_sample_video_agree_with_the_published_ones(client: Client, tae: Any, shared_dir: Path) -> None:
    found: dict[int, list[list[float]]] = {}
    for detection in client.jobs.detections(tae.id):
        found.setdefault(detection.frame_index, []).append(list(detection.box))
    reference = json.loads((shared_dir / "data" / "tae-reference.json").read_text())
    agreeing = 0
    for frame in reference["frames"]:
        main = max((face["bbox"] for face in frame["faces"]), key=lambda box: box[2] - box[0])
        agreeing += max((iou(main, box) for box in found.get(frame["frame"], [])), default=0.0) >= 0.6
    assert len(reference["frames"]) == 10
    assert agreeing >= 9


def test_what_a_finished_job_no_longer_needs_is_gone(stack: LaunchedStack, tae: Any) -> None:
    assert not (stack.home / "blobs" / "jobs" / tae.id / "media").exists()
    assert (stack.home / "blobs" / "jobs" / tae.id / "tracks").is_dir()
