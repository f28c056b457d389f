"""The bulk job `index`: builds a gallery's approximate index, measures it against exact search, decides on its use.

Options: `min_recall`. One chunk builds; then the conclusion asks for chunks that measure, each with some of the probes.
A probe is a stored reference moved as far as another picture of the same person lies from it.
"""

import uuid
from collections.abc import Sequence
from typing import Final

import numpy as np

from common.errors import ConflictError
from common.stage.bulk import BulkKind, Check, Conclusion, MoreChunks
from common.store.approximate import ApproximateIndexes, record_recall
from common.store.bulk import Bulk, BulkJob, Chunk, Effect, Work
from common.store.calibration import Calibration
from common.store.search import GallerySearch
from common.types import Float32s

PROBES: Final = 500
CHUNK_PROBES: Final = 50
#: Cosine of a probe to the reference that it is made of: what two pictures of one person usually have.
PROBE_COSINE: Final = 0.6


class IndexKind(BulkKind):
    """See the module."""

    def __init__(
        self, indexes: ApproximateIndexes, calibration: Calibration, bulk: Bulk, search: GallerySearch
    ) -> None:
        self._indexes = indexes
        self._calibration = calibration
        self._bulk = bulk
        self._search = search

    def survey(self, job: BulkJob, check: Check) -> Sequence[Chunk]:
        """See the protocol."""
        check()
        index = self._indexes.of_job(job.job_id)
        rows = self._calibration.size(index.gallery_id, index.model_id)
        return [Chunk(max(1, rows), {"build": True})]

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:
        """See the protocol."""
        if work.get("build"):
            self._indexes.build(job.job_id, check)
            return lambda _: {}
        index = self._indexes.of_job(job.job_id)
        names = np.array([uuid.UUID(sample_id).bytes for sample_id in work["sample_ids"]], "S16")
        probes, found = self._search.count_found(
            index.gallery_id, index.model_id, names, lambda stored: move(stored, work["seed"])
        )
        check()
        return lambda _: {"probes": probes, "found": found}

    def conclude(self, job: BulkJob, check: Check) -> Conclusion | MoreChunks:
        """See the protocol."""
        chunks = list(self._bulk.chunks(job.job_id))
        if any(chunk.error is not None for chunk in chunks):
            return Conclusion({})  # the job says what failed; a retry goes on from here
        check()
        index = self._indexes.of_job(job.job_id)
        size = self._indexes.size(index)
        if size is None:
            raise ConflictError("The index was dropped while it was measured; ask for it again.")
        measured = [chunk.result for chunk in chunks if chunk.result and "probes" in chunk.result]
        if not measured:
            samples = self._indexes.some_samples(index, PROBES)
            if samples:
                return MoreChunks(
                    [
                        Chunk(len(part), {"sample_ids": part, "seed": start})
                        for start in range(0, len(samples), CHUNK_PROBES)
                        for part in [samples[start : start + CHUNK_PROBES]]
                    ]
                )
        probes = sum(result["probes"] for result in measured)
        if not probes:
            raise ConflictError("The gallery has become empty: there is nothing to measure.")
        recall = sum(result["found"] for result in measured) / probes
        is_ready = recall >= index.min_recall
        if not is_ready:
            self._indexes.drop(index.name)
        return Conclusion(
            {
                "kind": "hnsw",
                "state": "ready" if is_ready else "refused",
                "recall": recall,
                "min_recall": index.min_recall,
                "probes": probes,
                "index_bytes": size,
            },
            write=lambda cursor: record_recall(cursor, job.job_id, recall=recall, is_ready=is_ready),
        )


def move(stored: Float32s, seed: int) -> Float32s:
    """References turned by the angle of `PROBE_COSINE`, each in a direction of its own.

    Args:
        stored: (n, dim) float32, about unit length.

    Returns:
        (n, dim) float32, unit length.
    """
    length = np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
    unit = stored / length
    other = np.random.default_rng(seed).standard_normal(stored.shape)
    other -= np.sum(other * unit, axis=1, keepdims=True) * unit
    other /= np.maximum(np.linalg.norm(other, axis=1, keepdims=True), 1e-12)
    return np.asarray(PROBE_COSINE * unit + np.sqrt(1 - PROBE_COSINE**2) * other, np.float32)
