"""The bulk job `rematch`: tracks of finished jobs are decided anew, without decoding anything.

Options: `job_ids` (none: every job of the gallery), `subject_ids` (only answers that name one of them change; none: all
may), `since` and `until` (ISO times of the jobs' making), `min_similarity` (none: what a job asked for, else the
gallery's).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from common.models import Models
from common.records import Track
from common.stage.bulk import BulkKind, Check, Conclusion
from common.store.bulk import Bulk, BulkJob, Chunk, Effect, Work
from common.store.database import Cursor, Database
from common.store.galleries import names_of
from common.store.paging import Row
from common.store.rematch import DecidedJob, Decisions, Rematch, replace_decisions
from common.store.search import GallerySearch
from workers.match.appearances import absence_ms, merge_tracks
from workers.match.identify import Identity, identify, number_strangers
from workers.match.people import choose_person, strictest

#: Of one chunk at most: jobs, and tracks unless a single job has more.
CHUNK_JOBS: Final = 20
CHUNK_TRACKS: Final = 2000
#: Changed answers that a report lists, and those that one chunk may give.
REPORT_CHANGES: Final = 1000
CHUNK_CHANGES: Final = 200


@dataclass(frozen=True, slots=True)
class _Redecided:
    decisions: Decisions
    before: dict[int, Track]
    min_similarity: float

    def changed(self) -> list[tuple[Track, Track]]:
        """(before, after) of every track that is somebody else now."""
        pairs = ((self.before[track.track], track) for track in self.decisions.tracks)
        return [(before, after) for before, after in pairs if before.subject_id != after.subject_id]


class RematchKind(BulkKind):
    """See the module.

    Args:
        max_gap_ms: the configured longest absence inside an appearance.
    """

    def __init__(self, database: Database, models: Models, search: GallerySearch, *, max_gap_ms: int) -> None:
        self._bulk = Bulk(database)
        self._rematch = Rematch(database)
        self._search = search
        self._models = models
        self._max_gap_ms = max_gap_ms

    def survey(self, job: BulkJob, check: Check) -> Sequence[Chunk]:
        """See the protocol."""
        self._rematch.gallery(job.gallery_id)
        options = job.options
        found = self._rematch.jobs_to_decide(
            job.gallery_id,
            job_ids=options.get("job_ids") or (),
            since=options.get("since"),
            until=options.get("until"),
        )
        check()
        chunks: list[list[str]] = []
        tracks = 0
        for job_id, count in found:
            if not chunks or len(chunks[-1]) >= CHUNK_JOBS or tracks + count > CHUNK_TRACKS:
                chunks.append([])
                tracks = 0
            chunks[-1].append(job_id)
            tracks += count
        return [Chunk(len(job_ids), {"jobs": job_ids}) for job_ids in chunks]

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:
        """See the protocol."""
        gallery = self._rematch.gallery(job.gallery_id)
        model_id: str = gallery["model_id"]
        decided, skipped = [], []
        for stored in self._rematch.read(work["jobs"], model_id):
            check()
            if len(stored.tracks) < stored.track_count:
                missing = stored.track_count - len(stored.tracks)
                skipped.append(
                    {
                        "job_id": stored.job_id,
                        "reason": f"{missing} of {stored.track_count} tracks have no embedding of {model_id};"
                        " re-index the gallery for it first.",
                    }
                )
            else:
                decided.append(self._decide(job.options, gallery, stored))
        choose = partial(choose_person, min_similarity=strictest(self._models.pack(model_id).embedder.min_similarity))

        def effect(cursor: Cursor) -> Work:
            names = names_of(cursor, _subjects(decided))
            changes, changed_jobs = [], 0
            for one in decided:
                mine = [_change(one.decisions.job, before, after, names) for before, after in one.changed()]
                report = {"rematched_by": job.job_id, "changes": mine[:CHUNK_CHANGES], "changed_tracks": len(mine)}
                replace_decisions(
                    cursor,
                    one.decisions,
                    gallery=gallery,
                    model_id=model_id,
                    min_similarity=one.min_similarity,
                    report=report if mine else None,
                    choose_person=choose,
                )
                changes += mine
                changed_jobs += bool(mine)
            return {
                "jobs": len(decided),
                "tracks": sum(len(one.decisions.tracks) for one in decided),
                "changed_jobs": changed_jobs,
                "changed_tracks": len(changes),
                "changes": changes[:CHUNK_CHANGES],
                "skipped": skipped,
            }

        return effect

    def conclude(self, job: BulkJob, check: Check) -> Conclusion:
        """See the protocol."""
        report: dict[str, Any] = {"jobs": 0, "tracks": 0, "changed_jobs": 0, "changed_tracks": 0}
        changes: list[Any] = []
        skipped: list[Any] = []
        for chunk in self._bulk.chunks(job.job_id):
            check()
            if chunk.result is None:
                continue
            for name in report:
                report[name] += chunk.result[name]
            changes += chunk.result["changes"][: REPORT_CHANGES - len(changes)]
            skipped += chunk.result["skipped"][: REPORT_CHANGES - len(skipped)]
        report |= {"changes": changes, "changes_left_out": report["changed_tracks"] - len(changes), "skipped": skipped}
        error = None
        if skipped:
            message = f"{len(skipped)} jobs were left as they are; `report` says why."
            error = {"code": "model_mismatch", "message": message}
        return Conclusion(report, error)

    def _decide(self, options: Work, gallery: Row, stored: DecidedJob) -> _Redecided:
        model_id: str = gallery["model_id"]
        bound = self._min_similarity(options, gallery, stored)
        embeddings = np.array([track.embedding for track in stored.tracks], np.float32)
        candidates = (
            self._search.candidates(str(gallery["id"]), model_id, embeddings, limit=stored.options.limit)
            if len(embeddings)
            else []
        )
        weights = np.array([track.detections for track in stored.tracks], np.float32)
        calibrated = self._models.calibrated(model_id)
        identities = identify(
            embeddings,
            weights,
            candidates,
            min_similarity=bound,
            min_margin=stored.options.min_margin,
            stranger_similarity=calibrated,
        )
        if wanted := set(options.get("subject_ids") or ()):
            kept = [
                identity if {track.subject_id, identity.subject_id} & wanted else _as_before(track)
                for track, identity in zip(stored.tracks, identities, strict=True)
            ]
            identities = number_strangers(kept, embeddings, weights, min_similarity=calibrated)
        tracks = [
            replace(
                track,
                subject_id=identity.subject_id,
                stranger=identity.stranger,
                similarity=identity.similarity,
                candidates=identity.candidates,
            )
            for track, identity in zip(stored.tracks, identities, strict=True)
        ]
        appearances = merge_tracks(tracks, max_gap_ms=absence_ms(self._max_gap_ms, stored.options.sample_fps))
        before = {track.track: track for track in stored.tracks}
        return _Redecided(Decisions(stored, tracks, appearances), before, bound)

    def _min_similarity(self, options: Work, gallery: Row, stored: DecidedJob) -> float:
        """The caller's, else what the job asked for of the same model, else what a job made now would get."""
        chosen: float | None = options.get("min_similarity")
        if chosen is None and stored.model_id == gallery["model_id"]:
            chosen = stored.asked_min_similarity
        if chosen is None:
            chosen = gallery["min_similarity"]
        return self._models.min_similarity(gallery["model_id"]) if chosen is None else float(chosen)


def _as_before(track: Track) -> Identity:
    return Identity(track.subject_id, track.stranger, track.similarity, track.candidates)


def _subjects(decided: Sequence[_Redecided]) -> set[str]:
    pairs = [pair for one in decided for pair in one.changed()]
    return {track.subject_id for pair in pairs for track in pair if track.subject_id is not None}


def _change(job: DecidedJob, before: Track, after: Track, names: dict[str, str]) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "track_id": after.track,
        "start_ms": after.start_ms,
        "end_ms": after.end_ms,
        "before": _who(before, names),
        "after": _who(after, names),
    }


def _who(track: Track, names: dict[str, str]) -> dict[str, Any]:
    name = f"unknown {track.stranger}" if track.subject_id is None else names.get(track.subject_id, "unknown")
    return {"subject_id": track.subject_id, "name": name, "similarity": track.similarity}
