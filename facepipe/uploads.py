"""Files on their way to the server: read from the disk in small pieces, never held in memory as a whole."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """Bytes of an encoded image under a file name."""

    name: str
    data: bytes


ImageSource = str | Path | bytes | NamedBytes
"""A path, or the bytes of an encoded image."""

ProgressCallback = Callable[[int, int], None]
"""Told the bytes sent so far and the bytes in all."""

Part = tuple[str, tuple[str, Any, str]]
"""A multipart part as httpx takes it: field, then file name, file and content type."""


class Upload:
    """The file parts of one request; they can be opened again for another try.

    Args:
        files: form field and where the bytes come from, in order.
        progress: called while they are sent; begins again at 0 when the request is tried again.

    Raises:
        OSError: a file cannot be read; told before anything is sent.
    """

    def __init__(self, files: Iterable[tuple[str, ImageSource]], progress: ProgressCallback | None = None) -> None:
        self._files = list(files)
        self._progress = progress
        self._total = sum(_size(source) for _, source in self._files)

    @contextmanager
    def parts(self) -> Iterator[list[Part]]:
        """Open files, at their beginning."""
        sent = 0

        def count(size: int) -> None:
            nonlocal sent
            sent += size
            if self._progress:
                self._progress(sent, self._total)

        with ExitStack() as stack:
            parts: list[Part] = []
            for number, (field, source) in enumerate(self._files, start=1):
                if isinstance(source, bytes):
                    file: BinaryIO = io.BytesIO(source)
                    name = f"image-{number}"
                elif isinstance(source, NamedBytes):
                    file, name = io.BytesIO(source.data), source.name
                else:
                    file = stack.enter_context(Path(source).open("rb"))
                    name = Path(source).name
                parts.append((field, (name, _Counted(file, count), "application/octet-stream")))
            yield parts


class _Counted:
    """A file that tells how much is read of it."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if data:
            self._count(len(data))
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _size(source: ImageSource) -> int:
    if isinstance(source, NamedBytes):
        return len(source.data)
    if isinstance(source, bytes):
        return len(source)
    with Path(source).open("rb") as file:
        return file.seek(0, io.SEEK_END)
