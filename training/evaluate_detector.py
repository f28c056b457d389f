"""How well a detector sees what the reference detector sees, on people nobody learnt from.

The truth is the reference at the same input size: its faces of 0.7 and more are to be found, and what is found is right
if the reference sees a face there with 0.4 and more. Everything runs through the engine that the pipeline runs.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from common.inference.ort import load_session
from common.packs import find_pack
from common.types import Float32s, Uint8s
from training.lfw import Photographs, load_photographs
from training.mosaic import Mosaics
from training.targets import SURE_SCORE
from training.truth import Faces, Reference
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.nms import overlaps
from workers.detect.pictures import RgbPictures

#: What is found is right if the reference sees a face there with this score.
CONFIRMED_SCORE: Final = 0.4
MATCHED_OVERLAP: Final = 0.5
LOWEST_SCORE: Final = 0.3
SCORES: Final = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
MOSAIC_SEED: Final = 11

#: The sides by which recall is broken down, pixels of the input.
SIDES_PX: Final = (0, 16, 24, 48, 96, 192, 10_000)


@dataclass(frozen=True)
class View:
    """One picture as seen by the reference at the same size (`truth`), at several (`agreed`), and by a detector."""

    truth: Faces
    agreed: Faces
    found: Faces


def sides(boxes: Float32s) -> Float32s:
    """(n,) side of the square of the same area."""
    side: Float32s = np.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
    return side


def best_matches(boxes: Float32s, others: Float32s) -> tuple[Float32s, np.ndarray]:
    """For each box the overlap with the best of the others, and which that is; 0 and 0 where there is none."""
    if not len(others):
        return np.zeros(len(boxes), np.float32), np.zeros(len(boxes), int)
    ratio = np.array([overlaps(box, others) for box in boxes]).reshape(len(boxes), len(others))
    return ratio.max(axis=1), ratio.argmax(axis=1)


def landmark_errors(found: Float32s, wanted: Float32s) -> Float32s:
    """(n,) mean distance of (n, 5, 2) points in distances between the eyes."""
    eyes = np.linalg.norm(wanted[:, 0] - wanted[:, 1], axis=1)
    errors: Float32s = np.linalg.norm(found - wanted, axis=2).mean(axis=1) / np.maximum(eyes, 1e-3)
    return errors


def judge(views: Sequence[View], min_det_score: float) -> dict[str, float]:
    """Figures at one score: recall, recall of largest faces and by side, precision, overlap, landmark errors."""
    hits, overlap, face_sides, largest, confirmed = [], [], [], [], []
    same_size_errors, agreed_errors = [], []
    for view in views:
        keep = view.found.scores >= min_det_score
        boxes, landmarks = view.found.boxes[keep], view.found.landmarks[keep]
        sure = np.flatnonzero(view.truth.scores >= SURE_SCORE)
        ratio, match = best_matches(view.truth.boxes[sure], boxes)
        is_hit = ratio >= MATCHED_OVERLAP
        hits.extend(is_hit)
        face_sides.extend(sides(view.truth.boxes[sure]))
        overlap.extend(ratio[is_hit])
        if is_hit.any():
            same_size_errors.extend(landmark_errors(landmarks[match[is_hit]], view.truth.landmarks[sure[is_hit]]))
            agreed_errors.extend(landmark_errors(landmarks[match[is_hit]], view.agreed.landmarks[sure[is_hit]]))
        if len(sure):
            largest.append(is_hit[sides(view.truth.boxes[sure]).argmax()])
        seen = view.truth.boxes[view.truth.scores >= CONFIRMED_SCORE]
        confirmed.extend(best_matches(boxes, seen)[0] >= MATCHED_OVERLAP)
    by_side = {}
    all_sides, all_hits = np.array(face_sides), np.array(hits)
    for low, high in pairwise(SIDES_PX):
        within = (all_sides >= low) & (all_sides < high)
        if within.sum() >= 10:
            by_side[f"recall_{low}_to_{high}_px"] = float(all_hits[within].mean())
    return {
        "faces": float(len(hits)),
        "recall": float(np.mean(hits)),
        "precision": float(np.mean(confirmed)) if confirmed else 1.0,
        "largest_face_recall": float(np.mean(largest)),
        "overlap": float(np.mean(overlap)),
        "landmark_error": float(np.mean(same_size_errors)),
        "landmark_error_p95": float(np.percentile(same_size_errors, 95)),
        "landmark_error_agreed": float(np.mean(agreed_errors)),
        **by_side,
    }


def see(pictures: Iterable[Uint8s], detectors: dict[str, Detector], reference: Reference) -> dict[str, list[View]]:
    """Show the same pictures to every detector."""
    views: dict[str, list[View]] = {name: [] for name in detectors}
    for picture in pictures:
        truth, agreed = reference.look(picture), reference.agree(picture)
        # `agree` lists the faces of `look` first, in their order.
        for name, detector in detectors.items():
            given = detector.detect(RgbPictures(picture[None]), batch_size=1, check=lambda: None)
            views[name].append(View(truth, agreed, Faces(given.boxes, given.landmarks, given.det_scores)))
    return views


def time_ms(detector: Detector, side_px: int, runs: int = 20) -> float:
    """Median CPU time of one square frame on one thread, decoding included."""
    picture = np.random.default_rng(0).integers(0, 256, (1, side_px, side_px, 3)).astype(np.uint8)
    took = []
    for _ in range(runs):
        before = time.thread_time()
        detector.detect(RgbPictures(picture), batch_size=1, check=lambda: None)
        took.append((time.thread_time() - before) * 1000)
    return float(np.median(took))


def enlarged(photographs: Photographs, rows: np.ndarray, side_px: int) -> Iterable[Uint8s]:
    """Photographs as the pipeline shows them to the detector."""
    for row in rows:
        image = np.asarray(photographs.images[row])
        yield np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_LINEAR), np.uint8)


def crowds(photographs: Photographs, rows: np.ndarray, count: int, side_px: int) -> Iterable[Uint8s]:
    """Pictures of many faces, always the same."""
    mosaics = Mosaics(photographs, rows, np.random.default_rng(MOSAIC_SEED))
    for _ in range(count):
        yield mosaics.grid(side_px)


def frames(path: Path, side_px: int, every: int = 25) -> Iterable[Uint8s]:
    """Frames of a video, in a square, black at the right and at the bottom."""
    video = cv2.VideoCapture(str(path))
    index = 0
    while video.grab():
        if index % every == 0:
            _, frame = video.retrieve()
            scale = side_px / max(frame.shape[:2])
            reduced = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            square = np.zeros((side_px, side_px, 3), np.uint8)
            square[: reduced.shape[0], : reduced.shape[1]] = cv2.cvtColor(reduced, cv2.COLOR_BGR2RGB)
            yield square
        index += 1
    video.release()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detectors", nargs="+", type=Path, help="exported detectors, compared in one run")
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw-train.tar and lfw-train-pairs.csv")
    parser.add_argument("--models", type=Path, required=True, help="folder with the weights of the pack `reference`")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches")
    parser.add_argument("--photographs", type=int, default=1060, help="how many of the people set aside are shown")
    parser.add_argument("--crowds", type=int, default=60, help="how many pictures of many faces are shown")
    parser.add_argument("--video", type=Path, help="a video to compare on too")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    photographs = load_photographs(arguments.data, arguments.work / "lfw", arguments.models)
    held_out = np.flatnonzero(photographs.is_held_out)
    rows = held_out[:: max(1, len(held_out) // arguments.photographs)]
    reference = Reference(arguments.models, (640, 320, 256))
    spec = find_pack("mini", [Path(__file__).parent.parent / "models"]).detector
    spec = spec.model_copy(update={"min_det_score": LOWEST_SCORE})
    sessions = {str(path): load_session(path) for path in arguments.detectors}
    shown: dict[str, tuple[int, Callable[[], Iterable[Uint8s]]]] = {
        "photographs 640": (640, lambda: enlarged(photographs, rows, 640)),
        "photographs 320": (320, lambda: enlarged(photographs, rows, 320)),
        "photographs 256": (256, lambda: enlarged(photographs, rows, 256)),
        "crowds 640": (640, lambda: crowds(photographs, held_out, arguments.crowds, 640)),
    }
    if arguments.video:
        shown["video 640"] = (640, lambda: frames(arguments.video, 640))
    figures: dict[str, dict[str, object]] = {name: {} for name in sessions}
    for title, (side, pictures) in shown.items():
        detectors = {name: Detector(session, spec, size=InputSize.square(side)) for name, session in sessions.items()}
        for name, views in see(pictures(), detectors, reference).items():
            curve = {str(score): judge(views, score) for score in SCORES}
            figures[name][title] = {"pictures": len(views), "cpu_ms": time_ms(detectors[name], side), **curve}
            for score in (0.5, 0.6):
                line = {key: round(value, 4) for key, value in curve[str(score)].items()}
                print(f"{title}, score {score}, {name}: {json.dumps(line)}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
