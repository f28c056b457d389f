"""Teach the small embedder what the reference embedder sees in aligned crops.

The teacher looks at the clean crop, the student at the same one degraded. The student's stages learn to give what the
teacher's give; at first each of them is fed the teacher's own input, so that they learn side by side and not one after
the other; then more and more the student's own. At the end only the embedding counts.
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

from benchmarks.accuracy.verification import compare_everybody
from common.types import Float32s, Uint8s
from training.augment import degrade, mix, turn
from training.course import Course
from training.embedder import Embedder
from training.lfw import HELD_OUT_FOLD, MARGIN_PX, PAIRS_PER_FOLD, Photographs, load_photographs, read_pairs
from training.teacher import Teacher
from workers.embed.align import CROP_SIDE_PX

BATCH: Final = 32
LEARNING_RATE: Final = 1.6e-3
WEIGHT_DECAY: Final = 0.02
MIXED_SHARE: Final = 0.5
TEMPERATURE: Final = 1 / 12
RELATION_WEIGHT: Final = 0.15
STAGE_WEIGHT: Final = 0.5
GUIDED_SHARE: Final = 0.15
AVERAGED_STEPS: Final = 300
EVERY_S: Final = 240

_CENTRE: Final = slice(MARGIN_PX, MARGIN_PX + CROP_SIDE_PX)


def batches(photographs: Photographs, rng: np.random.Generator) -> Iterator[tuple[Uint8s, Uint8s]]:
    """Clean and degraded crops, (32, 112, 112, 3) each; people with many photographs come up less often for each."""
    rows = np.flatnonzero(~photographs.is_held_out)
    crops = np.array(photographs.crops)
    _, person, count = np.unique(photographs.people[rows], return_inverse=True, return_counts=True)
    weight = count[person] ** -0.35
    while True:
        ones = rng.choice(rows, BATCH, p=weight / weight.sum())
        others = rng.choice(rows, BATCH)
        clean = np.stack(
            [
                turn(mix(crops[one], crops[other], rng) if rng.random() < MIXED_SHARE else crops[one], rng)
                for one, other in zip(ones, others, strict=True)
            ]
        )
        yield clean, np.stack([degrade(crop, rng) for crop in clean])


def to_planes(crops: Uint8s, device: str) -> Tensor:
    """(n, 112, 112, 3) uint8 to (n, 3, 112, 112) float32, 0..255."""
    planes = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2).float()
    return planes.contiguous(memory_format=torch.channels_last)


def to_input(planes: Tensor) -> Tensor:
    """0..255 to what the student takes."""
    return (planes - 127.5) / 127.5


@torch.inference_mode()
def embed_all(network: Embedder | Teacher, crops: Uint8s, device: str) -> Float32s:
    """(n, 144, 144, 3) crops to (n, 128) of unit length, neither turned nor degraded."""
    parts = []
    for start in range(0, len(crops), 128):
        planes = to_planes(crops[start : start + 128, _CENTRE, _CENTRE], device)
        raw = network(planes)[0] if isinstance(network, Teacher) else network.learn(to_input(planes))[0]
        parts.append(functional.normalize(raw.float(), dim=1).cpu().numpy())
    return np.concatenate(parts)


def evaluate(embeddings: Float32s, photographs: Photographs, pairs: list[tuple[str, str, bool]]) -> dict[str, float]:
    """How well the people set aside are told apart.

    Args:
        embeddings: (held out photographs, 128), unit length.
        photographs, pairs: all of them.

    Returns:
        `accuracy` on the official pairs of the fold with its best threshold, and `tmr_1e-3`, the share of all pairs of
        photographs of one person that are more similar than all but one in a thousand pairs of different people.
    """
    rows = np.flatnonzero(photographs.is_held_out)
    row = {name: index for index, name in enumerate(photographs.names[rows])}
    first = (HELD_OUT_FOLD - 1) * PAIRS_PER_FOLD
    fold = pairs[first : first + PAIRS_PER_FOLD]
    similarity = np.array([embeddings[row[a]] @ embeddings[row[b]] for a, b, _ in fold])
    same = np.array([pair[2] for pair in fold])
    bounds = np.sort(similarity)
    accuracy = max(((similarity >= bound) == same).mean() for bound in bounds)

    everybody = compare_everybody(embeddings, photographs.people[rows])
    rates = {f"tmr_{fmr:.0e}": round(1 - everybody.fnmr_at(fmr), 4) for fmr in (1e-2, 1e-3, 1e-4)}
    return {"accuracy": round(float(accuracy), 4), **rates}


def stage_loss(outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Mean over the stages of the squared error, each channel in units of the teacher's own variation."""
    losses = []
    for output, target in zip(outputs, targets, strict=True):
        wanted = target.float()
        spread = wanted.var(dim=(0, 2, 3), keepdim=True) + 1e-4
        losses.append(((output.float() - wanted).square() / spread).mean())
    return torch.stack(losses).mean()


def train(
    course: Course,
    photographs: Photographs,
    pairs: list[tuple[str, str, bool]],
    teacher: Teacher,
    *,
    minutes: float,
    device: str,
) -> None:
    """Train until so many minutes are spent, those before a kill included; the learning rate follows a cosine."""
    rng = np.random.default_rng(course.step)
    unseen = photographs.crops[photographs.is_held_out]
    bank = torch.tensor(embed_all(teacher, photographs.crops[~photographs.is_held_out], device), device=device)
    print("teacher", json.dumps(evaluate(embed_all(teacher, unseen, device), photographs, pairs)), flush=True)
    student: Embedder = course.network
    learn = torch.compile(student.learn)
    mean = None
    started, before_s = time.monotonic(), course.elapsed_s
    reported = started
    for clean, degraded in batches(photographs, rng):
        course.elapsed_s = before_s + time.monotonic() - started
        progress = course.elapsed_s / (minutes * 60)
        if progress >= 1:
            break
        wanted, stages = teacher(to_planes(clean, device))
        is_guided = rng.random() < max(0.0, 1 - progress / GUIDED_SHARE)
        with torch.autocast(device.partition(":")[0], torch.bfloat16):
            raw, outputs = learn(to_input(to_planes(degraded, device)), stages if is_guided else None)
        given = functional.normalize(raw.float(), dim=1)
        distance = (1 - (given * wanted).sum(1)).mean()
        target = functional.log_softmax(wanted @ bank.T / TEMPERATURE, 1)
        relation = (target.exp() * (target - functional.log_softmax(given @ bank.T / TEMPERATURE, 1))).sum(1).mean()
        inner = stage_loss(outputs, stages)
        course.learn(
            distance + RELATION_WEIGHT * relation + STAGE_WEIGHT * max(0.02, 1 - 1.25 * progress) * inner, progress
        )
        now = np.array([distance.item(), relation.item(), inner.item()])
        mean = now if mean is None else 0.98 * mean + 0.02 * now
        if time.monotonic() - reported > EVERY_S:
            reported = time.monotonic()
            print(f"{progress:.3f} step {course.step} losses {mean.round(4)}", flush=True)
            print(json.dumps(evaluate(embed_all(course.averaged, unseen, device), photographs, pairs)), flush=True)
            course.save()
    course.save()
    print("final", json.dumps(evaluate(embed_all(course.averaged, unseen, device), photographs, pairs)), flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with lfw-train.tar and lfw-train-pairs.csv")
    parser.add_argument("--models", type=Path, required=True, help="folder with the weights of the pack `reference`")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches and checkpoints")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    photographs = load_photographs(arguments.data, arguments.work / "lfw", arguments.models)
    teacher = Teacher(arguments.models / "rec_mobilefacenet.onnx", device=arguments.device)
    networks = (Embedder().to(arguments.device, memory_format=torch.channels_last) for _ in range(2))
    course = Course(
        *networks,
        arguments.work / "embedder.pt",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        averaged_steps=AVERAGED_STEPS,
        max_norm=2.0,
        last_rate=0.005,
    )
    course.resume()
    train(course, photographs, read_pairs(arguments.data), teacher, minutes=arguments.minutes, device=arguments.device)


if __name__ == "__main__":
    main()
