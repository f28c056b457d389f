"""A folder takes another's place in one step, and is filled out of sight before."""

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from common.errors import ConfigurationError
from common.packs import ModelFile

#: Called with the number of bytes that were copied.
Copied = Callable[[int], None]

_CHUNK: Final = 1 << 20
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


@contextmanager
def staging(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder beside the packs, for one install at a time; removed at the end, if it is still there.

    Args:
        folder: where packs are installed; made when missing.
        name: the pack to be.

    Raises:
        ConfigurationError: another install runs, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written: {error.strerror}. Choose another FACEPIPE_HOME."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"another install into {folder} is running; wait for it to end") from None
        place = folder / ".staging"
        shutil.rmtree(place, ignore_errors=True)  # of an install that was killed
        restore(folder)
        (place / name).mkdir(parents=True)
        try:
            yield place / name
        finally:
            shutil.rmtree(place, ignore_errors=True)


def copy_checked(source: IO[bytes], target: Path, file: ModelFile, *, copied: Copied) -> None:
    """Write a stream to a new file, reading no more than the manifest allows.

    Raises:
        ConfigurationError: what came is not what the manifest says; names the file and says how.
    """
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as stream:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > file.bytes:
                raise ConfigurationError(
                    f"{file.name} is refused: it has more than the {file.bytes} bytes of the manifest"
                )
            digest.update(chunk)
            stream.write(chunk)
            copied(len(chunk))
        stream.flush()
        os.fsync(stream.fileno())
    if size != file.bytes:
        raise ConfigurationError(f"{file.name} is refused: it has {size} bytes, the manifest says {file.bytes}")
    if digest.hexdigest() != file.sha256:
        raise ConfigurationError(
            f"{file.name} is refused: it has SHA-256 {digest.hexdigest()}, the manifest says {file.sha256}"
        )


def place(new: Path, target: Path) -> None:
    """Put the folder `new` where `target` is; what was there is gone afterwards. There is never nothing in between.

    On file systems that cannot swap two names, `target` is away for a moment; `restore` brings it back if the process
    died just then.
    """
    _sync(new)
    if not target.exists():
        new.rename(target)
    elif _exchange(new, target):
        shutil.rmtree(new)
    else:
        aside = _aside(target)
        target.rename(aside)
        new.rename(target)
        shutil.rmtree(aside)
    _sync(target.parent)


def restore(folder: Path) -> None:
    """Bring back packs that a killed install had put aside."""
    for aside in folder.glob(".replaced-*"):
        target = folder / aside.name.removeprefix(".replaced-")
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)


def _aside(target: Path) -> Path:
    return target.with_name(f".replaced-{target.name}")


def _exchange(first: Path, second: Path) -> bool:
    """Swap two names; False where the file system or the C library cannot."""
    swap = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if swap is None:
        return False
    if swap(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(second))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
