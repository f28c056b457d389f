"""Chunks of the bulk job `reindex` in this pool: stored crops are embedded by another model, beside the live index.

Work of a chunk: `samples` (ids), or `tracks` ([job, number] each), or `switch`: make the new index the live one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from common.errors import ConflictError, NotFoundError
from common.ports import BlobStore
from common.stage.bulk import Check
from common.store.bulk import BulkJob, Effect, Work
from common.store.database import Cursor, Database
from common.store.reindex import (
    Reindex,
    SampleCrop,
    TrackCrops,
    lock_gallery,
    samples_without,
    store_samples,
    store_tracks,
    switch,
)
from common.types import Float32s, Uint8s
from workers.embed.embedder import Embedder
from workers.embed.fuse import fuse
from workers.embed.jpeg import decode_crop

#: Samples enrolled since the last look that are embedded while enrolment waits for the switch.
MOST_STRAGGLERS: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """Crops that could be embedded.

    Attributes:
        owner: (crops,) int32, position of what each belongs to.
        embeddings: (crops, dim) float32, unit length.
    """

    owner: Any
    embeddings: Float32s


class Reembedder:
    """See the module.

    Args:
        embedder_of: the embedder of a model id. Raises ConflictError when no installed pack has it.
        batch_size: crops in one run of the network at most.
    """

    def __init__(
        self, database: Database, blobs: BlobStore, embedder_of: Callable[[str], Embedder], *, batch_size: int
    ) -> None:
        self._reindex = Reindex(database)
        self._blobs = blobs
        self._embedder_of = embedder_of
        self._batch_size = batch_size

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:
        """One piece of work; see the module."""
        if work.get("switch"):
            return self._switch(job, work, check)
        if "samples" in work:
            return self._samples(job.model_id, self._reindex.sample_crops(work["samples"]), check)
        return self._tracks(job.model_id, self._reindex.track_crops([tuple(one) for one in work["tracks"]]), check)

    def _samples(self, model_id: str, samples: Sequence[SampleCrop], check: Check) -> Effect:
        found = self._embed(model_id, [(sample.crop_key,) for sample in samples], check)
        stored = [samples[owner].sample_id for owner in found.owner.tolist()]
        missing = sorted({sample.sample_id for sample in samples} - set(stored))

        def effect(cursor: Cursor) -> Work:
            store_samples(cursor, model_id, stored, found.embeddings)
            return {"samples": len(stored), "missing_samples": missing}

        return effect

    def _tracks(self, model_id: str, tracks: Sequence[TrackCrops], check: Check) -> Effect:
        found = self._embed(model_id, [track.crop_keys for track in tracks], check)
        there, group = np.unique(found.owner, return_inverse=True)
        weights = np.ones(len(group), np.float32)
        fused = fuse(found.embeddings, weights, group.astype(np.int32), groups=len(there))
        stored = [(tracks[owner].job_id, tracks[owner].track) for owner in there.tolist()]
        missing = sorted({(track.job_id, track.track) for track in tracks} - set(stored))

        def effect(cursor: Cursor) -> Work:
            store_tracks(cursor, model_id, stored, fused)
            return {"tracks": len(stored), "missing_tracks": [list(one) for one in missing]}

        return effect

    def _switch(self, job: BulkJob, work: Work, check: Check) -> Effect:
        missing = set(work["missing_samples"])
        # whatever takes time is done before the gallery is locked
        late = set(self._reindex.missing_samples(str(job.gallery_id), job.model_id)) - missing
        before = self._samples(job.model_id, self._reindex.sample_crops(late), check)

        def effect(cursor: Cursor) -> Work:
            gallery = lock_gallery(cursor, job.gallery_id)
            if gallery["model_id"] != job.options["from_model"]:
                name, model_id = gallery["name"], gallery["model_id"]
                raise ConflictError(f"The gallery {name!r} changed to model {model_id} meanwhile; re-index it anew.")
            result: dict[str, Any] = {**before(cursor), "switched": False}
            rest = [
                sample
                for sample in samples_without(cursor, str(gallery["id"]), job.model_id)
                if sample.sample_id not in missing
            ]
            if len(rest) <= MOST_STRAGGLERS:
                last = self._samples(job.model_id, rest, check)(cursor)
                unreadable = sorted({*result["missing_samples"], *last["missing_samples"]})
                result |= {"samples": result["samples"] + last["samples"], "missing_samples": unreadable}
                if not unreadable or job.options.get("allow_missing"):
                    switch(cursor, gallery, job.model_id, work["min_similarity"])
                    result["switched"] = True
            return result

        return effect

    def _embed(self, model_id: str, keys: Sequence[Sequence[str]], check: Check) -> _Embedded:
        """Embed what can be read of the crops of each owner."""
        owner: list[int] = []
        crops: list[Uint8s] = []
        for position, mine in enumerate(keys):
            for key in mine:
                try:
                    crop = decode_crop(self._blobs.read(key))
                except (NotFoundError, ValueError):
                    continue
                owner.append(position)
                crops.append(crop)
            check()
        embedder = self._embedder_of(model_id)
        if not crops:
            return _Embedded(np.zeros(0, np.int32), np.zeros((0, embedder.spec.dim), np.float32))
        embeddings = embedder.embed(np.stack(crops), batch_size=self._batch_size, check=check)
        return _Embedded(np.array(owner, np.int32), embeddings)
