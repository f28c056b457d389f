"""Whom root runs PostgreSQL as, and what that user may reach."""

import pwd
import shutil
import subprocess
from pathlib import Path

from common.errors import ConfigurationError

_USER = "pgserver"


def server_user(data: Path) -> tuple[int, int]:
    """Whom root runs the server as: the folder's owner, else a user made for it, else nobody."""
    if (data / "PG_VERSION").exists() and (status := data.stat()).st_uid != 0:
        return status.st_uid, status.st_gid
    for name in (_USER, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if name != _USER or shutil.which("useradd") is None:
                continue
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                continue
            entry = pwd.getpwnam(name)
        return entry.pw_uid, entry.pw_gid
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and there is no user to run it as. Add one (`useradd --system {_USER}`),"
        " start as another user, or set FACEPIPE_DATABASE_URL."
    )


def make_passable(path: Path) -> None:
    """Let other users pass through (not list) every folder above `path`."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if mode & 0o001 == 0:
            folder.chmod(mode & 0o7777 | 0o001)


def make_readable(tree: Path) -> None:
    """Let other users read a tree that was installed with a tight umask."""
    for path in (tree, *tree.rglob("*")):
        mode = path.stat().st_mode
        wanted = mode | 0o004 | (0o001 if mode & 0o100 else 0)
        if wanted != mode:
            path.chmod(wanted & 0o7777)
