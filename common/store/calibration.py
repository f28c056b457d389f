"""What calibration reads of a gallery, and how its answer is kept."""

from collections.abc import Callable, Collection

import numpy as np

from common.errors import ConflictError, NotFoundError
from common.index.rows import Rows
from common.store.database import Cursor, Database, read_vector
from common.store.embeddings import References, read_together
from common.store.galleries import names_of
from common.store.paging import Row
from common.types import Float32s


class Calibration:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def gallery(self, gallery_id: str | None) -> Row:
        """Row of the gallery. Raises NotFoundError when it was deleted."""
        with self._database.statement() as cursor:
            cursor.execute("select * from galleries where id = %s", (gallery_id,))
            row: Row | None = cursor.fetchone()
        if row is None:
            raise NotFoundError("The gallery was deleted while it was calibrated.")
        return row

    def size(self, gallery_id: str | None, model_id: str) -> int:
        """How many samples have an embedding of the model."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select count(*) as n from sample_embeddings where gallery_id = %s and model_id = %s",
                (gallery_id, model_id),
            )
            return int(cursor.fetchone()["n"])

    def read(self, gallery_id: str | None, model_id: str, check: Callable[[], None]) -> Rows:
        """Every reference, in order of the samples' ids. `check` is called between parts."""
        with self._database.transaction() as cursor:
            return read_together(cursor, References(str(gallery_id), model_id), check)

    def embeddings(self, subject_id: str, model_id: str) -> Float32s:
        """(samples, dim) float32 of one subject; (0, 0) for one that is gone."""
        with self._database.statement() as cursor:
            cursor.execute(
                "select embedding::text as embedding from sample_embeddings where subject_id = %s and model_id = %s"
                " order by sample_id",
                (subject_id, model_id),
            )
            found = [read_vector(row["embedding"]) for row in cursor.fetchall()]
        return np.array(found, np.float32) if found else np.zeros((0, 0), np.float32)

    def names(self, subject_ids: Collection[str]) -> dict[str, str]:
        """Subject id to name, of those that are there."""
        with self._database.transaction() as cursor:
            return names_of(cursor, subject_ids)


def save_min_similarity(cursor: Cursor, gallery_id: str, model_id: str, min_similarity: float) -> None:
    """Make it the gallery's, in the caller's transaction.

    Raises:
        ConflictError: the gallery was switched to another model meanwhile, or deleted.
    """
    cursor.execute(
        "update galleries set min_similarity = %s where id = %s and model_id = %s",
        (min_similarity, gallery_id, model_id),
    )
    if cursor.rowcount == 0:
        raise ConflictError("The gallery was switched to another model while it was calibrated; do it again.")
