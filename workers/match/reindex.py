"""The bulk job `reindex`: a shadow index of another model, a report of what it changes, and the switch.

The chunks run in the embed pool (`workers.embed.reembed`). Options: `from_model` (the live model when it was asked
for), `dry_run` (report only), `switch` ("auto", or "manual": build and report), `allow_missing` (switch although crops
are gone), `min_similarity` (the gallery's own bound after the switch; none: calibrated), `is_rollback`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from common.errors import ConflictError, FacepipeError
from common.models import Models
from common.stage.bulk import BulkKind, Check, Conclusion, MoreChunks
from common.store.bulk import Bulk, BulkJob, Chunk, Effect, Work
from common.store.database import Cursor, Database
from common.store.index_rows import IndexRows, read_index
from common.store.paging import Row
from common.store.reindex import Reindex, TrackPair, drop_shadow, lock_gallery
from common.types import Int64s
from workers.match.differences import UNKNOWN, Embeddings, References, answer, choose_probes

#: A chunk is about a second of work for one thread.
CHUNK_SAMPLES: Final = 64
CHUNK_TRACKS: Final = 24
#: Samples that are compared with the rest of a gallery at most, and comparisons: a few minutes of work. Of larger
#: galleries so many, spread evenly.
MOST_PROBES: Final = 20_000
MOST_COMPARISONS: Final = 2_000_000_000
REPORT_EXAMPLES: Final = 200

_Decision = tuple[str | None, float | None]


class ReindexKind(BulkKind):
    """See the module.

    Args:
        min_margin: lead of the best subject over the next one, as searches and jobs want it by default.
    """

    def __init__(self, database: Database, models: Models, *, min_margin: float) -> None:
        self._database = database
        self._bulk = Bulk(database)
        self._reindex = Reindex(database)
        self._models = models
        self._min_margin = min_margin

    def survey(self, job: BulkJob, check: Check) -> Sequence[Chunk]:
        """See the protocol."""
        self._reindex.gallery(job.gallery_id)
        self._models.pack(job.model_id)
        check()
        return self._missing(job, _Done())

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:  # noqa: ARG002 - the protocol's
        """Never called: the embed pool does it."""
        raise FacepipeError("Chunks of a re-index belong to the embed pool.")

    def conclude(self, job: BulkJob, check: Check) -> Conclusion | MoreChunks:
        """See the protocol."""
        gallery = self._reindex.gallery(job.gallery_id)
        done = _Done()
        for chunk in self._bulk.chunks(job.job_id):
            done.add(chunk.result)
        if not done.failed and not done.is_switched and (chunks := self._missing(job, done)):
            return MoreChunks(chunks)
        report = dict(job.report or {})
        if not report.pop("is_draft", False):
            report = self._compare(job, gallery, check)
        report["samples"] |= {"embedded": done.samples, "missing_crops": sorted(done.missing_samples)}
        report["tracks"] |= {
            "embedded": done.tracks,
            "missing_crops": [list(one) for one in sorted(done.missing_tracks)],
        }
        report["is_switched"] = done.is_switched
        if done.is_switched:
            return Conclusion(report)
        if job.options.get("dry_run"):
            return Conclusion(report, write=_drop(job))
        if done.missing_samples and not job.options.get("allow_missing"):
            message = (
                f"The crops of {len(done.missing_samples)} samples are gone or damaged, so they would be lost: the"
                " index was built but is not in use. Enrol these again, erase them, or re-index with allow_missing."
            )
            return Conclusion(report, {"code": "conflict", "message": message})
        is_live = gallery["model_id"] == job.model_id
        if done.failed or is_live or job.options.get("switch") == "manual":
            return Conclusion(report)
        work = {
            "switch": True,
            "missing_samples": sorted(done.missing_samples),
            "min_similarity": self._new_bound(job, gallery),
        }
        return MoreChunks([Chunk(0, work)], {**report, "is_draft": True})

    def _missing(self, job: BulkJob, done: "_Done") -> list[Chunk]:
        """What has no embedding yet, but for crops that cannot be read."""
        gallery_id = str(job.gallery_id)
        samples = [
            one for one in self._reindex.missing_samples(gallery_id, job.model_id) if one not in done.missing_samples
        ]
        tracks = [
            one for one in self._reindex.missing_tracks(gallery_id, job.model_id) if one not in done.missing_tracks
        ]
        return [
            *(Chunk(len(part), {"samples": part}) for part in _parts(samples, CHUNK_SAMPLES)),
            *(Chunk(len(part), {"tracks": [list(one) for one in part]}) for part in _parts(tracks, CHUNK_TRACKS)),
        ]

    def _new_bound(self, job: BulkJob, gallery: Row) -> float | None:
        """The gallery's own min_similarity after the switch."""
        if job.options.get("min_similarity") is not None:
            return float(job.options["min_similarity"])
        if job.options.get("is_rollback") and gallery["previous_model_id"] == job.model_id:
            bound: float | None = gallery["previous_min_similarity"]
            return bound
        if gallery["model_id"] == job.model_id:
            return None if gallery["min_similarity"] is None else float(gallery["min_similarity"])
        return None

    def _compare(self, job: BulkJob, gallery: Row, check: Check) -> dict[str, Any]:
        """What the new index changes, at both models' bounds."""
        old_model, new_model = job.options["from_model"], job.model_id
        bounds = (
            self._bound(old_model, gallery["min_similarity"]),
            self._bound(new_model, self._new_bound(job, gallery)),
        )
        report: dict[str, Any] = {
            "from_model": old_model,
            "to_model": new_model,
            "min_similarity": {"before": bounds[0], "after": bounds[1]},
            "min_margin": self._min_margin,
            "samples": {},
            "tracks": {},
        }
        if job.options.get("is_rollback") or old_model == new_model or bounds[0] is None or bounds[1] is None:
            return report  # this index was or is in use, or the pack of the former model is gone
        gallery_id = str(gallery["id"])
        old, new = (read_index(self._database, gallery_id, model_id) for model_id in (old_model, new_model))
        subjects = sorted({*old.subject_ids, *new.subject_ids})
        sides = (
            _Side(old, subjects, bounds[0], self._min_margin, check),
            _Side(new, subjects, bounds[1], self._min_margin, check),
        )
        report["samples"] = _compare_samples(sides)
        report["tracks"] = _compare_tracks(sides, self._reindex.track_pairs(gallery_id, old_model, new_model))
        return report

    def _bound(self, model_id: str, own: float | None) -> float | None:
        """The gallery's own, else the model's; None: no installed pack has the model."""
        if own is not None:
            return float(own)
        try:
            return self._models.min_similarity(model_id)
        except ConflictError:
            return None


class _Side:
    """One of the two indexes: answers probes in subject ids.

    Args:
        subjects: of both indexes, sorted.
        bound: min_similarity.
    """

    def __init__(self, rows: IndexRows, subjects: list[str], bound: float, min_margin: float, check: Check) -> None:
        self.rows = rows
        number = {subject_id: i for i, subject_id in enumerate(subjects)}
        shared = np.array([number[subject_id] for subject_id in rows.subject_ids], np.int32)
        numbers, subject = np.unique(shared, return_inverse=True)
        self._subjects = [subjects[i] for i in numbers]
        self._references = References(rows.embeddings, subject.astype(np.int32))
        self._bound = bound
        self._min_margin = min_margin
        self._check = check

    def decide(self, probes: Embeddings, own_rows: Int64s | None = None) -> list[_Decision]:
        """(subject or None, similarity or None) for each probe; see `answer`."""
        found = answer(
            self._references,
            probes,
            min_similarity=self._bound,
            min_margin=self._min_margin,
            own_rows=own_rows,
            check=self._check,
        )
        return [
            (
                None if subject == UNKNOWN else self._subjects[subject],
                round(similarity, 6) if math.isfinite(similarity) else None,
            )
            for subject, similarity in zip(found.subject.tolist(), found.similarity.tolist(), strict=True)
        ]


class _Differences:
    """Counts answers of both sides, and keeps the first that differ."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: list[dict[str, Any]] = []
        self._changed = 0

    def add(self, kinds: tuple[str, str], before: _Decision, after: _Decision, **place: Any) -> None:
        """One probe.

        Args:
            kinds: what the two answers are, in a word each.
            place: what names the probe in the report.
        """
        self._counts[kinds] += 1
        if before[0] == after[0]:
            return
        self._changed += 1
        if len(self._examples) < REPORT_EXAMPLES:
            sides = {
                side: {"subject_id": subject_id, "similarity": similarity}
                for side, (subject_id, similarity) in (("before", before), ("after", after))
            }
            self._examples.append({**place, **sides})

    def summary(self) -> dict[str, Any]:
        """The section of the report."""
        return {
            "compared": self._counts.total(),
            "changed": self._changed,
            "answers": [
                {"before": before, "after": after, "count": count}
                for (before, after), count in sorted(self._counts.items())
            ],
            "examples": self._examples,
            "examples_left_out": self._changed - len(self._examples),
        }


def _compare_samples(sides: tuple[_Side, _Side]) -> dict[str, Any]:
    """Samples against all others of the gallery."""
    old, new = (side.rows for side in sides)
    row_of = {sample_id: row for row, sample_id in enumerate(new.sample_ids)}
    both = [row for row, sample_id in enumerate(old.sample_ids) if sample_id in row_of]
    most = min(MOST_PROBES, MOST_COMPARISONS // max(1, len(both)))
    chosen = [both[i] for i in choose_probes(len(both), most)]
    own = (chosen, [row_of[old.sample_ids[row]] for row in chosen])
    decisions = [
        side.decide(side.rows.embeddings[mine], np.array(mine, np.int64)) if mine else []
        for side, mine in zip(sides, own, strict=True)
    ]
    differences = _Differences()
    for row, before, after in zip(chosen, *decisions, strict=True):
        owner = old.subject_ids[row]
        kinds = (_kind_for(before[0], owner), _kind_for(after[0], owner))
        differences.add(kinds, before, after, sample_id=old.sample_ids[row], subject_id=owner)
    return {"total": len(both), **differences.summary()}


def _compare_tracks(sides: tuple[_Side, _Side], pages: Iterable[list[TrackPair]]) -> dict[str, Any]:
    """Tracks of the gallery's jobs against the gallery."""
    differences = _Differences()
    for page in pages:
        befores = sides[0].decide(np.stack([track.before for track in page]))
        afters = sides[1].decide(np.stack([track.after for track in page]))
        for track, before, after in zip(page, befores, afters, strict=True):
            kinds = ("unknown" if before[0] is None else "known", _kind_for(after[0], before[0], same="known"))
            differences.add(
                kinds,
                before,
                after,
                job_id=track.job_id,
                track_id=track.track,
                start_ms=track.start_ms,
                end_ms=track.end_ms,
            )
    return differences.summary()


def _kind_for(subject_id: str | None, owner: str | None, *, same: str = "own") -> str:
    """`unknown`, the word for `owner` or, with nobody to compare with, for anybody; else `other`."""
    if subject_id is None:
        return "unknown"
    return same if owner in (None, subject_id) else "other"


class _Done:
    """What the chunks of a job have given so far."""

    def __init__(self) -> None:
        self.samples = 0
        self.tracks = 0
        self.missing_samples: set[str] = set()
        self.missing_tracks: set[tuple[str, int]] = set()
        self.failed = 0
        self.is_switched = False

    def add(self, result: Work | None) -> None:
        """One chunk's result; None for one that failed."""
        if result is None:
            self.failed += 1
            return
        self.samples += result.get("samples", 0)
        self.tracks += result.get("tracks", 0)
        self.missing_samples.update(result.get("missing_samples", ()))
        self.missing_tracks.update((job_id, track) for job_id, track in result.get("missing_tracks", ()))
        self.is_switched = self.is_switched or result.get("switched", False)


def _parts(items: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def _drop(job: BulkJob) -> Any:
    def write(cursor: Cursor) -> None:
        drop_shadow(cursor, lock_gallery(cursor, job.gallery_id), job.model_id)

    return write
