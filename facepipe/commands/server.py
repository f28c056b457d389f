"""Commands that run the server's own code: `facepipe up`, `doctor`, `models`, `live`, `compat` and the like.

The server is never installed, so these start it from its checkout, with that one's interpreter and as this very
process, so that signals and the exit status need no passing on.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from facepipe.commands.session import Commands

_PROGRAMS: Final = {
    "up": ("deploy.up", "run the whole stack on this machine, until Ctrl-C"),
    "doctor": ("deploy.doctor", "examine this installation"),
    "models": ("deploy.models", "list, install, verify and show the model packs of this machine"),
    "live": ("deploy.live", "who is in front of a camera now: a webcam, an RTSP or HTTP stream, or a file"),
    "compat": ("deploy.compat", "the command-line programs of older projects, by the flags that they had"),
    "keys": ("api.keys", "create, list or revoke API keys"),
}


def add_parsers(commands: Commands, common: argparse.ArgumentParser) -> None:  # noqa: ARG001 - the shape of all modules
    """Name the commands in the help; their arguments belong to the programs that they start."""
    for name, (_, text) in _PROGRAMS.items():
        commands.add_parser(name, add_help=False, help=text)


def run_if_asked(arguments: list[str]) -> int | None:
    """Start the program when the command is one of these; does not come back then.

    Returns:
        None when the command is another one; 2 outside of a checkout.
    """
    if not arguments:
        return None
    if arguments[:2] == ["webhooks", "secret"]:
        module = "api.webhooks"
    elif arguments[0] in _PROGRAMS:
        module, _ = _PROGRAMS[arguments[0]]
    else:
        return None
    root = find_checkout(Path.cwd())
    if root is None:
        sys.stderr.write(
            f"facepipe: `{arguments[0]}` runs the server's code, and this is no checkout of it: go to its folder, or"
            " set FACEPIPE_ROOT to it.\n"
        )
        return 2
    return _become(root, module, arguments[1:])


def find_checkout(start: Path) -> Path | None:
    """`FACEPIPE_ROOT`, or the nearest folder at or above `start` that is a checkout of the server."""
    if named := os.environ.get("FACEPIPE_ROOT"):
        root = Path(named).absolute()
        return root if _is_checkout(root) else None
    start = start.absolute()
    return next((folder for folder in (start, *start.parents) if _is_checkout(folder)), None)


def _is_checkout(folder: Path) -> bool:
    return all((folder / part).is_file() for part in ("deploy/up.py", "api/wsgi.py", "workers/app.py"))


def _become(root: Path, module: str, arguments: list[str]) -> NoReturn:
    own = root / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    environment = os.environ | {"PYTHONPATH": str(root)}
    if "FACEPIPE_HOME" not in environment:
        environment["FACEPIPE_HOME"] = str(root / ".facepipe")
    os.execve(python, [python, "-m", module, *arguments], environment)  # noqa: S606 - no shell wanted
