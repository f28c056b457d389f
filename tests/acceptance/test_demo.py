"""`make demo` does what it promises: right names at the right times, and nothing left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.timeout(600)
def test_the_demo_names_everybody_and_stops_what_it_started(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo", "--home", str(home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Everybody was named at the right times." in done.stdout
    for name in ("Astrid", "Boris", "Carlo", "Dora", "Emil", "unknown 1"):
        assert name in done.stdout
    thumbnails = list((home / "demo-thumbnails").glob("*.jpg"))
    assert thumbnails
    assert all(file.read_bytes()[:2] == b"\xff\xd8" for file in thumbnails)
    assert processes_that_mention(str(home)) == []


def processes_that_mention(text: str) -> list[str]:
    """Command lines and environments of living processes that contain `text`, other than this one's own children."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            about = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in about:
            found.append(about.split(b"\0\0")[0].replace(b"\0", b" ").decode(errors="replace"))
    return found
