"""A gallery as a file, and what is found out about a damaged one."""

import base64
import hashlib
import json
import shutil
import subprocess
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facepipe.archive import ArchiveError, open_archive, write_archive

ADA, BO = sorted(str(uuid.uuid4()) for _ in range(2))


def a_sample(subject_id: str, crop: bytes | None = b"\xff\xd8crop") -> dict[str, Any]:
    return {
        "kind": "sample",
        "id": str(uuid.uuid4()),
        "subject_id": subject_id,
        "det_score": 0.9,
        "quality": 0.5,
        "image_sha256": None,
        "embeddings": [],
        "crop": None if crop is None else base64.b64encode(crop).decode(),
        "crop_sha256": None if crop is None else hashlib.sha256(crop).hexdigest(),
    }


def an_export() -> Iterator[dict[str, Any]]:
    yield {"kind": "gallery", "format": "facepipe-gallery", "version": 1, "name": "staff", "model_id": "m"}
    yield {"kind": "subject", "id": ADA, "name": "Zoë\u2028", "external_id": "7", "metadata": {}}
    yield a_sample(ADA)
    yield a_sample(ADA, None)
    yield {"kind": "subject", "id": BO, "name": "Bo", "external_id": None, "metadata": {}}
    yield a_sample(BO)
    yield {"kind": "end", "subjects": 2, "samples": 3}


def write(path: Path) -> Path:
    with write_archive(path) as archive:
        ends = [archive.take(document) for document in an_export()]
    assert ends == [False] * 6 + [True]
    return path


@pytest.mark.parametrize("name", ["staff.zip", "staff"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    compared: list[int] = []
    with open_archive(write(tmp_path / name), compared.append) as archive:
        assert (archive.head["name"], archive.subjects, archive.damaged) == ("staff", 2, set())
        people = {person["id"]: person for _, person in archive.people() if person}
        assert sorted(people) == [ADA, BO]
        assert people[ADA]["name"] == "Zoë\u2028"
        first, second = people[ADA]["samples"]
        assert archive.crop(ADA, first["id"]) == b"\xff\xd8crop"
        assert archive.crop(ADA, second["id"]) is None
    assert compared == [1, 2, 3, 4, 5]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_is_checked_by_the_usual_program(tmp_path: Path) -> None:
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("there is no sha256sum")
    folder = write(tmp_path / "staff")
    subprocess.run([program, "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_nothing_is_overwritten_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    path = write(tmp_path / "staff.zip")
    with pytest.raises(ValueError, match="exists already"), write_archive(path):
        pass
    with pytest.raises(RuntimeError), write_archive(tmp_path / "other.zip") as archive:
        archive.take(next(an_export()))
        raise RuntimeError("the server is gone")
    assert [one.name for one in tmp_path.iterdir()] == ["staff.zip"]


def test_an_export_that_lacks_somebody_is_refused(tmp_path: Path) -> None:
    documents = [document for document in an_export() if document.get("id") != BO]
    with pytest.raises(ArchiveError), write_archive(tmp_path / "staff.zip") as archive:
        for document in documents:
            archive.take(document)


@pytest.mark.parametrize("identity", ["../../x", "/etc/passwd", "", "x"])
def test_an_id_never_becomes_another_path(tmp_path: Path, identity: str) -> None:
    head, subject, *_ = an_export()
    with pytest.raises(ArchiveError, match="no id"), write_archive(tmp_path / "staff") as archive:
        archive.take(head)
        archive.take({**subject, "id": identity})
        archive.take({"kind": "end", "subjects": 1, "samples": 0})


def test_damaged_members_are_found_and_the_others_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "staff")
    (folder / "subjects" / f"{BO}.json").write_text("{}")
    (crop,) = (folder / "crops" / ADA).iterdir()
    crop.write_bytes(b"\xff\xd8other")
    with open_archive(folder) as archive:
        assert len(archive.damaged) == 2
        people = dict(archive.people())
        assert people[f"subjects/{BO}.json"] is None
        ada = people[f"subjects/{ADA}.json"]
        assert ada is not None
        assert archive.crop(ADA, crop.stem) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "SHA256SUMS").unlink(), "cut short"),
        (lambda folder: (folder / "gallery.json").write_text("{}"), "damaged"),
        (lambda folder: (folder / "subjects" / "more.json").write_text("{}"), "does not know"),
        (lambda folder: (folder / "SHA256SUMS").write_text("nonsense"), "cannot be read"),
        (lambda folder: (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../../etc/passwd\n"), "cannot be read"),
    ],
)
def test_what_is_no_whole_export_is_refused_with_the_reason(tmp_path: Path, spoil: Any, said: str) -> None:
    folder = write(tmp_path / "staff")
    spoil(folder)
    with pytest.raises(ArchiveError, match=said), open_archive(folder):
        pass


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "staff")
    head = {**json.loads((folder / "gallery.json").read_text()), "version": 2}
    text = json.dumps(head)
    (folder / "gallery.json").write_text(text)
    sums = (folder / "SHA256SUMS").read_text().splitlines()
    changed = [
        f"{hashlib.sha256(text.encode()).hexdigest()}  gallery.json" if line.endswith("gallery.json") else line
        for line in sums
    ]
    (folder / "SHA256SUMS").write_text("\n".join(changed) + "\n")
    with pytest.raises(ArchiveError, match="version 2"), open_archive(folder):
        pass


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "staff.zip").write_bytes(b"text")
    with pytest.raises(ArchiveError, match="neither a ZIP nor a folder"), open_archive(tmp_path / "staff.zip"):
        pass
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("readme.txt", "no export")
    with pytest.raises(ArchiveError, match="no SHA256SUMS"), open_archive(tmp_path / "other.zip"):
        pass
