"""One index of a gallery read whole, as arrays."""

import uuid
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.index.shortlist import Keys
from common.store.database import Database
from common.store.embeddings import References, read_together


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
    with database.transaction() as cursor:
        rows = read_together(cursor, References(gallery_id, model_id))
    order = np.argsort(rows.owners, kind="stable")
    return IndexRows(_ids(rows.names[order]), _ids(rows.owners[order]), rows.embeddings[order])


def _ids(keys: Keys) -> list[str]:
    return [str(uuid.UUID(bytes=key.ljust(16, b"\0"))) for key in keys.tolist()]
