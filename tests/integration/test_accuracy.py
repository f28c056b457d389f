"""The ratchet: a pack is never worse than what `models/accuracy.json` says of it."""

import json
from pathlib import Path

import pytest

from benchmarks.accuracy.__main__ import COMMITTED, detection, verification
from common.packs import Pack, find_pack
from training.lfw import HELD_OUT_FOLD

MODELS = Path(__file__).parent.parent.parent / "models"

#: What another processor may change in the last digits of a network's output, as shares of pairs or faces.
TOLERANCE = 0.005


@pytest.fixture
def mini() -> Pack:
    return find_pack("mini", [MODELS])


@pytest.fixture
def data(shared_dir: Path) -> Path:
    folder = shared_dir / "data"
    if not (folder / "lfw-train.tar").is_file():
        pytest.skip("the photographs of LFW are absent: no lfw-train.tar")
    return folder


def test_the_figures_are_of_the_weights_that_are_shipped(mini: Pack) -> None:
    committed = json.loads(COMMITTED.read_text())[mini.name]
    assert committed["files"] == {file.name: file.sha256 for file in mini.manifest.files}, "run `make accuracy`"


def test_thresholds_are_those_that_were_measured(mini: Pack) -> None:
    measured = json.loads(COMMITTED.read_text())[mini.name]["held_out"]["min_similarity"]
    for fmr, bound in measured.items():
        assert mini.embedder.min_similarity_at(float(fmr)) == pytest.approx(bound, abs=0.002)


def test_people_are_told_apart_as_well_as_ever(mini: Pack, data: Path) -> None:
    committed = json.loads(COMMITTED.read_text())[mini.name]["held_out"]
    now = verification(mini, data, [HELD_OUT_FOLD])
    assert now["accuracy"] >= committed["accuracy"] - TOLERANCE
    for fmr in ("1e-02", "1e-03"):
        assert now["fnmr"][fmr] <= committed["fnmr"][fmr] + TOLERANCE


def test_faces_are_found_as_well_as_ever(mini: Pack, data: Path, shared_dir: Path) -> None:
    committed = json.loads(COMMITTED.read_text())[mini.name]["detection"]
    reference = find_pack("reference", [MODELS, shared_dir / "models" / "reference"])
    now = detection(mini, reference, data)
    for pictures in ("photographs", "crowds"):
        for figure in ("recall", "precision"):
            assert now[pictures][figure] >= committed[pictures][figure] - TOLERANCE
