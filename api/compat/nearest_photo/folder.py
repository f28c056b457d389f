"""A folder of files `<name>_<nr>.jpg`, each taken up once when the server starts.

It goes on beside the requests, waits for the pools, and prints what it does: as the predecessor did, the name of every
file and `Loading file for <name>_<nr>`.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from api.compat.nearest_photo.album import GALLERY, Album
from api.readiness import missing_parts
from api.services import Services
from common.errors import ConfigurationError, FacepipeError, OverloadedError, TransientError
from common.store.audit import Entry, auditing

log = logging.getLogger("facepipe.compat")

SUFFIXES: Final = frozenset({".jpg", ".jpeg"})

_PAUSE_S: Final = 1.0


def take_up(folder: Path, services: Services) -> threading.Thread:
    """Begin with the files that are in the folder now; gives the thread that does it.

    Raises:
        ConfigurationError: the folder is not there.
    """
    files = photographs_in(folder)
    thread = threading.Thread(target=_work, args=(files, services, say), name="compat-004-db", daemon=True)
    thread.start()
    return thread


def photographs_in(folder: Path) -> list[Path]:
    """The JPEG files of a folder, by name; folders in it are not looked into.

    Raises:
        ConfigurationError: the folder is not there.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"FACEPIPE_COMPAT_004_DB={folder} cannot be read: {error.strerror}. Name the folder of the photographs"
            " <name>_<nr>.jpg, or unset it."
        ) from error
    return [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]


def say(line: str) -> None:
    """One line on the console."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _work(files: Sequence[Path], services: Services, tell: Callable[[str], None]) -> None:
    while files and missing_parts(services):
        time.sleep(_PAUSE_S)
    album = Album(services)
    added = 0
    for path in files:
        tell(path.name)
        tell(f"Loading file for {path.stem}")
        added += _load(path, album, services.settings.api.max_image_bytes, tell)
    tell(f"{len(files)} files in the folder, {added} of them new.")


def _load(path: Path, album: Album, max_bytes: int, tell: Callable[[str], None]) -> bool:
    """Whether the file was enrolled now. What is wrong with one file is told, and is no matter of the others."""
    while True:
        try:
            if path.stat().st_size > max_bytes:
                tell(f"{path.name} is left out: it is larger than {max_bytes} bytes.")
                return False
            with auditing(Entry("enroll", "", "compat-004-db", GALLERY)):
                return album.register_file(path.stem, path.read_bytes())
        except (TransientError, OverloadedError) as error:
            log.warning("%s is tried again: %s", path.name, error)
            time.sleep(_PAUSE_S)
        except (FacepipeError, OSError) as error:
            tell(f"{path.name} is left out: {error}")
            return False
        except Exception:
            log.exception("%s is left out by a defect", path.name)
            return False
