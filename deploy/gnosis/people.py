"""Whose pictures are encoded: named in JSON, or by the folders that they lie in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from common.errors import BadInputError

_FORM: Final = 'Give {"<person>": ["<picture>", …], …}, or a folder with a folder for each person.'

People = Mapping[str, Sequence[Path]]
"""Label to pictures."""


def read_people(text: str) -> People:
    """Of `-i`: JSON, or the path of a folder.

    Raises:
        BadInputError: it is neither.
    """
    if text and not text.lstrip().startswith("{") and Path(text).is_dir():
        return list_people(Path(text))
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"The input is no JSON and no folder: {text[:80]!r}. {_FORM}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"The input is no JSON object. {_FORM}")
    for label, paths in document.items():
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise BadInputError(f"The pictures of {label!r} are no list of paths. {_FORM}")
    return {label: [Path(path) for path in paths] for label, paths in document.items()}


def list_people(folder: Path) -> People:
    """Every folder in `folder` is a person, every file in it a picture; both in the order of their names.

    Raises:
        BadInputError: there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder} is no folder. {_FORM}")
    people = {
        each.name: sorted(file for file in each.iterdir() if file.is_file() and not file.name.startswith("."))
        for each in sorted(folder.iterdir())
        if each.is_dir() and not each.name.startswith(".")
    }
    if not people:
        raise BadInputError(f"{folder} holds no folders of people. {_FORM}")
    return people
