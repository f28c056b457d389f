"""Teach the small detector what the reference detector sees in pictures put together from photographs.

Training goes on from the last checkpoint in the folder, if there is one, and begins otherwise with the weights of an
older detector.
"""

import argparse
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from common.types import Uint8s
from training.course import Course
from training.detector import SmallDetector, take_over
from training.lfw import Photographs, load_photographs
from training.mosaic import Mosaics, mirror, turn_quarters, weather
from training.targets import Targets, assign, places_of
from training.truth import Faces, Reference

#: Sides of the pictures and how many make a batch: as many pixels in each, so a step costs the same.
BATCHES: Final = {320: 16, 640: 4}
LARGE_SHARE: Final = 0.6
LEARNING_RATE: Final = 8e-4
WEIGHT_DECAY: Final = 0.01
AVERAGED_STEPS: Final = 500
BOX_WEIGHT: Final = 2.0
LANDMARK_WEIGHT: Final = 14.0

#: Landmark errors, in sides of the face, below which small ones matter less than large ones.
LANDMARK_SOFT: Final = 0.015

#: A batch counts as having so many positive places at least, or one without faces would weigh too much.
MIN_POSITIVES: Final = 48

#: Making and labelling a picture takes a third of the time: how many of the last ones are kept, and how often one of
#: them is shown again.
KEPT_PICTURES: Final = 240
AGAIN_SHARE: Final = 0.5
REPORT_S: Final = 60
CALIBRATION_PICTURES: Final = 32


@dataclass(frozen=True)
class Batch:
    """Pictures (n, side, side, 3) uint8 RGB, and what each asks of the network."""

    pictures: Uint8s
    targets: list[Targets]


class Examples:
    """Endless batches, with the teacher's faces."""

    def __init__(self, photographs: Photographs, models: Path, rng: np.random.Generator) -> None:
        self._mosaics = Mosaics(photographs, np.flatnonzero(~photographs.is_held_out), rng)
        self._rng = rng
        self._teacher = Reference(models, tuple(BATCHES))
        self._stores: dict[int, deque[tuple[Uint8s, Faces]]] = {side: deque(maxlen=KEPT_PICTURES) for side in BATCHES}

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.make(max(BATCHES) if self._rng.random() < LARGE_SHARE else min(BATCHES))

    def make(self, side_px: int) -> Batch:
        """One batch of pictures of one side."""
        pictures, targets = zip(*(self._example(side_px) for _ in range(BATCHES[side_px])), strict=True)
        return Batch(np.stack(pictures), list(targets))

    def _example(self, side_px: int) -> tuple[Uint8s, Targets]:
        picture, found = self._labelled(side_px)
        boxes, landmarks = found.boxes, found.landmarks
        if self._rng.random() < 0.5:
            picture, boxes, landmarks = mirror(picture, boxes, landmarks)
        if self._rng.random() < 0.03:
            quarters = int(self._rng.choice([1, 3]))
            picture, boxes, landmarks = turn_quarters(picture, boxes, landmarks, quarters)
        chance = self._rng.random()
        if chance < 0.7:
            picture = weather(picture, self._rng, strength=1 if chance < 0.5 else 1.7)
        return picture, assign(boxes, landmarks, found.scores, side_px=side_px)

    def _labelled(self, side_px: int) -> tuple[Uint8s, Faces]:
        """A new picture, or one of the last, which then is mirrored, lit and blurred differently."""
        store = self._stores[side_px]
        if len(store) == KEPT_PICTURES and self._rng.random() < AGAIN_SHARE:
            return store[self._rng.integers(KEPT_PICTURES)]
        picture = self._mosaics.make(side_px)
        store.append((picture, self._teacher.agree(picture)))
        return store[-1]


def to_input(pictures: Uint8s) -> Tensor:
    """(n, side, side, 3) uint8 to (n, 3, side, side) as the network takes it."""
    planes = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()
    return ((planes - 127.5) / 128).contiguous(memory_format=torch.channels_last)


def overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union of (n, 4) boxes pair by pair, and its generalised form (Rezatofighi et al., 2019)."""
    corner, far = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    shared = (far - corner).clamp(min=0).prod(1)
    union = sum((box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (first, second)) - shared + 1e-6
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    around = hull.prod(1) + 1e-6
    ratio = shared / union
    return ratio, ratio - (around - union) / around


def losses(
    outputs: tuple[Tensor, Tensor, Tensor], targets: list[Targets], side_px: int
) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Score, box and landmark loss for each positive place, and figures for the report.

    A positive place's score is to be the overlap of the box it gives (quality focal loss, Li et al., 2020).
    """
    scores, distances, offsets = outputs
    places = places_of(side_px)
    picture = torch.from_numpy(np.repeat(np.arange(len(targets)), [len(target.places) for target in targets]))
    index = torch.from_numpy(np.concatenate([target.places for target in targets]))
    boxes = torch.from_numpy(np.concatenate([target.boxes for target in targets]))
    landmarks = torch.from_numpy(np.concatenate([target.landmarks for target in targets]))
    counts = torch.from_numpy(np.stack([target.counts for target in targets]))
    middle = torch.stack([torch.from_numpy(places.x)[index], torch.from_numpy(places.y)[index]], 1)
    stride = torch.from_numpy(places.stride_px)[index, None]
    positives = max(len(index), MIN_POSITIVES)

    reach = distances[picture, index] * stride
    ratio, generalised = overlap(torch.cat([middle - reach[:, :2], middle + reach[:, 2:]], 1), boxes)
    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()[:, None]
    points = offsets[picture, index] * stride + middle.repeat(1, 5)
    wanted = torch.zeros_like(scores)
    wanted[picture, index] = ratio.detach().clamp(0, 1)
    surprise = (wanted - torch.sigmoid(scores)).abs().square()
    score_loss = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none") * surprise * counts
    error = functional.smooth_l1_loss(points / side, landmarks / side, beta=LANDMARK_SOFT, reduction="none").mean(1)
    figures = {
        "overlap": float(ratio.mean()) if len(index) else 1.0,
        "landmark_error": float(((points - landmarks) / side).detach().view(-1, 5, 2).norm(dim=2).mean())
        if len(index)
        else 0.0,
        "positives": float(len(index)),
    }
    return score_loss.sum() / positives, (1 - generalised).sum() / positives, error.sum() / positives, figures


def train(course: Course, examples: Examples, minutes: float) -> None:
    """Train until the minutes are over, those before the checkpoint included."""
    network = course.network
    assert isinstance(network, SmallDetector)
    learn = torch.compile(network.learn, dynamic=False)
    print("parameters", sum(value.numel() for value in network.parameters()), "from step", course.step, flush=True)
    started = time.monotonic() - course.elapsed_s
    reported = time.monotonic()
    mean: dict[str, float] = {}
    for batch in examples:
        course.elapsed_s = time.monotonic() - started
        progress = course.elapsed_s / (minutes * 60)
        if progress >= 1:
            break
        with torch.autocast("cpu", torch.bfloat16):
            outputs = learn(to_input(batch.pictures))
        score, box, landmark, figures = losses(outputs, batch.targets, batch.pictures.shape[1])
        course.learn(score + BOX_WEIGHT * box + LANDMARK_WEIGHT * landmark, progress)
        figures |= {"score": score.item(), "box": box.item(), "landmark": landmark.item()}
        for name, value in figures.items():
            mean[name] = 0.98 * mean.get(name, value) + 0.02 * value
        if time.monotonic() - reported > REPORT_S:
            reported = time.monotonic()
            report = " ".join(f"{name} {value:.4f}" for name, value in mean.items())
            print(f"{progress:.3f} step {course.step} {report} cpu {time.process_time():.0f} s", flush=True)
            course.save()
    course.save()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw-train.tar and lfw-train-pairs.csv")
    parser.add_argument("--models", type=Path, required=True, help="folder with the weights of the pack `reference`")
    parser.add_argument("--older", type=Path, required=True, help="exported detector whose weights to begin with")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches and checkpoints")
    parser.add_argument("--minutes", type=float, default=65)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    photographs = load_photographs(arguments.data, arguments.work / "lfw", arguments.models)
    examples = Examples(photographs, arguments.models, np.random.default_rng())
    network, averaged = (SmallDetector().to(memory_format=torch.channels_last) for _ in range(2))
    course = Course(
        network,
        averaged,
        arguments.work / "detector.pt",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        averaged_steps=AVERAGED_STEPS,
    )
    if not course.resume():
        samples = [examples.make(320).pictures for _ in range(CALIBRATION_PICTURES // BATCHES[320])]
        take_over(network, arguments.older, to_input(np.concatenate(samples)))
        averaged.load_state_dict(network.state_dict())
    train(course, examples, arguments.minutes)


if __name__ == "__main__":
    main()
