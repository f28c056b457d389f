"""The bulk job `calibrate`: what a gallery's own samples say about its `min_similarity`, and which of them look wrong.

Options: `fmr` (wished false match rate of one comparison) or `fpir` (of a whole search), `extrapolate` (beyond what the
pairs carry, by a tail model), `save` (the answer becomes the gallery's `min_similarity`).

One chunk measures rates, the others look for each sample's neighbours. Every chunk reads the gallery anew, so samples
that are enrolled meanwhile may be in some and not in others.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from common.index.rows import Rows
from common.ports import BlobStore
from common.stage.bulk import BulkKind, Check, Conclusion
from common.store.bulk import Bulk, BulkJob, Chunk, Effect, Work
from common.store.calibration import Calibration, save_min_similarity
from common.types import Float32s, Int32s
from workers.match.curve import draw_curve
from workers.match.rates import Rates, bin_of, count_bins, measure_rates
from workers.match.recommend import Bound, gallery_rate, pair_rate, recommend, smallest_rate
from workers.match.suspects import find_nearest, look_alikes, mean_similarity, misplaced

SEED: Final = 1
#: Samples whose neighbours one chunk looks for, at least; and chunks at most, because each reads the whole gallery.
CHUNK_SAMPLES: Final = 4096
MAX_CHUNKS: Final = 16
#: Pairs of subjects and samples that one chunk names, and that the report lists.
CHUNK_SUSPECTS: Final = 200
REPORT_SUSPECTS: Final = 50
#: Rates of the table, and the grid of the picture.
TABLE: Final = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
GRID: Final = tuple(round(-0.2 + 0.01 * step, 2) for step in range(121))

ModelBound = Callable[[str], float]
"""Model id to the bound that holds where a gallery says nothing."""


class CalibrateKind(BulkKind):
    """See the module.

    Args:
        blobs: keeps the picture of the curve, with the job.
        min_similarity: see `ModelBound`.
    """

    def __init__(self, calibration: Calibration, bulk: Bulk, blobs: BlobStore, min_similarity: ModelBound) -> None:
        self._calibration = calibration
        self._bulk = bulk
        self._blobs = blobs
        self._min_similarity = min_similarity

    def survey(self, job: BulkJob, check: Check) -> Sequence[Chunk]:
        """See the protocol."""
        self._calibration.gallery(job.gallery_id)
        samples = self._calibration.size(job.gallery_id, job.model_id)
        check()
        step = max(CHUNK_SAMPLES, -(-samples // MAX_CHUNKS))
        starts = range(0, samples, step)
        neighbours = [Chunk(min(step, samples - at), {"start": at, "stop": at + step}) for at in starts]
        return [Chunk(max(1, min(samples, CHUNK_SAMPLES)), {"rates": True}), *neighbours]

    def chunk(self, job: BulkJob, work: Work, check: Check) -> Effect:
        """See the protocol."""
        rows = self._calibration.read(job.gallery_id, job.model_id, check)
        result = _rates(rows, job.options, check) if work.get("rates") else _neighbours(rows, work, check)
        return lambda _: result

    def conclude(self, job: BulkJob, check: Check) -> Conclusion:
        """See the protocol."""
        gallery = self._calibration.gallery(job.gallery_id)
        rates: Work = {}
        neighbours: list[Work] = []
        for chunk in self._bulk.chunks(job.job_id):
            check()
            if chunk.result is not None and "curve" in chunk.result:
                rates = chunk.result
            elif chunk.result is not None:
                neighbours.append(chunk.result)
        present = gallery["min_similarity"]
        current = self._min_similarity(job.model_id) if present is None else float(present)
        recommended = rates.get("recommended")
        bound = current if recommended is None else float(recommended["min_similarity"])
        report: dict[str, Any] = {
            "model_id": job.model_id,
            "current_min_similarity": current,
            **{name: value for name, value in rates.items() if name not in ("grid", "alike")},
            **self._suspects(job, rates, neighbours, bound, check),
            "saved": False,
        }
        if grid := rates.get("grid"):
            self._blobs.put(f"jobs/{job.job_id}/calibration.png", draw_curve(grid, current=current, chosen=recommended))
        if not (job.options.get("save") and recommended is not None):
            return Conclusion(report)
        gallery_id = str(gallery["id"])
        return Conclusion(
            {**report, "saved": True},
            write=lambda cursor: save_min_similarity(cursor, gallery_id, job.model_id, bound),
        )

    def _suspects(
        self, job: BulkJob, rates: Work, neighbours: Sequence[Work], bound: float, check: Check
    ) -> dict[str, Any]:
        pairs: dict[tuple[str, str], float] = {}
        for first, second, similarity in [
            *rates.get("alike", ()),
            *(pair for found in neighbours for pair in found["alike"]),
        ]:
            pairs[first, second] = max(similarity, pairs.get((first, second), -1.0))
        close = sorted((item for item in pairs.items() if item[1] >= bound), key=lambda item: (-item[1], item[0]))
        odd = sorted(
            (one for found in neighbours for one in found["misplaced"] if one["other_similarity"] >= bound),
            key=lambda one: (one["own_similarity"] - one["other_similarity"], one["sample_id"]),
        )
        listed, odd_listed = close[:REPORT_SUSPECTS], odd[:REPORT_SUSPECTS]
        wanted = {subject for pair, _ in listed for subject in pair}
        wanted |= {one[name] for one in odd_listed for name in ("subject_id", "other_subject_id")}
        names = self._calibration.names(wanted)
        alike: list[dict[str, Any]] = []
        doubles: list[dict[str, Any]] = []
        for (first, second), similarity in listed:
            check()
            ours, theirs = (self._calibration.embeddings(one, job.model_id) for one in (first, second))
            if not len(ours) or not len(theirs):
                continue  # erased meanwhile
            mean = mean_similarity(ours, theirs)
            shown = {
                "subjects": [{"id": one, "name": names.get(one)} for one in (first, second)],
                "similarity": round(similarity, 4),
                "mean_similarity": round(mean, 4),
            }
            (doubles if mean >= max(bound, rates.get("usual_mated") or -1.0) else alike).append(shown)
        nearest: Counter[int] = Counter()
        for found in neighbours:
            nearest.update({int(at): count for at, count in found["nearest"].items()})
        return {
            "look_alikes": alike,
            "duplicates": doubles,
            "suspect_pairs": len(close),
            "mislabelled": [
                {**one, "name": names.get(one["subject_id"]), "other_name": names.get(one["other_subject_id"])}
                for one in odd_listed
            ],
            "mislabelled_count": len(odd),
            "searches_with_false_match": _share_above(nearest, bound),
        }


def _arrays(rows: Rows) -> tuple[Float32s, Int32s, list[str]]:
    """Embeddings, whose each is, and the ids of the subjects by their numbers."""
    owners, subjects = np.unique(rows.owners, return_inverse=True)
    return rows.embeddings.astype(np.float32), subjects.astype(np.int32), [_id(owner) for owner in owners.tolist()]


def _id(name: bytes) -> str:
    return str(uuid.UUID(bytes=name.ljust(16, b"\0")))


def _rates(rows: Rows, options: Work, check: Check) -> dict[str, Any]:
    embeddings, subjects, names = _arrays(rows)
    rates = measure_rates(embeddings, subjects, seed=SEED, check=check)
    fpir = options.get("fpir")
    wished = float(options["fmr"]) if fpir is None else pair_rate(float(fpir), len(names))
    bound = recommend(rates, wished, extrapolate=bool(options.get("extrapolate")), seed=SEED)
    tail = rates.tail
    alike: dict[tuple[str, str], float] = {}
    for first, second, similarity in zip(
        tail.first.tolist(), tail.second.tolist(), tail.similarities.tolist(), strict=True
    ):
        alike.setdefault((names[min(first, second)], names[max(first, second)]), similarity)
        if len(alike) == CHUNK_SUSPECTS:
            break
    table = [recommend(rates, fmr, extrapolate=bool(options.get("extrapolate")), seed=SEED) for fmr in TABLE]
    return {
        "subjects": len(names),
        "samples": len(embeddings),
        "compared_samples": int(rates.samples_of.sum()),
        "mated_pairs": len(rates.mated),
        "nonmated_pairs": rates.nonmated,
        "all_nonmated_pairs": rates.all_nonmated,
        "seed": SEED,
        "smallest_fmr": smallest_rate(rates),
        "usual_mated": float(np.quantile(rates.mated, 0.1)) if len(rates.mated) else None,
        "wished": {"fmr": wished} if fpir is None else {"fpir": float(fpir), "fmr": wished},
        "recommended": None if bound is None else _row(bound, rates, len(names)),
        "reason": None if bound is not None else _reason(rates, wished),
        "curve": [_row(one, rates, len(names)) for one in table if one is not None],
        "grid": [[at, rates.fmr(at), rates.fnmr(at)] for at in GRID] if rates.nonmated else [],
        "alike": [[*pair, similarity] for pair, similarity in alike.items()],
    }


def _row(bound: Bound, rates: Rates, subjects: int) -> dict[str, Any]:
    fnmr = rates.fnmr(bound.min_similarity)
    return {
        "fmr": bound.fmr,
        "fpir": gallery_rate(bound.fmr, subjects),
        "min_similarity": round(bound.min_similarity, 4),
        "low": round(bound.low, 4),
        "high": round(bound.high, 4),
        "fnmr": fnmr,
        "errors": round(bound.errors, 2),
        "basis": bound.basis,
    }


def _reason(rates: Rates, wished: float) -> str:
    smallest = smallest_rate(rates)
    people = int((rates.samples_of > 0).sum())
    if smallest is None:
        return (
            f"{people} subjects with {rates.nonmated} pairs of different people say nothing certain; enrol at least 20,"
            " or keep the model's calibrated value."
        )
    return (
        f"A false match rate of {wished:.1e} is beyond what {rates.nonmated} pairs of different people carry; the"
        f" smallest is {smallest:.1e}. Enrol more people, wish for less, or ask to extrapolate."
    )


def _neighbours(rows: Rows, work: Work, check: Check) -> dict[str, Any]:
    embeddings, subjects, names = _arrays(rows)
    start, stop = work["start"], work["stop"]
    nearest = find_nearest(embeddings, subjects, start=start, stop=stop, check=check)
    pairs = look_alikes(nearest, subjects, start=start, limit=CHUNK_SUSPECTS)
    histogram = count_bins(nearest.other[nearest.other_sample >= 0])
    return {
        "alike": [[names[first], names[second], similarity] for first, second, similarity in pairs],
        "misplaced": [
            {
                "sample_id": _id(rows.names[start + at]),
                "subject_id": names[subjects[start + at]],
                "own_similarity": round(float(nearest.own[at]), 4),
                "other_subject_id": names[subjects[nearest.other_sample[at]]],
                "other_similarity": round(float(nearest.other[at]), 4),
            }
            for at in misplaced(nearest, limit=CHUNK_SUSPECTS).tolist()
        ],
        "nearest": {str(at): int(histogram[at]) for at in np.flatnonzero(histogram).tolist()},
    }


def _share_above(nearest: Mapping[int, int], bound: float) -> float | None:
    """Share of the samples whose closest other subject reaches the bound."""
    total = sum(nearest.values())
    return sum(count for at, count in nearest.items() if at >= bin_of(bound)) / total if total else None
