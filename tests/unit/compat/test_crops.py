"""Crops of the face table: kept with their samples, gone without them."""

from pathlib import Path

import pytest

from api.compat.face_table.crops import Crops
from common.blobs.files import FileBlobStore
from common.errors import ConflictError, TransientError
from tests.unit.api.requests import a_face

GALLERY = {"id": "g", "name": "faces", "model_id": "m"}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))


def store_one(folder: Path, error: Exception | None) -> str:
    """Make a sample, then fail as told; gives the key of its crop."""
    with Crops(FileBlobStore(folder), GALLERY) as crops:
        key = crops.maker(a_face(), "0" * 64)("s").crop_key
        assert files_below(folder) == [key]
        if error is not None:
            raise error
    return key


def test_they_stay_when_the_samples_are_stored(tmp_path: Path) -> None:
    key = store_one(tmp_path, None)
    assert files_below(tmp_path) == [key]


def test_they_go_when_the_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        store_one(tmp_path, ConflictError("x"))
    assert files_below(tmp_path) == []


def test_they_stay_when_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        store_one(tmp_path, TransientError("x"))
    assert len(files_below(tmp_path)) == 1
