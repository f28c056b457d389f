"""The catalogue: complete, pinned, and honest about what was not measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigurationError
from deploy.models.catalogue import CATALOGUE, load_catalogue

BUILT_IN = {"antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "yunet_sface"}


def test_every_built_in_pack_is_there_and_valid() -> None:
    assert load_catalogue().keys() == BUILT_IN


def test_the_digests_that_insightface_server_publishes_are_pinned() -> None:
    entry = load_catalogue()["buffalo_l"]
    assert entry.downloads[0].sha256 == "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f"
    assert entry.manifest.embedders[0].sha256 == "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"


def test_a_name_of_an_embedding_space_stands_for_one_file() -> None:
    embedders = [entry.manifest.embedders[0] for entry in load_catalogue().values()]
    files = {(embedder.model_id, embedder.sha256) for embedder in embedders}
    assert len(files) == len({model_id for model_id, _ in files}) == len({sha256 for _, sha256 in files})
    assert all(sha256.startswith(model_id.rpartition("-")[2]) for model_id, sha256 in files)


def test_what_nobody_measured_is_marked() -> None:
    assert all(entry.manifest.embedders[0].provisional for entry in load_catalogue().values())


def change(path: Path, edit: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda entry: entry["downloads"][0].update(urls=["file:///etc/passwd"]), "urls"),
        (lambda entry: entry["downloads"][0].update(urls=["https://host/folder/"]), "urls"),
        (lambda entry: entry["downloads"][0].update(sha256=None), "sha256"),
        (lambda entry: entry["downloads"][0].update(bytes=1), "not the file of that name"),
        (lambda entry: entry["downloads"].pop(), "not every file of the manifest is fetched"),
        (lambda entry: entry["manifest"].update(name="other"), "describes the pack 'other'"),
        (lambda entry: entry.update(mirror="x"), "mirror: Extra inputs"),
    ],
)
def test_a_broken_entry_is_refused(tmp_path: Path, edit: Callable[[Any], None], complaint: str) -> None:
    path = tmp_path / "yunet_sface.json"
    path.write_text((CATALOGUE / "yunet_sface.json").read_text())
    assert load_catalogue(tmp_path).keys() == {"yunet_sface"}
    change(path, edit)
    with pytest.raises(ConfigurationError, match=complaint):
        load_catalogue(tmp_path)


def test_a_missing_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no catalogue"):
        load_catalogue(tmp_path / "none")
