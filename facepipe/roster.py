"""Who is to be enrolled: people and their pictures, found on the disk one after the other, never all at once.

Three layouts are understood: a folder a person; pictures of many people in one folder, named `<name>_<nr>.jpg`; and a
manifest, CSV or JSON, that says for each picture or person who it is.
"""

import csv
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})

_NUMBERED: Final = re.compile(r"(?P<name>.+?)[ _.-]+\d+$")
_LONGEST: Final = 200
_MANIFEST_BYTES: Final = 64 << 20
_FIELDS: Final = ("name", "external_id", "file", "files", "metadata")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to enrol.

    Attributes:
        name: as shown.
        external_id: the key that finds them again; None: they are found by their name.
        images: paths of pictures.
        metadata: kept with them.
        left_out: further pictures that were not taken.
    """

    name: str
    external_id: str | None
    images: tuple[Path, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0

    @property
    def label(self) -> str:
        """What messages call them."""
        return self.external_id or self.name


@dataclass(slots=True)
class Skipped:
    """What was passed over: names that begin with a dot, files that are no pictures, folders inside a person's."""

    hidden: int = 0
    other: int = 0
    folders: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.hidden + self.other + self.folders


def find_people(directory: Path, *, max_images: int, skipped: Skipped | None = None) -> Iterator[Person]:
    """People of a folder tree, by name: each folder with pictures is one, and so is each name of `<name>_<nr>.jpg`
    among the pictures that lie in `directory` itself.

    The folder's name is the external id, and with spaces for underscores it is the name.

    Args:
        max_images: pictures of a person at most, the first by name.
        skipped: counts what is passed over.

    Raises:
        OSError: the directory cannot be read.
    """
    counts = Skipped() if skipped is None else skipped
    folders, loose = _entries(directory, counts)
    for name in folders:
        inner, images = _entries(directory / name, counts)
        counts.folders += len(inner)
        if images:
            yield _person(name, directory / name, images, max_images)
    loose.sort(key=lambda file: (_name_of(file), file))
    for name, files in groupby(loose, key=_name_of):
        yield _person(name, directory, list(files), max_images)


def read_manifest(path: Path, *, max_images: int) -> Iterator[Person]:
    """People of a manifest, in its order; paths in it are relative to its folder.

    CSV: columns `name`, `file` (or `files`, separated by `;`), and at will `external_id`, `metadata` (a JSON object)
    and any others, which become metadata. Rows of one person that follow each other are put together. JSON: a list of
    objects with the same fields, `files` a list; or one such object a line (`.jsonl`).

    Raises:
        OSError: it cannot be read.
        ValueError: it says something else, with the line.
    """
    entries = _from_csv(path) if path.suffix.lower() == ".csv" else _from_json(path)
    for (name, external_id), group in groupby(entries, key=lambda entry: (entry.name, entry.external_id)):
        metadata: dict[str, Any] = {}
        images: list[Path] = []
        left_out = 0
        for entry in group:
            metadata.update(entry.metadata)
            room = max_images - len(images)
            images += entry.images[:room]
            left_out += len(entry.images[room:])
        yield Person(name, external_id, tuple(images), metadata, left_out)


def _entries(folder: Path, skipped: Skipped) -> tuple[list[str], list[str]]:
    """Names of the folders and of the pictures in `folder`, sorted."""
    folders: list[str] = []
    images: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                skipped.hidden += 1
            elif entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file() and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                images.append(entry.name)
            else:
                skipped.other += 1
    return sorted(folders), sorted(images)


def _name_of(file: str) -> str:
    stem = Path(file).stem
    found = _NUMBERED.fullmatch(stem)
    return found["name"] if found else stem


def _person(key: str, folder: Path, images: list[str], max_images: int) -> Person:
    # file systems differ in how they write an accent, and some hold names that are no text at all
    external_id = unicodedata.normalize("NFC", os.fsencode(key).decode("utf-8", "replace"))
    name = " ".join(external_id.replace("_", " ").split()) or external_id
    taken = tuple(folder / image for image in images[:max_images])
    return Person(name, external_id, taken, left_out=len(images) - len(taken))


def _from_csv(path: Path) -> Iterator[Person]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if "name" not in (rows.fieldnames or ()) or not {"file", "files"} & set(rows.fieldnames or ()):
            raise ValueError(f"{path}: the first line must name the columns; `name` and `file` are needed")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: there are more or fewer columns than in the first line")
            files = [part.strip() for part in (row.get("files") or row.get("file") or "").split(";") if part.strip()]
            more = {name: value for name, value in row.items() if name not in _FIELDS and value}
            document = {**row, "files": files, "metadata": {**_object(row.get("metadata") or "{}", where), **more}}
            yield _entry(document, path.parent, where)


def _from_json(path: Path) -> Iterator[Person]:
    for where, document in _documents(path):
        if not isinstance(document, dict):
            raise ValueError(f"{where}: an object with name and files is needed")
        if unknown := sorted(set(document) - set(_FIELDS)):
            raise ValueError(f"{where}: unknown field {unknown[0]!r}; put it into `metadata`")
        files = document.get("files") or document.get("file")
        files = [files] if isinstance(files, str) else files
        if not isinstance(files, list) or not all(isinstance(one, str) for one in files):
            raise ValueError(f"{where}: `files` must be a list of paths")
        metadata = document.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise ValueError(f"{where}: `metadata` must be an object")
        yield _entry({**document, "files": files, "metadata": metadata}, path.parent, where)


def _documents(path: Path) -> Iterable[tuple[str, Any]]:
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path}, line {number}", _json(line, f"{path}, line {number}")
        return
    if path.stat().st_size > _MANIFEST_BYTES:
        raise ValueError(f"{path} is too large to be read as a whole; use .jsonl, one object a line, or CSV")
    document = _json(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(document, list):
        raise ValueError(f"{path}: a list of people is needed")
    for number, one in enumerate(document, start=1):
        yield f"{path}, entry {number}", one


def _entry(document: Mapping[str, Any], folder: Path, where: str) -> Person:
    name, external_id = document.get("name"), document.get("external_id") or None
    for what, text in (("name", name), ("external_id", external_id or "-")):
        if not isinstance(text, str) or not 0 < len(text.strip()) <= _LONGEST:
            raise ValueError(f"{where}: `{what}` must be text of 1 to {_LONGEST} characters")
    if not document["files"]:
        raise ValueError(f"{where}: there is no file")
    images = tuple(folder / file for file in document["files"])
    return Person(str(name).strip(), external_id, images, document["metadata"])


def _object(text: str, where: str) -> dict[str, Any]:
    document = _json(text, where)
    if not isinstance(document, dict):
        raise ValueError(f"{where}: `metadata` must be a JSON object")
    return document


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: this is not JSON: {error}") from error
