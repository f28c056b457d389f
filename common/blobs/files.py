"""Blob store in a folder: uploads, crops and thumbnails as plain files."""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from common.errors import NotFoundError, OverloadedError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_INCOMING = "incoming"

# Pictures of calls: whoever asked is gone after a crash, so they need not outlive one.
_FLEETING = "calls/"


class FileBlobStore:
    """See `common.ports.BlobStore`.

    Args:
        directory: made if missing; several hosts share it by a network file system.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        (self._directory / _INCOMING).mkdir(parents=True, exist_ok=True)

    def incoming(self) -> "FileBlobWriter":
        """See the port."""
        return FileBlobWriter(self._directory / _INCOMING / uuid.uuid4().hex, self)

    def put(self, key: str, data: bytes) -> None:
        """See the port."""
        writer = self.incoming()
        try:
            writer.write(data)
            writer.commit(key)
        finally:
            writer.discard()

    def put_all(self, files: Mapping[str, bytes]) -> None:
        """See the port."""
        with ExitStack() as unfinished:
            writers = {}
            for key, data in files.items():
                writers[key] = writer = self.incoming()
                unfinished.callback(writer.discard)
                writer.write(data)
                writer.begin_sync()
            for key in reversed(writers):  # when the last one is on the disk, nearly all of the others are
                writers[key].sync(key)
            for folder in {writer.move(key) for key, writer in writers.items()}:
                _sync_directory(folder)

    def open(self, key: str) -> BinaryIO:
        """See the port."""
        return Path(self.path(key)).open("rb")

    def read(self, key: str) -> bytes:
        """See the port."""
        with self.open(key) as file:
            return file.read()

    def path(self, key: str) -> str:
        """See the port."""
        path = self.place(key)
        if not path.is_file():
            raise NotFoundError(f"The stored file {key} is gone.")
        return str(path)

    def delete(self, prefix: str) -> None:
        """See the port."""
        path = self.place(prefix)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        if path.parent.parent != self._directory:  # `incoming`, `jobs` and the like stay
            with suppress(OSError):  # the folder above may be empty now; if it is not, it stays
                path.parent.rmdir()

    def list(self, prefix: str) -> Iterator[tuple[str, float]]:
        """See the port."""
        root = self.place(prefix)
        for folder, _, files in os.walk(root):
            for name in files:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    yield str(path.relative_to(self._directory)), path.stat().st_mtime

    def place(self, key: str) -> Path:
        """Where `key` lies. Raises ValueError for a key that is no path of plain names."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a blob key: {key!r}")
        return self._directory / key


class FileBlobWriter:
    """See `common.ports.BlobWriter`."""

    def __init__(self, path: Path, store: FileBlobStore) -> None:
        self._path = path
        self._store = store
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        """See the port. Raises OverloadedError when the disk is full."""
        with _telling_when_full():
            self._file.write(data)
        self._hash.update(data)
        self._size += len(data)
        return len(data)

    def begin_sync(self) -> None:
        """Have the system send it to the disk, and do not wait. Raises OverloadedError when the disk is full."""
        with _telling_when_full():
            self._file.flush()
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def commit(self, key: str) -> None:
        """See the port. Raises OverloadedError when the disk is full."""
        try:
            self.sync(key)
            _sync_directory(self.move(key))
        except OverloadedError:
            self.discard()
            raise

    def sync(self, key: str) -> None:
        """Wait until it outlasts a crash, if what is stored as `key` has to. Raises OverloadedError as `commit`."""
        with _telling_when_full():
            self._file.flush()
            if not key.startswith(_FLEETING):
                os.fsync(self._file.fileno())
            self._file.close()

    def move(self, key: str) -> Path | None:
        """Put what is synced into its place; its name lasts once the folder returned, if any, is synced."""
        target = self._store.place(key)
        with _telling_when_full():
            while True:
                try:
                    self._path.rename(target)
                    break
                except FileNotFoundError:  # the first one there, or a delete beside us took the empty folder away
                    if not self._path.exists():
                        raise
                    target.parent.mkdir(parents=True, exist_ok=True)
        return None if key.startswith(_FLEETING) else target.parent

    def discard(self) -> None:
        """See the port."""
        with suppress(OSError):  # on a full disk closing fails too, since it writes what is buffered
            self._file.close()
        self._path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """See the port."""
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        """See the port."""
        return self._size


@contextmanager
def _telling_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OverloadedError(f"The upload cannot be stored: {error.strerror}.", "unavailable") from error


def _sync_directory(directory: Path | None) -> None:
    if directory is None:
        return
    with _telling_when_full():
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
