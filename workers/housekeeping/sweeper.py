"""Removes what dead attempts and broken requests left behind, and nothing else."""

import logging
import time
from collections.abc import Callable

from common.ports import BlobStore, FrameStore
from common.store.schedule import Schedule

log = logging.getLogger("facepipe.sweeper")

_CALL_LIFETIME_S = 120.0
_UPLOAD_LIFETIME_S = 24 * 3600.0
_ORPHAN_LIFETIME_S = 3600.0


class Sweeper:
    """See the module.

    Args:
        schedule: tells which attempts are alive.
        frames, blobs: what is swept.
        job_exists: whether a job's row is still there.
    """

    def __init__(
        self, schedule: Schedule, frames: FrameStore, blobs: BlobStore, job_exists: Callable[[str], bool]
    ) -> None:
        self._schedule = schedule
        self._frames = frames
        self._blobs = blobs
        self._job_exists = job_exists
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
        if freed:
            log.info("freed frames of dead attempts", extra={"entries": freed})
        return freed

    def sweep_blobs(self) -> int:
        """Remove uploads that were never accepted, pictures of calls that are over, and files of jobs that are gone.

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
        for key, written_at in self._blobs.list("jobs"):
            job_id = key.split("/")[1]
            youngest[job_id] = max(youngest.get(job_id, 0.0), written_at)
        for job_id, written_at in youngest.items():
            if now - written_at > _ORPHAN_LIFETIME_S and not self._job_exists(job_id):
                self._blobs.delete(f"jobs/{job_id}")
                removed += 1
        if removed:
            log.info("removed orphaned files", extra={"files": removed})
        return removed
