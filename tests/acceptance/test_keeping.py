"""Galleries that are kept for years: enrolled in bulk, moved, audited, and people erased from them."""

import json
import re
import signal
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from common.ffmpeg import find_ffmpeg
from deploy.demo.montage import write_montage
from deploy.demo.scenes import SCENES, Scene
from facepipe import Client
from tests.acceptance.command_line import CommandLine
from tests.acceptance.conftest import LaunchedStack

PEOPLE = ["Astrid", "Boris", "Carlo", "Dora", "Emil"]


@pytest.fixture(scope="module")
def client(stack: LaunchedStack) -> Iterator[Client]:
    with Client(stack.url) as made:
        yield made


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    made = f"keep-{uuid.uuid4().hex[:8]}"
    yield made
    for gallery in client.galleries.list():
        if gallery.name.startswith(made):
            client.galleries.delete(gallery.name)


def test_an_enrolment_that_was_killed_goes_on_where_it_was(
    facepipe: CommandLine, client: Client, people: Path, name: str, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        facepipe.argv("enroll", people, "-g", name, "--parallel", "1", "--json"),
        env=facepipe.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert (first["state"], first["samples"]) == ("enrolled", 3)

    (people / "Emil" / "broken.png").write_bytes(b"broken")
    report = tmp_path / "report.json"
    done = facepipe("enroll", people, "-g", name, "--report", report)
    (people / "Emil" / "broken.png").unlink()
    known = int(re.findall(r"(\d) known before, 0 failed", done.stdout)[0])
    assert known >= 1
    assert "bad_media" in done.stdout
    assert sorted(subject.external_id or "" for subject in client.subjects.list(name)) == PEOPLE
    assert {subject.sample_count for subject in client.subjects.list(name)} == {3}
    written = json.loads(report.read_text())
    assert [(one["external_id"], one["code"]) for one in written["refused"]] == [("Emil", "bad_media")]
    assert (written["by_reason"], written["is_complete"]) == ({"bad_media": 1}, True)
    assert written["totals"]["known_images"] >= 3
    enrolled = list(client.audit.list(action="enroll", gallery=name))
    assert sum(line.counts["samples"] for line in enrolled) == 15  # nothing was enrolled twice


def test_a_gallery_comes_back_from_its_file_with_the_same_answers(
    facepipe: CommandLine, client: Client, people: Path, name: str, tmp_path: Path
) -> None:
    facepipe("enroll", people, "-g", name, "--max-images", "2")
    before = [client.search(name, people / person / "3.jpg") for person in PEOPLE]
    file = tmp_path / "gallery.zip"
    assert "5 subjects with 10 samples" in facepipe("gallery", "export", name, "--to", file).stdout
    facepipe("gallery", "export", name, "--to", file, status=2)
    with zipfile.ZipFile(file) as members:
        assert members.namelist()[-1] == "SHA256SUMS"
        assert len([one for one in members.namelist() if one.endswith(".jpg")]) == 10

    copy = f"{name}-copy"
    done = facepipe("gallery", "import", file, "--gallery", copy)
    assert "5 imported with 10 samples, 0 known before, 0 failed; 0 samples left out." in done.stdout
    assert "without an embedding" not in done.stderr
    copied = [client.search(copy, people / person / "3.jpg") for person in PEOPLE]
    shown = [
        [[(one.name, one.similarity) for one in face.candidates] for face in faces.faces]
        for faces in (*before, *copied)
    ]
    assert shown[:5] == shown[5:]
    assert [faces[0][0][0] for faces in shown[:5]] == PEOPLE

    client.galleries.delete(name)
    facepipe("gallery", "import", file)  # now the ids are free, and the name is the one that was exported
    assert [client.search(name, people / person / "3.jpg") for person in PEOPLE] == before
    assert "0 imported with 0 samples, 5 known before" in facepipe("gallery", "import", file).stdout


def test_nothing_is_left_of_an_erased_person(
    facepipe: CommandLine, client: Client, stack: LaunchedStack, people: Path, name: str, tmp_path: Path
) -> None:
    facepipe("enroll", people, "-g", name, "--max-images", "2")
    clip = tmp_path / "clip.mp4"
    write_montage(clip, (Scene(1.0, SCENES[1].layers),), ffmpeg_path=find_ffmpeg())  # Boris and Carlo
    job = client.jobs.wait(client.jobs.submit(clip, gallery=name).id)
    assert {one.name for one in client.jobs.appearances(job.id)} == {"Boris", "Carlo"}
    facepipe("gallery", "export", name, "--to", tmp_path / "staff.zip")
    (boris,) = client.subjects.list(name, external_id="Boris")

    assert "say --yes" in facepipe("erase", "Boris", "-g", name, status=2).stderr
    done = facepipe("erase", "Boris", "-g", name, "--yes", "--json", "--receipt", tmp_path / "receipt.json")
    receipt = json.loads(done.stdout)
    assert json.loads((tmp_path / "receipt.json").read_text()) == receipt
    assert receipt["removed"]["samples"] == 2
    assert receipt["removed"]["tracks"] >= 1
    assert receipt["removed"]["detections"] >= 1
    assert [one["label"] for one in receipt["exports"]] == ["staff.zip"]

    assert {one.name for one in client.jobs.appearances(job.id)} == {"Carlo"}
    assert {one.name for one in client.jobs.tracks(job.id)} == {"Carlo"}
    assert all(boris.id not in str(track.candidates) for track in client.jobs.tracks(job.id))
    tracks = {track.track_id for track in client.jobs.tracks(job.id)}
    assert {one.track_id for one in client.jobs.detections(job.id)} == tracks
    candidates = [face.candidates for face in client.search(name, people / "Boris" / "3.jpg", min_similarity=-1).faces]
    assert boris.id not in str(candidates)
    assert tables_with(stack.state["database_url"], boris.id) <= {"audit", "erased_subjects", "exported_subjects"}
    blobs = [str(path) for path in (stack.home / "blobs").rglob("*") if path.is_file()]
    assert [path for path in blobs if boris.id in path] == []
    of_job = {Path(path).name.split(".")[0] for path in blobs if f"{job.id}/tracks/" in path}
    assert of_job == {str(track) for track in tracks}

    lines = [json.loads(line) for line in facepipe("audit", "--subject", boris.id, "--json").stdout.splitlines()]
    assert {"erase", "enroll"} <= {line["action"] for line in lines}
    assert lines[0]["receipt"]["sha256"] == receipt["sha256"]
    assert "Boris" not in json.dumps(lines)
    assert "erase" in facepipe("audit", "-g", name).stdout
    client.jobs.delete(job.id)


def tables_with(database_url: str, needle: str) -> set[str]:
    """Tables of a database with a row whose text has `needle`."""
    connection = psycopg2.connect(database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "select table_name from information_schema.tables"
                " where table_schema = 'public' and table_type = 'BASE TABLE'"
            )
            found = set()
            for (table,) in cursor.fetchall():
                cursor.execute(f"select 1 from {table} t where position(%s in t::text) > 0 limit 1", (needle,))
                if cursor.fetchone():
                    found.add(table)
            return found
    finally:
        connection.close()
