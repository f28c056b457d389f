"""A pack takes its place in one step or not at all."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.packs import ModelFile, load_manifest
from deploy.models import placing
from deploy.models.placing import copy_checked, place, restore, staging
from tests.unit.packs.networks import write_pack


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of file system."""
    if request.param == "two renames":
        monkeypatch.setattr(placing, "_exchange", lambda *_: False)


def make(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    return folder


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_first_pack_is_placed(tmp_path: Path, either_way: None) -> None:
    place(make(tmp_path / ".staging" / "toy", "new"), tmp_path / "toy")
    assert (tmp_path / "toy" / "manifest.json").read_text() == "new"


def test_a_pack_replaces_another_and_nothing_is_left_of_it(tmp_path: Path, either_way: None) -> None:
    make(tmp_path / "toy", "old")
    place(make(tmp_path / ".staging" / "toy", "new"), tmp_path / "toy")
    assert (tmp_path / "toy" / "manifest.json").read_text() == "new"
    assert everything(tmp_path) == {"toy", "toy/manifest.json", ".staging"}


def test_what_died_between_two_renames_is_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_exchange", lambda *_: False)
    make(tmp_path / "toy", "old")
    rename: Callable[[Path, Path], Path] = Path.rename

    def die_at_the_second(self: Path, target: Path) -> Path:
        if self.parent.name == ".staging":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        place(make(tmp_path / ".staging" / "toy", "new"), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()
    monkeypatch.undo()
    restore(tmp_path)
    assert (tmp_path / "toy" / "manifest.json").read_text() == "old"


def test_a_staging_folder_goes_away_whatever_happens(tmp_path: Path) -> None:
    make(tmp_path / ".staging" / "dead", "of an install that was killed")
    with pytest.raises(ZeroDivisionError), staging(tmp_path, "toy") as folder:
        assert folder.is_dir()
        assert list(folder.iterdir()) == []
        raise ZeroDivisionError
    assert everything(tmp_path) == {".lock"}


def test_one_install_at_a_time(tmp_path: Path) -> None:
    with (
        staging(tmp_path, "toy"),
        pytest.raises(ConfigurationError, match="another install"),
        staging(tmp_path, "other"),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ConfigurationError, match="models cannot be written"), staging(tmp_path / "models", "toy"):
        pass


@pytest.fixture
def file(tmp_path: Path) -> ModelFile:
    write_pack(tmp_path / "pack")
    return load_manifest(tmp_path / "pack" / "manifest.json").files[0]


def test_a_copy_is_told_of_and_checked(tmp_path: Path, file: ModelFile) -> None:
    counts: list[int] = []
    with (tmp_path / "pack" / file.name).open("rb") as stream:
        copy_checked(stream, tmp_path / "copy", file, copied=counts.append)
    assert sum(counts) == file.bytes
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "pack" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "bytes, the manifest says"),
        (lambda data: data + b"x", "more than the"),
        (lambda data: b"\x00" + data[1:], "has SHA-256"),
        (lambda data: b"", "has 0 bytes"),
    ],
)
def test_a_copy_of_something_else_is_refused(
    tmp_path: Path, file: ModelFile, change: Callable[[bytes], bytes], reason: str
) -> None:
    data = change((tmp_path / "pack" / file.name).read_bytes())
    with pytest.raises(ConfigurationError, match=rf"det\.onnx is refused: .*{reason}"):
        copy_checked(io.BytesIO(data), tmp_path / "copy", file, copied=lambda _: None)
