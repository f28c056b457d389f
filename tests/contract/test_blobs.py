"""What a blob store promises."""

import hashlib
import resource
from pathlib import Path

import pytest

from common.blobs.files import FileBlobStore
from common.errors import NotFoundError, OverloadedError


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(tmp_path / "blobs")


def test_an_upload_is_unseen_until_committed(blobs: FileBlobStore) -> None:
    writer = blobs.incoming()
    writer.write(b"abc")
    with pytest.raises(NotFoundError):
        blobs.read("jobs/1/media")
    writer.commit("jobs/1/media")
    assert blobs.read("jobs/1/media") == b"abc"
    assert (writer.size, writer.sha256) == (3, hashlib.sha256(b"abc").hexdigest())


def test_a_discarded_upload_leaves_nothing(blobs: FileBlobStore) -> None:
    writer = blobs.incoming()
    writer.write(b"abc")
    writer.discard()
    assert list(blobs.list("incoming")) == []


def test_discarding_after_commit_is_harmless(blobs: FileBlobStore) -> None:
    writer = blobs.incoming()
    writer.commit("jobs/1/media")
    writer.discard()
    assert blobs.read("jobs/1/media") == b""


def test_many_files_are_stored_like_single_ones(blobs: FileBlobStore) -> None:
    blobs.put("jobs/1/tracks/0.0.jpg", b"old")
    files = {f"jobs/{job}/tracks/{track}.0.jpg": bytes([job, track]) for job in (1, 2) for track in range(20)}
    blobs.put_all(files)
    assert {key: blobs.read(key) for key, _ in blobs.list("jobs")} == files
    assert list(blobs.list("incoming")) == []
    blobs.put_all({})


def test_deleting_a_prefix_takes_all_below_it_and_nothing_beside(blobs: FileBlobStore) -> None:
    for key in ("jobs/1/media", "jobs/1/tracks/0.jpg", "jobs/12/media"):
        blobs.put(key, b"x")
    blobs.delete("jobs/1")
    blobs.delete("jobs/1")
    assert [key for key, _ in blobs.list("jobs")] == ["jobs/12/media"]


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "jobs/../../x", "a//b", "a/.hidden", "a/b/", "a\0b"])
def test_a_key_cannot_leave_the_folder(blobs: FileBlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        blobs.put(key, b"x")


@pytest.mark.parametrize("size", [1001, 100_000])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path: Path, size: int) -> None:
    store = FileBlobStore(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OverloadedError):
            store.put("jobs/1/media", b"x" * size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_uploads_go_on_after_the_last_orphan_was_swept(blobs: FileBlobStore) -> None:
    blobs.put("incoming/orphan", b"x")
    blobs.put("calls/orphan", b"x")
    blobs.delete("incoming/orphan")
    blobs.delete("calls/orphan")
    blobs.put("calls/next", b"y")
    assert blobs.read("calls/next") == b"y"
