"""One index of a gallery read whole, as arrays."""

import uuid
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.index.rows import Rows
from common.index.shortlist import Keys
from common.store.database import Database
from common.store.embeddings import References, read_all


@dataclass(frozen=True, slots=True, eq=False)
class IndexRows:
    """The rows of one index, sorted by subject and sample.

    Attributes:
        sample_ids, subject_ids: one a row.
        embeddings: (rows, dim) float16.
    """

    sample_ids: list[str]
    subject_ids: list[str]
    embeddings: npt.NDArray[np.float16]


def read_index(database: Database, gallery_id: str, model_id: str) -> IndexRows:
    """What a gallery has of a model."""
    parts: list[Rows] = []
    with database.transaction() as cursor:
        read_all(cursor, References(gallery_id, model_id), parts.append)
    if not parts:
        return IndexRows([], [], np.zeros((0, 0), np.float16))
    names = np.concatenate([part.names for part in parts])
    owners = np.concatenate([part.owners for part in parts])
    embeddings = np.concatenate([part.embeddings for part in parts])
    order = np.lexsort((names, owners))
    return IndexRows(_ids(names[order]), _ids(owners[order]), embeddings[order])


def _ids(keys: Keys) -> list[str]:
    return [str(uuid.UUID(bytes=key.ljust(16, b"\0"))) for key in keys.tolist()]
