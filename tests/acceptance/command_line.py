"""`facepipe` as people and scripts start it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


class CommandLine:
    """Runs `facepipe` against one stack."""

    def __init__(self, url: str) -> None:
        self.env = os.environ | {"FACEPIPE_URL": url, "PYTHONPATH": str(ROOT), "FACEPIPE_API_KEY": ""}

    def __call__(self, *arguments: str | Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.argv(*arguments), env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def argv(self, *arguments: str | Path) -> list[str]:
        """The command line of a command."""
        return [sys.executable, "-m", "facepipe.cli", *map(str, arguments)]
