"""Servers that a launcher which was killed may have left behind on a data folder."""

import os
import signal
import time
from pathlib import Path

from common.errors import ConfigurationError


def _servers_on(data: Path) -> list[int]:
    """Ids of PostgreSQL processes that work in `data`: the postmaster and its backends all sit in that folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink() == data and (entry / "comm").read_text().strip() == "postgres":
                found.append(int(entry.name))
        except OSError:
            continue  # it ended, or belongs to somebody else
    return found


def stop_leftovers(data: Path) -> None:
    """End servers that a launcher which was killed left behind on this folder."""
    for number, patience_s in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        for pid in _servers_on(data.resolve()):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not _servers_on(data.resolve()):
                return
            time.sleep(0.05)
    raise ConfigurationError(f"A PostgreSQL server still works on {data} and cannot be stopped. End it by hand.")
