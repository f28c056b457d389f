"""dataset.json: labelled embeddings in a file, as predecessor 001 documents it and as its encoder wrote it.

Documented, read by its recogniser and written here: `[["<label>", "<512 numbers, by commas>"], …]`, several rows a
label. Written by its encoder, and read here too: `{"<label>": [{"img": "<path>", "embedding": [512 numbers]}, …], …}`.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import BadInputError
from common.wide_embedding import DIM

_FORMS: Final = (
    f'Send [["<label>", "<{DIM} numbers, by commas>"], …], or {{"<label>": [{{"embedding": [{DIM} numbers]}}, …], …}}.'
)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows of a data set, in the order of the file.

    Attributes:
        labels: one a row.
        embeddings: (rows, 512) float64 of unit length; a row of zeros stays one, and resembles nothing.
    """

    labels: tuple[str, ...]
    embeddings: npt.NDArray[np.float64]


def read_dataset(data: bytes) -> Dataset:
    """A file in either form.

    Raises:
        BadInputError: it is neither; the message says which row is wrong.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"The data set is no JSON. {_FORMS}", field="dataset") from error
    labels: list[str] = []
    rows: list[list[float]] = []
    for number, (label, numbers) in enumerate(_pairs(document)):
        labels.append(label)
        rows.append(_read_numbers(numbers, f"row {number} of the data set, {label[:60]!r},"))
    embeddings = np.array(rows, np.float64).reshape(len(rows), DIM)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Dataset(tuple(labels), np.divide(embeddings, lengths, out=embeddings, where=lengths > 0))


def write_dataset(rows: Iterable[tuple[str, Sequence[float]]]) -> str:
    """The documented form, on one line.

    Args:
        rows: label and embedding of 512 numbers.
    """
    return json.dumps([[label, ",".join(map(str, embedding))] for label, embedding in rows], ensure_ascii=False)


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    """Label and what should be an embedding, row by row."""
    if isinstance(document, dict):
        for label, faces in document.items():
            for face in faces if isinstance(faces, list) else [faces]:
                if not isinstance(face, dict) or "embedding" not in face:
                    raise BadInputError(f"{label[:60]!r} of the data set has no embedding. {_FORMS}", field="dataset")
                yield label, face["embedding"]
    elif isinstance(document, list):
        for number, row in enumerate(document):
            if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], str):
                raise BadInputError(f"Row {number} of the data set is no label and numbers. {_FORMS}", field="dataset")
            yield row[0], row[1]
    else:
        raise BadInputError(f"The data set is no list of rows. {_FORMS}", field="dataset")


def _read_numbers(value: Any, where: str) -> list[float]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) != DIM:
        length = len(parts) if isinstance(parts, list) else "no"
        raise BadInputError(f"The embedding in {where} has {length} numbers, not {DIM}.", field="dataset")
    try:
        numbers = [float(part) for part in parts if not isinstance(part, bool)]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    # squares are added up, so what overflows a float32 there is no number of any network
    if len(numbers) != DIM or not all(math.isfinite(number) and abs(number) < 1e18 for number in numbers):
        raise BadInputError(f"The embedding in {where} holds what is no number.", field="dataset")
    return numbers
