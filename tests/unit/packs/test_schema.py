"""What a manifest may say of attributes and landmarks, and how much of anything."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigurationError
from common.packs import MAX_FILE_BYTES, MAX_MANIFEST_BYTES, load_manifest
from tests.unit.packs.networks import make_network, write_pack

OPTIONAL = {"age.onnx": make_network({"fc1": (3,)}), "p2d.onnx": make_network({"fc1": (212,)})}


def save(folder: Path, manifest: dict[str, Any]) -> Path:
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder / "manifest.json"


def test_a_pack_need_not_have_attributes_or_landmarks(tmp_path: Path) -> None:
    write_pack(tmp_path)
    manifest = load_manifest(tmp_path / "manifest.json")
    assert manifest.attributes is None
    assert manifest.landmarks == ()


def test_attributes_and_landmarks_are_found_by_what_they_do(tmp_path: Path) -> None:
    write_pack(tmp_path, OPTIONAL | {"p3d.onnx": make_network({"fc1": (3309,)})})
    manifest = load_manifest(tmp_path / "manifest.json")
    assert manifest.attributes is not None
    assert manifest.attributes.name == "age.onnx"
    assert [file.contract for file in manifest.landmarks] == ["landmark_2d_106", "landmark_3d_68"]
    assert manifest.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.onnx"))


def test_two_files_of_one_optional_contract_are_refused(tmp_path: Path) -> None:
    write_pack(tmp_path, OPTIONAL | {"age2.onnx": OPTIONAL["age.onnx"]})
    with pytest.raises(ConfigurationError, match="one file of each contract"):
        load_manifest(tmp_path / "manifest.json")


def test_provisional_figures_say_where_they_come_from(tmp_path: Path) -> None:
    manifest = write_pack(tmp_path)
    manifest["files"][1]["provisional"] = True
    with pytest.raises(ConfigurationError, match="must say where they come from"):
        load_manifest(save(tmp_path, manifest))
    manifest["files"][1]["min_similarity_origin"] = "somebody else's network"
    assert load_manifest(save(tmp_path, manifest)).embedders[0].provisional


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("files", 0, "bytes"), MAX_FILE_BYTES + 1, "bytes"),
        (("files", 0, "input", "mean"), 1e9, "mean"),
        (("files", 0, "input", "std"), 1e-30, "std"),
        (("files", 0, "input", "side_px"), 100_000, "side_px"),
        (("files", 1, "dim"), 1 << 40, "dim"),
        (("files", 1, "min_similarity"), {f"{rate}e-3": 0.5 for rate in range(1, 40)}, "min_similarity"),
        (("description",), "x" * 5000, "description"),
        (("licence", "notice"), "", "notice"),
    ],
)
def test_what_no_pack_needs_is_refused(
    tmp_path: Path, path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    manifest: Any = write_pack(tmp_path)
    at = manifest
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(ConfigurationError, match=complaint):
        load_manifest(save(tmp_path, manifest))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(tmp_path: Path, number: str) -> None:
    write_pack(tmp_path)
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text.replace("127.5", number, 1))
    with pytest.raises(ConfigurationError, match="manifest"):
        load_manifest(tmp_path / "manifest.json")


def test_too_many_files_are_refused_in_few_words(tmp_path: Path) -> None:
    manifest = write_pack(tmp_path)
    manifest["files"] = [{"name": "x" * 10_000}] * 5000
    with pytest.raises(ConfigurationError, match="not a valid manifest") as caught:
        load_manifest(save(tmp_path, manifest))
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' * 50_000, "\x00" * 100, "", "null", "1", '"x"'])
def test_what_is_no_manifest_at_all_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigurationError, match="not a valid manifest"):
        load_manifest(tmp_path / "manifest.json")


def test_a_huge_manifest_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match=f"more than {MAX_MANIFEST_BYTES} bytes"):
        load_manifest(tmp_path / "manifest.json")


def test_a_pipe_in_place_of_a_manifest_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(ConfigurationError, match="it is not a file"):
        load_manifest(tmp_path / "manifest.json")
