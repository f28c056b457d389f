"""Teach the small age and gender network the labels that a larger one gave to LFW's photographs.

Labels are averaged over the photographs of a person, who was photographed within a few years. Women and the ages at
both ends, of which there are few, come up more often; people with many photographs come up less often for each.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from common.types import Float32s, Uint8s
from training.attributes import DEVIATION, MEAN, AgeGender
from training.course import Course
from training.labels import SIDE_PX, Labels, by_person, chances, cut, judge, read_labels
from training.lfw import Photographs, load_photographs
from training.mosaic import weather

BATCH: Final = 96
LEARNING_RATE: Final = 2e-3
WEIGHT_DECAY: Final = 0.05
AVERAGED_STEPS: Final = 300
REPORT_S: Final = 60

BLENDED_SHARE: Final = 0.3

#: Ages differ by a little without meaning it: in hundreds of years, where the loss becomes linear.
AGE_SOFT: Final = 0.05
AGE_WEIGHT: Final = 5.0


def batches(
    photographs: Photographs, labels: Labels, rng: np.random.Generator
) -> Iterator[tuple[Uint8s, Float32s, Float32s]]:
    """Crops (n, 96, 96, 3), ages in hundreds of years (n,), probabilities of a man (n,)."""
    rows = np.flatnonzero(~photographs.is_held_out)
    taught = by_person(labels, photographs.people)
    chance = chances(Labels(labels.age[rows], labels.p_male[rows]), photographs.people[rows])
    while True:
        chosen = rng.choice(rows, BATCH, p=chance)
        crops = np.stack([_disturbed(photographs.images[row], photographs.main_boxes[row], rng) for row in chosen])
        age, p_male = taught.age[chosen] / 100, taught.p_male[chosen]
        # Neighbours in the batch are strangers: some are blended, and their labels with them.
        other = np.roll(np.arange(BATCH), 1)
        share = np.where(rng.random(BATCH) < BLENDED_SHARE, rng.uniform(0.5, 1, BATCH), 1).astype(np.float32)
        blend = share[:, None, None, None]
        crops = (crops * blend + crops[other] * (1 - blend)).astype(np.uint8)
        yield crops, age * share + age[other] * (1 - share), p_male * share + p_male[other] * (1 - share)


def _disturbed(image: Uint8s, box: Float32s, rng: np.random.Generator) -> Uint8s:
    """As another detector, camera or codec would have given it."""
    size = box[2:] - box[:2]
    box = box + (rng.normal(0, 0.04, 4).clip(-0.08, 0.08) * np.tile(size, 2)).astype(np.float32)
    crop = cut(np.asarray(image), box, angle=float(rng.normal(0, 5)), is_mirrored=rng.random() < 0.5)
    if rng.random() < 0.25:
        side = int(rng.uniform(24, 72))
        small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.15:
        x, y = rng.integers(0, SIDE_PX - 20, 2)
        width, height = rng.integers(10, 40, 2)
        crop[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return weather(crop, rng, strength=1)


def to_planes(crops: Uint8s) -> Tensor:
    """(n, 96, 96, 3) uint8 to (n, 3, 96, 96) float32, 0 to 255."""
    planes = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float()
    return planes.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def answers(network: AgeGender, crops: Uint8s) -> Float32s:
    """(n, 3): see `AgeGender`."""
    network.eval()
    parts = [network(to_planes(crops[start : start + 128])).numpy() for start in range(0, len(crops), 128)]
    return np.concatenate(parts)


def held_out(photographs: Photographs, labels: Labels) -> tuple[Uint8s, Labels]:
    """Crops and labels of the people set aside."""
    rows = np.flatnonzero(photographs.is_held_out)
    crops = np.stack([cut(np.asarray(photographs.images[row]), photographs.main_boxes[row]) for row in rows])
    return crops, Labels(labels.age[rows], labels.p_male[rows])


def train(course: Course, photographs: Photographs, labels: Labels, minutes: float) -> None:
    """Train until the minutes are over, those before the checkpoint included."""
    rng = np.random.default_rng()
    crops_held_out, labels_held_out = held_out(photographs, labels)
    network, averaged = course.network, course.averaged
    assert isinstance(network, AgeGender) and isinstance(averaged, AgeGender)
    learn = torch.compile(network.learn, dynamic=False)
    print("parameters", sum(value.numel() for value in network.parameters()), "from step", course.step, flush=True)
    started = time.monotonic() - course.elapsed_s
    reported = time.monotonic()
    mean = np.zeros(2)
    for crops, age, p_male in batches(photographs, labels, rng):
        course.elapsed_s = time.monotonic() - started
        progress = course.elapsed_s / (minutes * 60)
        if progress >= 1:
            break
        with torch.autocast("cpu", torch.bfloat16):
            given = learn((to_planes(crops) - MEAN) / DEVIATION).float()
        wanted = torch.from_numpy(np.stack([1 - p_male, p_male], axis=1).astype(np.float32))
        gender_loss = functional.cross_entropy(given[:, :2], wanted)
        age_loss = functional.smooth_l1_loss(given[:, 2], torch.from_numpy(age.astype(np.float32)), beta=AGE_SOFT)
        course.learn(gender_loss + AGE_WEIGHT * age_loss, progress)
        now = np.array([gender_loss.item(), age_loss.item()])
        mean = 0.98 * mean + 0.02 * now if course.step > 1 else now
        if time.monotonic() - reported > REPORT_S:
            reported = time.monotonic()
            figures = json.dumps(judge(answers(averaged, crops_held_out), labels_held_out))
            print(f"{progress:.3f} step {course.step} losses {mean.round(4)} {figures}", flush=True)
            course.save()
    course.save()
    print("final", json.dumps(judge(answers(averaged, crops_held_out), labels_held_out)), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with lfw-train.tar, -pairs.csv and -attributes.csv"
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with the weights of the pack `reference`")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches and checkpoints")
    parser.add_argument("--minutes", type=float, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    photographs = load_photographs(arguments.data, arguments.work / "lfw", arguments.models)
    labels = read_labels(arguments.data / "lfw-train-attributes.csv", photographs.names)
    networks = (AgeGender().to(memory_format=torch.channels_last) for _ in range(2))
    course = Course(
        *networks,
        arguments.work / "attributes.pt",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        averaged_steps=AVERAGED_STEPS,
    )
    course.resume()
    train(course, photographs, labels, arguments.minutes)


if __name__ == "__main__":
    main()
