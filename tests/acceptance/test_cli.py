"""The command line as people and scripts use it: real processes against a real stack."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.ffmpeg import find_ffmpeg
from deploy.demo.montage import write_montage
from deploy.demo.scenes import SCENES, Scene
from facepipe import Client
from tests.acceptance.command_line import CommandLine
from tests.acceptance.conftest import LaunchedStack

# a second of Astrid, then a second of Boris and Carlo
SHORT = (Scene(1.0, SCENES[0].layers), Scene(1.0, SCENES[1].layers))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    write_montage(path, SHORT, ffmpeg_path=find_ffmpeg())
    return path


@pytest.fixture(scope="module")
def gallery(facepipe: CommandLine, people: Path) -> Iterator[str]:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    facepipe("enroll", people, "--gallery", name)
    yield name
    facepipe("gallery", "delete", name)


def test_enrolling_again_enrols_nobody_twice(facepipe: CommandLine, gallery: str, people: Path) -> None:
    done = facepipe("enroll", people, "--gallery", gallery)
    assert "0 enrolled with 0 samples, 5 known before, 0 failed" in done.stdout
    subjects = [json.loads(line) for line in facepipe("subject", "list", "-g", gallery, "--json").stdout.splitlines()]
    assert sorted(subject["external_id"] for subject in subjects) == ["Astrid", "Boris", "Carlo", "Dora", "Emil"]
    assert {subject["sample_count"] for subject in subjects} == {3}


def test_images_that_cannot_be_enrolled_are_named_with_the_reason(
    facepipe: CommandLine, people: Path, tmp_path: Path
) -> None:
    (tmp_path / "Emil").mkdir()
    (tmp_path / "Emil" / "good.jpg").write_bytes((people / "Emil" / "1.jpg").read_bytes())
    (tmp_path / "Emil" / "garbage.png").write_bytes(b"garbage")
    (tmp_path / "Nobody").mkdir()
    (tmp_path / "Nobody" / "empty.jpg").touch()
    name = f"cli-{uuid.uuid4().hex[:8]}"
    done = facepipe("enroll", tmp_path, "--gallery", name, "--json", status=1)
    outcomes = {one["external_id"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert (outcomes["Emil"]["state"], outcomes["Emil"]["samples"]) == ("enrolled", 1)
    assert [(one["file"], one["code"]) for one in outcomes["Emil"]["rejected"]] == [("garbage.png", "bad_media")]
    assert outcomes["Nobody"]["state"] == "failed"
    assert [one["code"] for one in outcomes["Nobody"]["rejected"]] == ["empty_file"]
    assert "Emil/garbage.png: bad_media" in done.stderr
    facepipe("gallery", "delete", name)


def test_a_video_is_submitted_watched_and_read(facepipe: CommandLine, gallery: str, clip: Path) -> None:
    done = facepipe("submit", clip, "--gallery", gallery, "--wait", "--json")
    answer = json.loads(done.stdout)
    assert answer["job"]["state"] == "succeeded"
    names = {one["name"]: (one["start_ms"], one["end_ms"]) for one in answer["appearances"]}
    assert names == {"Astrid": (0, 800), "Boris": (1000, 1800), "Carlo": (1000, 1800)}
    job = answer["job"]["id"]

    readable = facepipe("results", job).stdout
    assert re.search(r"Boris +0:00:01\.000 +0:00:01\.800 +0\.\d{3}", readable)
    rows = list(csv.DictReader(facepipe("results", job, "--csv").stdout.splitlines()))
    assert [row["name"] for row in rows] == [one["name"] for one in answer["appearances"]]
    assert json.loads(facepipe("watch", job, "--json").stdout) == answer

    facepipe("jobs", "delete", job)
    assert "There is no job" in facepipe("results", job, status=2).stderr


def test_thumbnails_are_saved(facepipe: CommandLine, gallery: str, people: Path, tmp_path: Path) -> None:
    answer = json.loads(facepipe("submit", people / "Dora" / "1.jpg", "-g", gallery, "--wait", "--json").stdout)
    facepipe("results", answer["job"]["id"], "--thumbnails", tmp_path)
    (picture,) = tmp_path.iterdir()
    assert picture.name == "001-Dora.jpg"
    assert picture.read_bytes()[:2] == b"\xff\xd8"


def test_a_job_that_fails_is_status_1_with_the_reason(facepipe: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a video" * 100)
    done = facepipe("submit", tmp_path / "clip.mp4", "--wait", status=1)
    assert "The job is failed" in done.stderr


def test_asking_for_an_unknown_gallery_is_status_2(facepipe: CommandLine, people: Path) -> None:
    done = facepipe("search", people / "Dora" / "1.jpg", "--gallery", "nobody", status=2)
    assert "There is no gallery 'nobody'" in done.stderr
    assert done.stdout == ""


def test_faces_are_searched_detected_embedded_and_compared(facepipe: CommandLine, gallery: str, people: Path) -> None:
    dora, carlo = people / "Dora" / "1.jpg", people / "Carlo" / "2.jpg"
    found = json.loads(facepipe("search", dora, "-g", gallery, "--json").stdout)
    assert [face["candidates"][0]["name"] for face in found["faces"]] == ["Dora"]
    assert len(json.loads(facepipe("detect", dora, "--json").stdout)["faces"]) == 1
    (face,) = json.loads(facepipe("embed", dora, "--json").stdout)["faces"]
    assert sum(value * value for value in face["embedding"]) == pytest.approx(1, abs=1e-4)
    assert json.loads(facepipe("compare", dora, people / "Dora" / "3.jpg", "--json").stdout)["matched"] is True
    assert json.loads(facepipe("compare", dora, carlo, "--json").stdout)["matched"] is False


def test_progress_and_data_do_not_mix(facepipe: CommandLine, people: Path) -> None:
    done = facepipe("submit", people / "Dora" / "1.jpg", "--wait", "--json")
    assert all(json.loads(line) for line in done.stdout.splitlines())
    assert "succeeded" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_gets_bars(facepipe: CommandLine, people: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        facepipe.argv("submit", people / "Dora" / "1.jpg", "--wait"),
        env=facepipe.env | {"TERM": "xterm-256color", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 4096):
            shown += piece
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(leader)
    assert process.wait(60) == 0
    assert "━" in shown.decode()
    assert "succeeded" in shown.decode()


def test_ctrl_c_leaves_the_job_running_and_says_how_to_watch_it(
    facepipe: CommandLine, stack: LaunchedStack, tmp_path: Path
) -> None:
    clip = tmp_path / "long.mp4"
    write_montage(clip, (Scene(6.0, SCENES[1].layers),), ffmpeg_path=find_ffmpeg())
    process = subprocess.Popen(
        facepipe.argv("submit", clip, "--sample-fps", "25", "--wait"),
        env=facepipe.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background has them, and their children, ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as short as can be
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("long.mp4: "):  # it is followed
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    (job_id,) = re.findall(r"facepipe watch ([0-9a-f-]{36})", said)
    with Client(stack.url) as client:
        assert not client.jobs.get(job_id).is_final
        assert client.jobs.cancel(job_id).state == "cancelled"
        client.jobs.delete(job_id)
