"""Nothing in the repository speaks of the machine that it was written on."""

import re
import subprocess

import pytest

from tests.conftest import ROOT

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work/|home/[a-z]|Users/[A-Za-z]|root/)")
BINARY = {".onnx", ".jpg", ".png", ".gz", ".mp4"}


def tracked_files() -> list[str]:
    """Files that git has or would take."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_mentions_a_path_of_one_machine() -> None:
    found = []
    for name in tracked_files():
        if (ROOT / name).suffix in BINARY:
            continue
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert found == []


@pytest.mark.parametrize("parts", [("", "work", "main"), ("cd ", "home", "anna"), ("'", "root", ".cache'")])
def test_the_pattern_finds_machine_paths(parts: tuple[str, ...]) -> None:
    assert MACHINE_PATH.search("/".join(parts))


@pytest.mark.parametrize("text", ["", "docs/work/plan", "frames/sec", "network/root/x", "https://host/home/"])
def test_the_pattern_leaves_other_paths_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)
