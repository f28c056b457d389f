"""Removes what dead attempts and broken requests left behind, and nothing else."""

import logging
import time
from collections.abc import Callable, Sequence

from common.ports import BlobStore, FrameStore
from common.store.schedule import Schedule

log = logging.getLogger("facepipe.sweeper")

_SPARE_LIFETIME_S = 300.0
_CALL_LIFETIME_S = 120.0
_UPLOAD_LIFETIME_S = 24 * 3600.0
_ORPHAN_LIFETIME_S = 3600.0


class Sweeper:
    """See the module.

    Args:
        schedule: tells which attempts are alive.
        frames, blobs: what is swept.
        missing_jobs: which of these job ids have no row.
        unused_crops: which of these blob keys are no sample's crop.
        spent_media: which of these blob keys are the media of a job that has succeeded.
    """

    def __init__(
        self,
        schedule: Schedule,
        frames: FrameStore,
        blobs: BlobStore,
        *,
        missing_jobs: Callable[[Sequence[str]], set[str]],
        unused_crops: Callable[[Sequence[str]], set[str]],
        spent_media: Callable[[Sequence[str]], set[str]],
    ) -> None:
        self._schedule = schedule
        self._frames = frames
        self._blobs = blobs
        self._missing_jobs = missing_jobs
        self._unused_crops = unused_crops
        self._spent_media = spent_media
        self._first_seen: dict[str, float] = {}

    def sweep_frames(self) -> int:
        """Free the frames of attempts that are over; an entry must be seen twice, so that none is taken at birth.

        Returns:
            Entries freed.
        """
        now = time.monotonic()
        keys = set(self._frames.keys())
        self._first_seen = {key: self._first_seen.get(key, now) for key in keys}
        wanted = self._schedule.wanted_keys()
        freed = 0
        for key, seen_at in self._first_seen.items():
            owner = key.partition(":")[0]
            lifetime_s = _CALL_LIFETIME_S if owner.startswith("call-") else 1.0
            if owner not in wanted and now - seen_at > lifetime_s:
                self._frames.release(key)
                freed += 1
        self._frames.trim(_SPARE_LIFETIME_S)
        if freed:
            log.info("freed frames of dead attempts", extra={"entries": freed})
        return freed

    def sweep_blobs(self) -> int:
        """Remove uploads never accepted, pictures of calls that are over, and files whose job or sample is gone.

        Also media of a job whose worker died between its success and the removal.

        Returns:
            Files removed.
        """
        now = time.time()
        removed = 0
        for prefix, lifetime_s in (("incoming", _UPLOAD_LIFETIME_S), ("calls", _ORPHAN_LIFETIME_S)):
            for key, written_at in list(self._blobs.list(prefix)):
                if now - written_at > lifetime_s:
                    self._blobs.delete(key)
                    removed += 1
        youngest: dict[str, float] = {}
        old_media = []
        for key, written_at in self._blobs.list("jobs"):
            job_id = key.split("/")[1]
            youngest[job_id] = max(youngest.get(job_id, 0.0), written_at)
            if key == f"jobs/{job_id}/media" and now - written_at > _ORPHAN_LIFETIME_S:
                old_media.append(key)
        old_jobs = [job_id for job_id, written_at in youngest.items() if now - written_at > _ORPHAN_LIFETIME_S]
        old_crops = [key for key, written_at in self._blobs.list("galleries") if now - written_at > _ORPHAN_LIFETIME_S]
        orphans = [f"jobs/{job_id}" for job_id in self._missing_jobs(old_jobs)]
        for prefix in (*orphans, *self._spent_media(old_media), *self._unused_crops(old_crops)):
            self._blobs.delete(prefix)
            removed += 1
        if removed:
            log.info("removed orphaned files", extra={"files": removed})
        return removed
