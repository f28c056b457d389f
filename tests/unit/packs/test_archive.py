"""Archives: only what was asked for comes out, and nothing goes anywhere else."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from common.errors import ConfigurationError
from common.packs import ModelFile, load_manifest
from deploy.models.archive import unpack
from tests.unit.packs.networks import write_pack

Members = list[tuple[str | zipfile.ZipInfo, bytes]]


@pytest.fixture
def files(tmp_path: Path) -> tuple[ModelFile, ...]:
    write_pack(tmp_path / "pack")
    return load_manifest(tmp_path / "pack" / "manifest.json").files


def contents(tmp_path: Path) -> Members:
    return [(name, (tmp_path / "pack" / name).read_bytes()) for name in ("det.onnx", "rec.onnx")]


def write(tmp_path: Path, members: Members) -> Path:
    path = tmp_path / "pack.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def take(path: Path, files: tuple[ModelFile, ...]) -> dict[str, bytes]:
    taken: dict[str, bytes] = {}
    unpack(path, files, lambda stream, file: taken.update({file.name: stream.read()}))
    return taken


def test_files_are_found_in_whatever_folder_they_lie(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    members = contents(tmp_path)
    odd: Members = [("antelope/det.onnx", members[0][1]), ("../../etc/rec.onnx", members[1][1]), ("/etc/passwd", b"x")]
    assert take(write(tmp_path, odd), files) == {"det.onnx": members[0][1], "rec.onnx": members[1][1]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "pack.zip"]


def test_a_missing_and_a_double_member_are_refused(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    members = contents(tmp_path)
    with pytest.raises(ConfigurationError, match=r"holds 0 files rec\.onnx, not one"):
        take(write(tmp_path, members[:1]), files)
    with pytest.raises(ConfigurationError, match=r"holds 2 files rec\.onnx, not one"):
        take(write(tmp_path, [*members, ("other/rec.onnx", b"x")]), files)


def test_a_link_is_refused(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    link = zipfile.ZipInfo("det.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ConfigurationError, match="is a link"):
        take(write(tmp_path, [(link, b"/etc/passwd"), contents(tmp_path)[1]]), files)


def test_a_member_of_another_size_is_refused_unread(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    bomb = bytes(50_000_000)
    with pytest.raises(ConfigurationError, match=r"det\.onnx has 50000000 bytes, the manifest says"):
        take(write(tmp_path, [("det.onnx", bomb), contents(tmp_path)[1]]), files)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_what_was_cut_off_is_refused(tmp_path: Path, files: tuple[ModelFile, ...], share: float) -> None:
    path = write(tmp_path, contents(tmp_path))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConfigurationError, match="not a zip archive that can be read"):
        take(path, files)


def test_a_spoilt_member_is_refused(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    path = write(tmp_path, contents(tmp_path))
    data = bytearray(path.read_bytes())
    data[100:140] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match="not a zip archive that can be read"):
        take(path, files)


def test_unusual_packing_is_refused(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    packed = zipfile.ZipInfo("det.onnx")
    packed.compress_type = zipfile.ZIP_LZMA
    with pytest.raises(ConfigurationError, match="not supported"):
        take(write(tmp_path, [(packed, contents(tmp_path)[0][1]), contents(tmp_path)[1]]), files)


def test_an_archive_of_very_many_files_is_refused(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    members: Members = [(f"{number}", b"") for number in range(1001)]
    with pytest.raises(ConfigurationError, match="more than 1000 files"):
        take(write(tmp_path, members), files)


def test_a_stream_is_no_archive(tmp_path: Path, files: tuple[ModelFile, ...]) -> None:
    (tmp_path / "pack.zip").write_bytes(io.BytesIO(b"hello").read())
    with pytest.raises(ConfigurationError, match="not a zip archive"):
        take(tmp_path / "pack.zip", files)
