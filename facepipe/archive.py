"""A gallery as a file: a ZIP or a folder that holds people, crops and embeddings, with a checksum of every member.

    gallery.json                    what this is: format, version, name, model_id, min_similarity, export_id
    subjects/<subject>.json         a person: name, external_id, metadata, and the samples with their embeddings
    crops/<subject>/<sample>.jpg    the aligned crop of a sample
    SHA256SUMS                      of every other member, as sha256sum writes and checks it; last, so that a file
                                    without it was cut short

Embeddings are half floats, little-endian, in base64, each with its model id and SHA-256. Neither writing nor reading
ever holds more than one person and one crop.
"""

import base64
import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

FORMAT: Final = "facepipe-gallery"
VERSION: Final = 1

HEAD: Final = "gallery.json"
SUMS: Final = "SHA256SUMS"

_SUM_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *]([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)\n?")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHUNK_BYTES: Final = 1 << 20
_MEMBER_BYTES: Final = 256 << 20


class ArchiveError(ValueError):
    """The file is no export of a gallery, or is damaged."""


class _Members(Protocol):
    """Where members lie."""

    def open(self, name: str) -> IO[bytes]:
        """Raises KeyError or OSError."""

    def names(self) -> Iterator[str]:
        """Every member."""


class ArchiveWriter:
    """Takes an export document by document; see `write_archive`."""

    def __init__(self, put: Callable[[str, bytes], None], sums: IO[str]) -> None:
        self._put = put
        self._sums = sums
        self._subject: dict[str, Any] | None = None
        self.subjects = 0
        self.samples = 0
        self.missing_crops = 0

    def take(self, document: Mapping[str, Any]) -> bool:
        """Write one document; whether it was the last. Raises ArchiveError for what this version does not know."""
        kind = document.get("kind")
        plain = {name: value for name, value in document.items() if name != "kind"}
        if kind == "gallery":
            if plain.get("format") != FORMAT or plain.get("version") != VERSION:
                raise ArchiveError("The server exports another version than this client writes; upgrade the client.")
            self._add(HEAD, _json(plain))
        elif kind == "subject":
            self._finish_subject()
            self._subject = {**plain, "samples": []}
        elif kind == "sample" and self._subject is not None and plain.get("subject_id") == self._subject["id"]:
            self._add_sample(plain)
        elif kind == "end":
            self._finish_subject()
            if (plain["subjects"], plain["samples"]) != (self.subjects, self.samples):
                raise ArchiveError("The export does not hold what it says that it holds; export again.")
            self._sums.seek(0)
            self._put(SUMS, self._sums.read().encode())
            return True
        else:
            raise ArchiveError(f"The export holds an unexpected {kind!r}; is the client older than the server?")
        return False

    def _add_sample(self, sample: dict[str, Any]) -> None:
        subject = self._subject
        if subject is None:
            raise ArchiveError("The export holds a sample of nobody.")
        text = sample.pop("crop")
        del sample["subject_id"]
        if text is None:
            self.missing_crops += 1
        else:
            self._add(_crop_name(subject["id"], sample["id"]), base64.b64decode(text))
        subject["samples"].append(sample)
        self.samples += 1

    def _finish_subject(self) -> None:
        if self._subject is not None:
            self._add(_subject_name(self._subject["id"]), _json(self._subject))
            self.subjects += 1
            self._subject = None

    def _add(self, name: str, data: bytes) -> None:
        self._put(name, data)
        self._sums.write(f"{hashlib.sha256(data).hexdigest()}  {name}\n")


@contextmanager
def write_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write `path`: a ZIP when its name ends so, else a folder. It is there only once it is complete.

    Raises:
        ValueError: it exists already.
        OSError: it cannot be written.
    """
    if path.exists():
        raise ValueError(f"{path} exists already; choose another name or remove it")
    part = path.with_name(f"{path.name}.part")
    _remove(part)
    is_zip = path.suffix.lower() == ".zip"
    try:
        with ExitStack() as stack:
            sums = stack.enter_context(tempfile.SpooledTemporaryFile(1 << 22, "w+", encoding="ascii"))
            if is_zip:
                put = _zip_put(stack.enter_context(zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED)))
            else:
                part.mkdir()
                put = _folder_put(part)
            yield ArchiveWriter(put, sums)
        part.rename(path)
    finally:
        _remove(part)


class Archive:
    """An export on the disk; see `open_archive`.

    Attributes:
        head: what `gallery.json` says.
        damaged: members whose checksum does not hold.
        subjects: how many people it holds.
    """

    def __init__(self, members: _Members, progress: Callable[[int], None]) -> None:
        self._members = members
        self.subjects = 0
        self.damaged: set[str] = set()
        self._check(progress)
        if HEAD in self.damaged:
            raise ArchiveError(f"{HEAD} is damaged: its checksum does not hold")
        head = json.loads(self._read(HEAD))
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ArchiveError(f"{HEAD} does not say that this is an export of a gallery")
        if head.get("version") != VERSION:
            raise ArchiveError(f"this is version {head.get('version')} of the format; this client reads {VERSION}")
        self.head: Mapping[str, Any] = head

    def people(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Name of each person's member, and what it holds; None when that is damaged."""
        for name in self._members.names():
            if name.startswith("subjects/"):
                yield name, None if name in self.damaged else self._subject(name)

    def crop(self, subject_id: str, sample_id: str) -> bytes | None:
        """The crop of a sample; None when it is damaged or was missing from the beginning."""
        name = _crop_name(subject_id, sample_id)
        if name in self.damaged:
            return None
        try:
            return self._read(name)
        except (KeyError, OSError):
            return None

    def _subject(self, name: str) -> dict[str, Any] | None:
        try:
            document = json.loads(self._read(name))
            ids = [document["id"], *(sample["id"] for sample in document["samples"])]
        except (ValueError, KeyError, TypeError):
            return None
        known: dict[str, Any] = document
        return known if all(isinstance(one, str) and _ID.fullmatch(one) for one in ids) else None

    def _check(self, progress: Callable[[int], None]) -> None:
        """Find what is damaged; refuse members that no checksum vouches for, as nothing says that they belong here."""
        vouched = 0
        try:
            with self._members.open(SUMS) as sums:
                for line in sums:
                    found = _SUM_LINE.fullmatch(line.decode("ascii", "replace"))
                    if found is None or ".." in found[2].split("/"):
                        raise ArchiveError(f"{SUMS} cannot be read")
                    vouched += 1
                    self.subjects += found[2].startswith("subjects/")
                    if self._digest(found[2]) != found[1]:
                        self.damaged.add(found[2])
                    progress(vouched)
        except (KeyError, FileNotFoundError) as error:
            raise ArchiveError(f"there is no {SUMS}: this is no export, or one that was cut short") from error
        present = sum(name != SUMS for name in self._members.names())
        if present > vouched:
            raise ArchiveError(f"it holds {present - vouched} files that {SUMS} does not know")

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with self._members.open(name) as file:
                while piece := file.read(_CHUNK_BYTES):
                    digest.update(piece)
        except (KeyError, OSError, zipfile.BadZipFile):
            return ""
        return digest.hexdigest()

    def _read(self, name: str) -> bytes:
        with self._members.open(name) as file:
            data = file.read(_MEMBER_BYTES + 1)
        if len(data) > _MEMBER_BYTES:
            raise ArchiveError(f"{name} is larger than {_MEMBER_BYTES} bytes")
        return data


@contextmanager
def open_archive(path: Path, progress: Callable[[int], None] = lambda _: None) -> Iterator[Archive]:
    """Read an export, after every member was compared with its checksum.

    Args:
        progress: told how many members are compared.

    Raises:
        ArchiveError: it is no export, or was cut short.
        OSError: it cannot be read.
    """
    if path.is_dir():
        yield Archive(_Folder(path), progress)
        return
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(_Zip(file), progress)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{path} is neither a ZIP nor a folder: {error}") from error


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(name)

    def names(self) -> Iterator[str]:
        return (entry.filename for entry in self._file.infolist() if not entry.is_dir())


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, name: str) -> IO[bytes]:
        return (self._folder / name).open("rb")

    def names(self) -> Iterator[str]:
        return (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())


def _zip_put(file: zipfile.ZipFile) -> Callable[[str, bytes], None]:
    def put(name: str, data: bytes) -> None:
        is_packed = name.endswith(".jpg")
        file.writestr(name, data, zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED)

    return put


def _folder_put(folder: Path) -> Callable[[str, bytes], None]:
    def put(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return put


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _subject_name(subject_id: str) -> str:
    return f"subjects/{_checked(subject_id)}.json"


def _crop_name(subject_id: str, sample_id: str) -> str:
    return f"crops/{_checked(subject_id)}/{_checked(sample_id)}.jpg"


def _checked(identity: str) -> str:
    """The id, which becomes part of a path."""
    if not _ID.fullmatch(identity):
        raise ArchiveError(f"{identity!r} is no id")
    return identity


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
