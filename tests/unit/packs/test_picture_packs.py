"""Packs for captions and segmentation: their manifests, which one is in use, and how they are tried and described."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.coco import COCO_CLASSES
from common.contracts import PICTURE_STAGES
from common.errors import ConfigurationError
from common.models import Models
from common.packs import find_pack, find_picture_pack, load_manifest, verify
from common.picture_pools import picture_stages
from common.settings import Settings
from deploy.checks import check_models
from deploy.models.__main__ import main
from deploy.models.describe import as_lines, describe_pack, list_packs
from deploy.models.install import Shelf
from deploy.models.trial import examine
from deploy.stack import services
from tests.picture_packs import write_pack
from tests.unit.packs.networks import write_pack as write_face_pack


def change(folder: Path, edit: Any) -> Path:
    """Apply `edit` to the manifest; gives its path."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
    return path


def with_packs(folder: Path, **changes: Any) -> Settings:
    return Settings.model_validate({"home": folder / "home", "models_path": (folder,), **changes})


def programs(settings: Settings) -> set[str]:
    return {program.name for program in services(settings, {})}


def test_a_pack_for_pictures_needs_no_faces(tmp_path: Path) -> None:
    pack = find_pack("both", [write_pack(tmp_path / "both", layout="yolo8", captions=True).parent])
    verify(pack)
    assert pack.manifest.segmenter is not None
    assert pack.manifest.segmenter.classes == COCO_CLASSES
    assert pack.manifest.captioner is not None
    assert [file.task for file in pack.manifest.captioner] == ["captioning", "caption_decoder", "vocabulary"]


def test_there_are_the_80_classes_of_coco() -> None:
    assert len(set(COCO_CLASSES)) == 80
    assert [COCO_CLASSES[index] for index in (0, 2, 16, 79)] == ["person", "car", "dog", "toothbrush"]


def drop(task: str) -> Any:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["files"] = [file for file in manifest["files"] if file["task"] != task]

    return edit


def double(manifest: dict[str, Any]) -> None:
    manifest["files"].append({**manifest["files"][0], "name": "second.onnx"})


def shorten(manifest: dict[str, Any]) -> None:
    manifest["files"][1]["max_tokens"] = 3


def name_too_many(manifest: dict[str, Any]) -> None:
    manifest["files"][0]["classes"] = [str(n) for n in range(126)]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (drop("vocabulary"), "a captioner needs a captioning, a caption_decoder and a vocabulary file"),
        (drop("captioning"), "a captioner needs"),
        (double, "one file each at most"),
        (shorten, "min_tokens: must not be above max_tokens"),
        (name_too_many, "at most 125"),
        (lambda manifest: manifest.update(files=[]), "at least one detection file and exactly one embedding file"),
    ],
)
def test_half_a_pack_is_refused(tmp_path: Path, edit: Any, match: str) -> None:
    path = change(write_pack(tmp_path / "both", layout="yolo8", captions=True), edit)
    with pytest.raises(ConfigurationError, match=match):
        load_manifest(path)


def test_networks_of_faces_stay_complete_beside_those_for_pictures(tmp_path: Path) -> None:
    pictures = json.loads((write_pack(tmp_path / "seen", layout="yolo8") / "manifest.json").read_text())["files"]
    faces = write_face_pack(tmp_path / "toy")["files"]
    path = change(tmp_path / "toy", lambda manifest: manifest.update(files=[*faces, *pictures]))
    assert load_manifest(path).has("segmentation")
    change(tmp_path / "toy", lambda manifest: manifest.update(files=[faces[0], *pictures]))
    with pytest.raises(ConfigurationError, match="exactly one embedding file, or else networks for pictures alone"):
        load_manifest(path)


def test_a_pack_for_pictures_cannot_be_the_active_one_and_is_no_embedding_model(tmp_path: Path) -> None:
    write_pack(tmp_path / "seen", layout="yolo8")
    write_face_pack(tmp_path / "toy")
    with pytest.raises(ConfigurationError, match="networks for pictures alone"):
        Models("seen", [tmp_path])
    models = Models("toy", [tmp_path])
    assert models.choose("toy").model_id == "toy-1"
    with pytest.raises(Exception, match="No installed pack has the embedding model 'seen'"):
        models.choose("seen")


def test_the_first_pack_with_the_task_is_in_use_unless_one_is_named(tmp_path: Path) -> None:
    assert find_picture_pack("", "segmentation", [tmp_path]) is None
    write_pack(tmp_path / "b-words", captions=True)
    (tmp_path / "a-broken").mkdir()
    (tmp_path / "a-broken" / "manifest.json").write_text("{")
    assert find_picture_pack("", "segmentation", [tmp_path]) is None
    write_pack(tmp_path / "d-shapes", layout="yolact")
    write_pack(tmp_path / "c-shapes", layout="yolo8")
    found = find_picture_pack("", "segmentation", [tmp_path])
    assert found is not None
    assert found.name == "c-shapes"
    named = find_picture_pack("d-shapes", "segmentation", [tmp_path])
    assert named is not None
    assert named.name == "d-shapes"
    with pytest.raises(ConfigurationError, match="no files of task segmentation"):
        find_picture_pack("b-words", "segmentation", [tmp_path])
    with pytest.raises(ConfigurationError, match="was not found"):
        find_picture_pack("nowhere", "segmentation", [tmp_path])


def test_a_pool_is_started_only_where_it_has_something_to_run(tmp_path: Path) -> None:
    assert programs(with_packs(tmp_path)).isdisjoint(PICTURE_STAGES)
    with pytest.raises(ConfigurationError, match="No installed pack has networks for the segment pool"):
        services(with_packs(tmp_path), {"segment": ["cpu"]})
    write_pack(tmp_path / "words", captions=True)
    assert picture_stages(with_packs(tmp_path)) == ("caption",)
    assert programs(with_packs(tmp_path)) & set(PICTURE_STAGES) == {"caption"}
    write_pack(tmp_path / "shapes", layout="yolo8")
    assert programs(with_packs(tmp_path)) >= set(PICTURE_STAGES)
    with pytest.raises(ConfigurationError, match="was not found"):
        services(with_packs(tmp_path, segment={"pack": "nowhere"}), {})
    (pool,) = [each for each in services(with_packs(tmp_path), {"segment": ["cuda:1"]}) if each.name == "segment"]
    assert pool.env == {"FACEPIPE_STAGE": "segment", "FACEPIPE_SEGMENT__DEVICE": "cuda:1"}


def test_packs_are_listed_and_shown(tmp_path: Path) -> None:
    write_face_pack(tmp_path / "toy")
    write_pack(tmp_path / "seen", layout="yolact", captions=True)
    shelf = Shelf(tmp_path, (tmp_path,), {})
    rows = {row.name: row for row in list_packs(shelf, "toy")}
    assert (rows["seen"].state, rows["seen"].model_id) == ("installed", None)
    document = describe_pack(shelf, "seen", "toy")
    assert [file["state"] for file in document["files"]] == ["verified"] * 4
    lines = "\n".join(as_lines(document))
    assert "segment.onnx: segmentation, yolact" in lines
    assert "(value - 0, 0, 0) / 255, 255, 255" in lines
    assert "embeddings" not in lines


def test_every_file_is_tried_before_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEPIPE_HOME", str(tmp_path / "home"))
    source = write_pack(tmp_path / "offer" / "seen", layout="yolo7", captions=True)
    assert main(["install", "--from", str(source), "--accept-license"]) == 0
    assert "docs/howto/pictures.md" in capsys.readouterr().out
    assert find_picture_pack("", "captioning", [tmp_path / "home" / "models"]) is not None


@pytest.mark.parametrize(
    ("name", "match"), [("segment.onnx", "is refused"), ("encoder.onnx", "is refused"), ("words.json", "vocabulary")]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, match: str) -> None:
    folder = write_pack(tmp_path / "seen", layout="yolo8", captions=True)
    pack = find_pack("seen", [tmp_path])
    (folder / name).write_bytes((folder / "decoder.onnx").read_bytes())
    (file,) = [each for each in pack.manifest.files if each.name == name]
    with pytest.raises(ConfigurationError, match=match):
        examine([(folder / name, file)])


def test_the_doctor_verifies_the_packs_of_the_pools_for_pictures(tmp_path: Path) -> None:
    write_face_pack(tmp_path / "toy")
    folder = write_pack(tmp_path / "seen", layout="yolo8", captions=True)
    settings = with_packs(tmp_path, model_pack="toy")
    assert "caption: seen, verified; segment: seen, verified" in check_models(settings).found
    (folder / "words.json").write_bytes((folder / "words.json").read_bytes()[::-1])
    with pytest.raises(ConfigurationError, match="has SHA-256"):
        check_models(settings)
