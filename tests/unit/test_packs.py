import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigurationError
from common.packs import Pack, find_pack, installed_packs, load_manifest, verify

CHECKOUT_MODELS = Path(__file__).parents[2] / "models"
WEIGHTS = {"det.onnx": b"a detector", "rec.onnx": b"an embedder"}


def a_manifest() -> dict[str, Any]:
    def entry(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "sha256": hashlib.sha256(WEIGHTS[name]).hexdigest(),
            "bytes": len(WEIGHTS[name]),
            "origin": "made up",
            "input": {"side_px": 112, "mean": 127.5, "std": 128},
        }

    return {
        "format": 1,
        "name": "toy",
        "version": "1",
        "description": "A pack for tests.",
        "licence": {"name": "none", "commercial_use": False, "notice": "Not for use."},
        "files": [
            entry("det.onnx") | {"task": "detection", "contract": "scrfd", "min_det_score": 0.5, "nms_iou": 0.4},
            entry("rec.onnx")
            | {
                "task": "embedding",
                "contract": "arcface",
                "dim": 128,
                "model_id": "toy-1",
                "min_similarity": {"1e-2": 0.2, "1e-3": 0.3},
            },
        ],
    }


def install(folder: Path, manifest: dict[str, Any], *, name: str = "toy", weights: bool = True) -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "manifest.json").write_text(json.dumps(manifest))
    for file, data in WEIGHTS.items() if weights else ():
        (folder / name / file).write_bytes(data)
    return folder


def test_no_folders_hold_no_packs(tmp_path: Path) -> None:
    assert installed_packs([]) == {}
    assert installed_packs([tmp_path, tmp_path / "absent"]) == {}


def test_a_missing_pack_is_refused_naming_the_installed_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder; installed are: none"):
        find_pack("toy", [])
    with pytest.raises(ConfigurationError, match=r"'other' was not found in .*; installed are: toy"):
        find_pack("other", [install(tmp_path, a_manifest())])


@pytest.mark.parametrize("name", ["", ".", "..", "../toy", "a/b", "a\\b", "a b", "/etc", ".hidden", "x" * 101, "toy\n"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a pack name"):
        find_pack(name, [install(tmp_path, a_manifest())])


def test_a_pack_is_found_verified_and_knows_its_models(tmp_path: Path) -> None:
    pack = find_pack("toy", [install(tmp_path, a_manifest())])
    verify(pack)
    assert (pack.name, pack.model_id, pack.detector.contract) == ("toy", "toy-1", "scrfd")
    assert pack.path(pack.embedder).read_bytes() == WEIGHTS["rec.onnx"]
    assert pack.embedder.min_similarity_at() == 0.3
    assert pack.embedder.min_similarity_at(1e-2) == 0.2


def test_of_two_packs_with_one_name_the_earlier_folder_wins(tmp_path: Path) -> None:
    folders = [install(tmp_path / "a", a_manifest() | {"version": "2"}), install(tmp_path / "b", a_manifest())]
    assert find_pack("toy", folders).manifest.version == "2"


@pytest.mark.parametrize("place", [".", "toy"])
def test_weights_may_lie_in_another_search_folder_than_the_manifest(tmp_path: Path, place: str) -> None:
    manifests = install(tmp_path / "manifests", a_manifest(), weights=False)
    elsewhere = tmp_path / "weights" / place
    elsewhere.mkdir(parents=True)
    for file, data in WEIGHTS.items():
        (elsewhere / file).write_bytes(data)
    pack = find_pack("toy", [tmp_path / "weights", manifests])
    verify(pack)
    assert pack.path(pack.detector).parent.resolve() == elsewhere.resolve()


def test_a_manifest_is_readable_without_its_weights(tmp_path: Path) -> None:
    pack = find_pack("toy", [install(tmp_path, a_manifest(), weights=False)])
    assert pack.model_id == "toy-1"
    with pytest.raises(ConfigurationError, match=r"det\.onnx was not found in"):
        verify(pack)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"a detectoR", "has SHA-256"), (b"a detector and more", "has 19 bytes"), (b"", "has 0 bytes")]
)
def test_changed_weights_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    pack = find_pack("toy", [install(tmp_path, a_manifest())])
    pack.path(pack.detector).write_bytes(data)
    with pytest.raises(ConfigurationError, match=rf"det\.onnx {reason}"):
        verify(pack)


def change(path: str, value: object) -> dict[str, Any]:
    manifest = copy.deepcopy(a_manifest())
    at: Any = manifest
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in parents:
        at = at[part]
    at[last] = value
    return manifest


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("files", [], "at least one detection file"),
        ("files", a_manifest()["files"][:1], "exactly one embedding file"),
        ("files", a_manifest()["files"] + a_manifest()["files"][:1], "the same name"),
        ("format", 2, "format"),
        ("name", "../x", "name"),
        ("colour", "red", "colour: Extra inputs"),
        ("files.0.name", "../det.onnx", "files.0.detection.name"),
        ("files.0.threshold", 0.5, "files.0.detection.threshold: Extra inputs"),
        ("files.0.sha256", "abc", "sha256"),
        ("files.0.task", "magic", "task"),
        ("files.0.contract", "arcface", "contract"),
        ("files.0.input.std", 0, "std"),
        ("files.0.input.colour", "cmyk", "colour"),
        ("files.1.min_similarity", {}, "1e-3 must be among them"),
        ("files.1.min_similarity", {"1e-3": 2}, "min_similarity"),
        ("files.1.min_similarity", {"1e-3": 0.3, "1e-2": 0.4}, "a smaller false match rate needs a larger"),
        ("files.1.min_similarity", {"1e-3": 0.3, "often": 0.1}, "must be a false match rate"),
        ("files.1.min_similarity", {"1e-3": 0.3, "2": 0.1}, "between 0 and 1"),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(tmp_path: Path, path: str, value: object, complaint: str) -> None:
    folder = install(tmp_path, change(path, value))
    with pytest.raises(ConfigurationError) as caught:
        find_pack("toy", [folder])
    assert complaint in str(caught.value)
    assert "manifest.json" in str(caught.value)


def test_broken_json_and_a_missing_file_are_configuration_errors(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigurationError, match="not a valid manifest"):
        load_manifest(tmp_path / "manifest.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_manifest(tmp_path / "absent.json")


def test_a_pack_in_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="calls itself 'toy'"):
        find_pack("tool", [install(tmp_path, a_manifest(), name="tool")])


def test_the_packs_of_the_checkout_are_valid() -> None:
    assert set(installed_packs([CHECKOUT_MODELS])) >= {"mini", "reference"}
    packs: list[Pack] = [find_pack(name, [CHECKOUT_MODELS]) for name in installed_packs([CHECKOUT_MODELS])]
    assert len({pack.model_id for pack in packs}) == len(packs)
    verify(find_pack("mini", [CHECKOUT_MODELS]))


def test_the_reference_pack_is_whole_where_its_weights_are(shared_dir: Path) -> None:
    if not (shared_dir / "models" / "reference").is_dir():
        pytest.skip("the reference weights are absent: no models/reference in the shared folder")
    verify(find_pack("reference", [shared_dir / "models", CHECKOUT_MODELS]))
