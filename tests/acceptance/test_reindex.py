"""A gallery moves to another model and back on a real stack, while it is searched and its pools are killed."""

import os
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facepipe import Client
from tests.acceptance.conftest import LaunchedStack, wait_for

PEOPLE = 8
PICTURES = 2
READY_S = 60.0

Answer = tuple[str, tuple[tuple[str, float], ...]]


@pytest.fixture
def photographs(shared_dir: Path, tmp_path: Path) -> dict[str, list[Path]]:
    """Person to some photographs of LFW; skips where they, or the reference weights, are absent."""
    archive = shared_dir / "data" / "lfw-train.tar"
    if not archive.exists() or not (shared_dir / "models" / "reference" / "rec_mobilefacenet.onnx").exists():
        pytest.skip("the photographs of LFW or the reference pack's weights are absent")
    found: dict[str, list[Path]] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            person = member.name.split("/")[0]
            if len(found.setdefault(person, [])) < PICTURES + 1 and member.isfile():
                tar.extract(member, tmp_path, filter="data")
                found[person].append(tmp_path / member.name)
            complete = {name: files for name, files in found.items() if len(files) == PICTURES + 1}
            if len(complete) == PEOPLE:
                return complete
    pytest.skip("the archive of LFW has too few people")


@pytest.fixture
def stand(launch: Callable[..., LaunchedStack], home: Path, shared_dir: Path) -> Iterator[LaunchedStack]:
    yield launch(home, {"FACEPIPE_MODELS_PATH": str(shared_dir / "models")}).wait_until_ready()


class Searcher(threading.Thread):
    """Searches for the same picture again and again, and keeps every answer."""

    def __init__(self, url: str, picture: Path) -> None:
        super().__init__(daemon=True)
        self._client = Client(url)
        self._picture = picture
        self._stopping = threading.Event()
        self.answers: list[Answer] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.answers.append(search(self._client, "staff", self._picture))
            except Exception as error:  # noqa: BLE001 - counted by the test
                self.errors.append(error)

    def stop(self) -> None:
        self._stopping.set()
        self.join(READY_S)


def search(client: Client, gallery: str, picture: Path) -> Answer:
    found = client.search(gallery, picture, min_similarity=-1.0, limit=PEOPLE)
    (face, *_) = sorted(found.faces, key=lambda face: face.box[0] - face.box[2])
    return found.model_id or "", tuple((one.name or "", one.similarity) for one in face.candidates)


def test_a_gallery_moves_to_another_model_and_back_while_it_is_searched(
    stand: LaunchedStack, photographs: dict[str, list[Path]]
) -> None:
    client = Client(stand.url)
    client.galleries.create("staff")
    for name, pictures in photographs.items():
        client.subjects.enroll("staff", name, pictures[:PICTURES])
    probes = [pictures[PICTURES] for pictures in photographs.values()]
    before = [search(client, "staff", probe) for probe in probes]
    searcher = Searcher(stand.url, probes[0])
    searcher.start()
    wait_for(lambda: searcher.answers, READY_S, stand.describe)

    job = client.bulk.reindex("staff", "reference")
    for stage in ("embed", "match"):
        victim = stand.pid_of(f"-Q {stage} ")
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda victim=victim: victim not in stand.processes(), READY_S, stand.describe)  # type: ignore[misc]
    done = client.jobs.wait(job.id, timeout_s=120)
    assert (done.state, done.error) == ("succeeded", None)
    after = search(client, "staff", probes[0])
    searcher.stop()

    assert searcher.errors == []
    assert set(searcher.answers) <= {before[0], after}, "a search saw a mixture"
    assert before[0] in searcher.answers
    report: Any = done.report
    assert report["is_switched"]
    enrolled = client.galleries.get("staff").sample_count
    assert report["samples"]["embedded"] == report["samples"]["compared"] == enrolled > PEOPLE

    # the same pictures, enrolled from scratch in the new model
    client.galleries.create("fresh", model="reference")
    for name, pictures in photographs.items():
        client.subjects.enroll("fresh", name, pictures[:PICTURES])
    for probe in probes:
        (moved_model, moved), (fresh_model, fresh) = (search(client, name, probe) for name in ("staff", "fresh"))
        assert moved_model == fresh_model == report["to_model"]
        assert dict(moved) == pytest.approx(dict(fresh), abs=0.03)  # crops were JPEG files in between
    assert client.galleries.get("staff").previous_model_id == report["from_model"]

    client.jobs.wait(client.bulk.rollback("staff").id, timeout_s=60)
    assert [search(client, "staff", probe) for probe in probes] == before


def test_somebody_enrolled_later_is_found_with_the_times_of_a_fresh_run(stack: LaunchedStack, shared_dir: Path) -> None:
    client = Client(stack.url)
    client.galleries.create("later")
    video = shared_dir / "data" / "tae.mp4"
    past = client.jobs.wait(client.jobs.submit(video, gallery="later", sample_fps=5).id)
    assert {one.subject_id for one in client.jobs.appearances(past.id)} == {None}
    client.subjects.enroll("later", "Tae", [shared_dir / "data" / "tae-frame-00180.jpg"])
    job = client.jobs.wait(client.bulk.rematch("later").id, timeout_s=60)
    assert (job.state, job.kind) == ("succeeded", "rematch")
    fresh = client.jobs.wait(client.jobs.submit(video, gallery="later", sample_fps=5).id)

    def said(job_id: str) -> list[tuple[Any, ...]]:
        return [
            (one.subject_id, one.name, one.start_ms, one.end_ms, one.best_similarity, one.detections)
            for one in client.jobs.appearances(job_id)
        ]

    assert said(past.id) == said(fresh.id)
    assert "Tae" in {name for _, name, *_ in said(past.id)}
    assert job.report is not None
    assert {one["after"]["name"] for one in job.report["changes"]} == {"Tae"}
    for job_id in (past.id, fresh.id):
        client.jobs.delete(job_id)
    client.galleries.delete("later")
