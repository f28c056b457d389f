"""How well an exported age and gender network answers what its teacher answered, on people nobody learnt from."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from common.inference.ort import load_session
from common.ports import ModelSession
from common.types import Float32s, Uint8s
from training.labels import SIDE_PX, Labels, cut, judge, read_labels
from training.lfw import load_photographs

#: How far the sides of a box are moved, in shares of its width and height.
JITTER: Final = 0.08

#: Side of the crop of a face that is far away, pixels.
SMALL_CROP_PX: Final = 48
SEED: Final = 4


def answers(session: ModelSession, crops: Uint8s) -> Float32s:
    """(n, 3), of (n, 96, 96, 3) uint8 RGB."""
    name = session.inputs[0][0]
    parts = [
        session.run({name: crops[start : start + 64].transpose(0, 3, 1, 2).astype(np.float32)})[0]
        for start in range(0, len(crops), 64)
    ]
    joined: Float32s = np.concatenate(parts)
    return joined


def shrink(crop: Uint8s) -> Uint8s:
    """As if the face had been far away."""
    small = cv2.resize(crop, (SMALL_CROP_PX, SMALL_CROP_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", type=Path, help="exported network")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with lfw-train.tar, -pairs.csv, -attributes.csv"
    )
    parser.add_argument("--models", type=Path, required=True, help="folder with the weights of the pack `reference`")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    photographs = load_photographs(arguments.data, arguments.work / "lfw", arguments.models)
    labels = read_labels(arguments.data / "lfw-train-attributes.csv", photographs.names)
    rows = np.flatnonzero(photographs.is_held_out)
    wanted = Labels(labels.age[rows], labels.p_male[rows])
    rng = np.random.default_rng(SEED)
    boxes = photographs.main_boxes[rows]
    moved = boxes + rng.uniform(-JITTER, JITTER, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    images = [np.asarray(photographs.images[row]) for row in rows]
    plain = np.stack([cut(image, box) for image, box in zip(images, boxes, strict=True)])
    shown: dict[str, Callable[[], Uint8s]] = {
        "plain": lambda: plain,
        "mirrored": lambda: np.stack([cut(i, box, is_mirrored=True) for i, box in zip(images, boxes, strict=True)]),
        "moved boxes": lambda: np.stack([cut(i, box) for i, box in zip(images, moved.astype(np.float32), strict=True)]),
        "small faces": lambda: np.stack([shrink(crop) for crop in plain]),
    }
    session = load_session(arguments.network)
    figures: dict[str, object] = {name: judge(answers(session, make()), wanted) for name, make in shown.items()}
    took = []
    for row in range(60):
        before = time.thread_time()
        answers(session, plain[row : row + 1])
        took.append((time.thread_time() - before) * 1000)
    figures["cpu_ms"] = float(np.median(took))
    for name, value in figures.items():
        print(f"{name}: {json.dumps(value)}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
