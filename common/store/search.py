"""Exact search of a gallery: every reference is compared, nobody is missed by an index."""

from common.errors import ConflictError, NotFoundError
from common.store.database import Database, vector_literal
from common.types import Candidate, Float32s


class GallerySearch:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(
        self, gallery_id: str, model_id: str, probes: Float32s, *, limit: int
    ) -> list[tuple[Candidate, ...]]:
        """The subjects closest to each probe; a subject is as close as the closest of its references.

        Args:
            probes: (n, dim) float32, unit length, of `model_id`.
            limit: subjects per probe.

        Returns:
            For each probe its candidates, best first; equal similarities in the order of subject ids.
        Raises:
            NotFoundError: the gallery is gone.
            ConflictError: the gallery was made with another model.
        """
        with self._database.transaction() as cursor:
            cursor.execute("select model_id from galleries where id = %s", (gallery_id,))
            gallery = cursor.fetchone()
            if gallery is None:
                raise NotFoundError("The gallery is gone.")
            if gallery["model_id"] != model_id:
                raise ConflictError(
                    f"The gallery was made with model {gallery['model_id']}, the probes with {model_id}:"
                    " embeddings of two models are never compared.",
                    "model_mismatch",
                )
            found: list[list[Candidate]] = [[] for _ in probes]
            cursor.execute(
                "select probe, c.subject_id, c.similarity"
                " from unnest(%s::text[]) with ordinality as p (embedding, probe)"
                " cross join lateral (select subject_id, max(1 - (e.embedding <=> p.embedding::halfvec)) as similarity"
                "  from sample_embeddings e where gallery_id = %s and model_id = %s"
                "  group by subject_id order by similarity desc, subject_id limit %s) c"
                " order by probe, c.similarity desc, c.subject_id",
                ([vector_literal(probe) for probe in probes], gallery_id, model_id, limit),
            )
            for row in cursor:
                similarity = round(float(row["similarity"]), 6)
                found[row["probe"] - 1].append(Candidate(str(row["subject_id"]), similarity))
        return [tuple(candidates) for candidates in found]
