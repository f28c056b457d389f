"""People of other programs' data, as pictures to enrol; their embeddings are of other models and are made anew.

CompreFace, any of
  * a folder a subject, as its users keep it;
  * what its REST API lists and serves: `faces.json` with `{"faces": [{"image_id", "subject"}]}`, and the pictures under
    `images/<image_id>.<type>` or beside it;
  * its database as `\\copy TABLE to 'TABLE.csv' csv header` writes it: `subject.csv` (id, subject_name),
    `embedding.csv` (subject_id, img_id) and `img.csv` (id, content as hex).

InsightFace, a `dataset.json` of `{"<label>": [{"img": "<path>", "embedding": […]}]}`. The other form, pairs of a label
and numbers, names no pictures and is refused: vectors alone cannot be compared with those of another model.
"""

import csv
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from facepipe.roster import IMAGE_SUFFIXES, Person, find_people

FORMATS: Final = ("compreface", "insightface", "folder")

_TABLES: Final = ("subject.csv", "embedding.csv", "img.csv")
_SIGNATURES: Final = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


@contextmanager
def open_foreign(kind: str, path: Path, *, max_images: int) -> Iterator["Foreign"]:
    """Data of another program.

    Args:
        kind: one of `FORMATS`.
        path: folder or file.
        max_images: pictures of a person at most.

    Raises:
        ValueError: it is not what `kind` says, with what was expected.
        OSError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="facepipe-import-") as scratch:
        yield Foreign(kind, path, Path(scratch), max_images=max_images)


class Foreign:
    """See `open_foreign`. `people` may be gone through several times."""

    def __init__(self, kind: str, path: Path, scratch: Path, *, max_images: int) -> None:
        self._kind = kind
        self._path = path
        self._scratch = scratch
        self._max_images = max_images
        self._has_tables = kind == "compreface" and all((path / table).is_file() for table in _TABLES)
        if self._has_tables:
            _unpack_tables(path, scratch)

    def people(self) -> Iterator[Person]:
        """Everybody, one after the other."""
        if self._kind == "insightface":
            return self._dataset(self._path / "dataset.json" if self._path.is_dir() else self._path)
        if self._kind == "compreface" and self._has_tables:
            return self._tables()
        if self._kind == "compreface" and (self._path / "faces.json").is_file():
            return self._listing()
        if not self._path.is_dir():
            raise ValueError(f"{self._path} is no folder")
        return find_people(self._path, max_images=self._max_images)

    def _person(self, name: str, images: list[Path]) -> Person:
        taken = tuple(images[: self._max_images])
        return Person(name, name, taken, left_out=len(images) - len(taken))

    def _listing(self) -> Iterator[Person]:
        document = _read_json(self._path / "faces.json")
        faces = document.get("faces") if isinstance(document, dict) else document
        try:
            pairs = sorted((str(face["subject"]), str(face["image_id"])) for face in faces or [])
        except (TypeError, KeyError) as error:
            raise ValueError("faces.json: a list `faces` of objects with `subject` and `image_id` is needed") from error
        for name, group in groupby(pairs, key=lambda pair: pair[0]):
            yield self._person(name, [self._picture(image) for _, image in group])

    def _picture(self, image_id: str) -> Path:
        """Where the picture lies; when it lies nowhere, where it is missed."""
        plain = Path(image_id).name
        places = [folder / plain for folder in (self._path / "images", self._path)]
        for place in places:
            for suffix in ("", *sorted(IMAGE_SUFFIXES)):
                if (found := place.with_name(place.name + suffix)).is_file():
                    return found
        return places[0]

    def _tables(self) -> Iterator[Person]:
        names = {row["id"]: row["subject_name"] for row in _rows(self._path / "subject.csv", "id", "subject_name")}
        pairs = sorted(
            (names[row["subject_id"]], row["img_id"])
            for row in _rows(self._path / "embedding.csv", "subject_id", "img_id")
            if row["img_id"] and row["subject_id"] in names
        )
        for name, group in groupby(pairs, key=lambda pair: pair[0]):
            yield self._person(name, [_unpacked(self._scratch, image) for _, image in group])

    def _dataset(self, path: Path) -> Iterator[Person]:
        document = _read_json(path)
        if not isinstance(document, dict):
            raise ValueError(
                f"{path}: this dataset.json holds vectors without pictures, which no other model can be compared with;"
                " enrol the pictures that it was made of: `facepipe enroll DIR`"
            )
        for label, entries in sorted(document.items()):
            try:
                images = [path.parent / entry["img"] for entry in entries]
            except (TypeError, KeyError) as error:
                raise ValueError(
                    f"{path}: {label!r} needs a list of objects with `img`, the path of a picture"
                ) from error
            yield self._person(label, images)


def _unpack_tables(folder: Path, scratch: Path) -> None:
    """Pictures out of `img.csv` into files, one in memory at a time."""
    for row in _rows(folder / "img.csv", "id", "content"):
        try:
            data = bytes.fromhex(row["content"].removeprefix("\\x"))
        except ValueError as error:
            raise ValueError(f"img.csv: the content of {row['id']} is not PostgreSQL's hex form of bytes") from error
        suffix = next((name for start, name in _SIGNATURES.items() if data.startswith(start)), ".jpg")
        (scratch / f"{Path(row['id']).name}{suffix}").write_bytes(data)


def _unpacked(scratch: Path, image_id: str) -> Path:
    plain = Path(image_id).name
    places = [scratch / f"{plain}{suffix}" for suffix in _SIGNATURES.values()]
    return next((place for place in places if place.is_file()), places[0])


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)  # a picture is one field
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in columns if name not in (rows.fieldnames or ())]:
            raise ValueError(f"{path}: there is no column {missing[0]!r} in the first line; copy it with `csv header`")
        for row in rows:
            yield {name: row[name] or "" for name in columns}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: this is not JSON: {error}") from error
