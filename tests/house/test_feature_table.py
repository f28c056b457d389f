"""Every feature of the older projects has tests that prove it, and those tests are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from api.compat import PREDECESSORS
from tests.acceptance.features import FEATURES, Feature
from tests.conftest import ROOT


@cache
def collected_from(path: Path) -> frozenset[str]:
    """What pytest would collect of a file: `test_x` and `TestX::test_y`; empty where the file is absent."""
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if is_test(inner)}
        elif is_test(node):
            found.add(node.name)
    return frozenset(found)


def is_test(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def absent(feature: Feature, root: Path = ROOT / "tests") -> list[str]:
    """The proofs of a row that do not exist."""
    return [
        proof for proof in feature.proofs if proof.partition("::")[2] not in collected_from(root / proof.split("::")[0])
    ]


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: f"{feature.project} {feature.name}")
def test_a_feature_is_proved_by_tests_that_exist(feature: Feature) -> None:
    assert feature.proofs, "no test proves this"
    assert absent(feature) == []
    assert any(proof.startswith("acceptance/") for proof in feature.proofs) or feature.name in WITHOUT_A_STACK


#: Rows that a running stack would not prove better: sizes of pictures, command lines and texts.
WITHOUT_A_STACK = {
    "frames as PIL objects / as JPEG bytes",
    "width_max/height_max thumbnail",
    "CLI show, video, devices",
    "webcam capture (later)",
    "banner",
    "init database CLI",
    "init_db creates, keeps data",
}


def test_every_project_has_rows() -> None:
    assert {feature.project for feature in FEATURES} == {*PREDECESSORS, "all"}


def test_the_rows_are_those_of_the_list_that_was_agreed(shared_dir: Path) -> None:
    path = shared_dir / "PREDECESSORS.md"
    if not path.is_file():
        pytest.skip("optional data is absent: PREDECESSORS.md")
    section = path.read_text().partition("## 9. Feature table")[2]
    rows = re.findall(r"^\| (\d{3}|all) \| (.+?) \|", section, re.M)
    assert rows
    assert sorted((feature.project, feature.name) for feature in FEATURES) == sorted(rows)


def test_a_proof_that_is_gone_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "def test_a(): ...\ndef helper(): ...\nclass TestB:\n    def test_c(self): ...\n    def helper(self): ...\n"
    )
    there = ("test_x.py::test_a", "test_x.py::TestB::test_c")
    gone = ("test_x.py::test_c", "test_x.py::helper", "test_x.py::TestB::helper", "test_y.py::test_a")
    assert absent(Feature("000", "x", (*there, *gone)), tmp_path) == list(gone)
