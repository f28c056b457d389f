"""Each import rule is broken on purpose, in a copy of the code, and must be seen to fail."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("api", "workers", "common", "facepipe", "deploy")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]

VIOLATIONS = {
    "the API, the workers and the client are strangers": ("api/intruder.py", "import workers.match.decide"),
    "common imports nobody above it": ("common/intruder.py", "import api.errors"),
    "nobody imports the launcher": ("workers/intruder.py", "import deploy.stack"),
    "stages are strangers to each other": ("workers/embed/intruder.py", "import workers.match.decide"),
    "only the Celery app knows Celery, and only the API knows Flask": ("workers/detect/intruder.py", "import celery"),
    "the API never touches pixels or models": ("common/contracts.py", "import onnxruntime"),
    "pure stage modules know no driver": ("workers/match/intruder.py", "import psycopg2"),
    "the client needs nothing but httpx and rich": ("facepipe/intruder.py", "import numpy"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and of the rules."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken_contracts(folder: Path) -> set[str]:
    """Names of the contracts that import-linter reports as broken."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return set(re.findall(r"^(.+?) BROKEN", done.stdout, re.MULTILINE))


def test_the_code_keeps_every_rule(copy: Path) -> None:
    assert broken_contracts(copy) == set()


def test_every_rule_has_a_violation_below() -> None:
    assert {contract["name"] for contract in CONTRACTS} == set(VIOLATIONS)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_breaking_a_rule_is_reported(copy: Path, contract: str) -> None:
    path, statement = VIOLATIONS[contract]
    intruder = copy / path
    before = intruder.read_text() if intruder.exists() else None
    intruder.write_text(f"{statement}\n" if before is None else f"{before}\n{statement}\n")
    try:
        assert contract in broken_contracts(copy)
    finally:
        if before is None:
            intruder.unlink()
        else:
            intruder.write_text(before)
