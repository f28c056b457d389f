"""Ages and genders that a larger network gave to LFW's photographs, and how a smaller one's are compared with them."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from common.types import Float32s, Uint8s

#: Side of the network's input.
SIDE_PX: Final = 96

#: Side of the square cut out of the photograph, in longer sides of the face's box.
CONTEXT: Final = 1.5

#: How much of a photograph's label is its person's mean; the rest is its own.
PERSON_SHARE: Final = 0.8
WOMEN_SHARE: Final = 0.5

#: Pseudo-labels this far from 0.5 are taken for right when the network is judged.
CONFIDENT: Final = 0.4


@dataclass(frozen=True)
class Labels:
    """Of each photograph: (n,) age in years, (n,) probability of a man, float32; as given, not averaged."""

    age: Float32s
    p_male: Float32s


def read_labels(path: Path, names: np.ndarray) -> Labels:
    """`lfw-train-attributes.csv`, in the order of the photographs.

    Raises:
        KeyError: a photograph has no label.
    """
    with path.open() as stream:
        given = {row["file"]: (float(row["age"]), float(row["p_male"])) for row in csv.DictReader(stream)}
    age, p_male = np.array([given[name] for name in names], np.float32).T
    return Labels(age, p_male)


def by_person(labels: Labels, people: np.ndarray) -> Labels:
    """Labels drawn towards the mean of their person's."""
    _, person, count = np.unique(people, return_inverse=True, return_counts=True)
    logit = np.log(labels.p_male.clip(0.005, 0.995) / (1 - labels.p_male.clip(0.005, 0.995)))
    drawn = []
    for values in (labels.age, logit):
        mean = np.bincount(person, values) / count
        drawn.append(PERSON_SHARE * mean[person] + (1 - PERSON_SHARE) * values)
    age, logit = drawn
    return Labels(age.astype(np.float32), (1 / (1 + np.exp(-logit))).astype(np.float32))


def chances(labels: Labels, people: np.ndarray) -> np.ndarray:
    """How often each photograph is to come up; (n,) summing to 1."""
    _, person, count = np.unique(people, return_inverse=True, return_counts=True)
    decade = np.clip(labels.age // 10, 1, 7).astype(int)
    weight = count[person] ** -0.5 * np.bincount(decade)[decade] ** -0.4
    is_woman = labels.p_male < 0.5
    weight[is_woman] *= WOMEN_SHARE / weight[is_woman].sum()
    weight[~is_woman] *= (1 - WOMEN_SHARE) / weight[~is_woman].sum()
    chance: np.ndarray = weight / weight.sum()
    return chance


def cut(image: Uint8s, box: Float32s, *, angle: float = 0.0, is_mirrored: bool = False) -> Uint8s:
    """The square about a face's box as the network takes it: (96, 96, 3) uint8, black beyond the photograph.

    Args:
        image: (height, width, 3) uint8.
        box: (4,) pixels.
        angle: of a turn about the middle, degrees.
        is_mirrored: left and right exchanged.
    """
    scale = SIDE_PX / (CONTEXT * max(box[2] - box[0], box[3] - box[1]))
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    turn = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, float(scale))
    turn[:, 2] += SIDE_PX / 2 - np.array(centre)
    if is_mirrored:
        turn[0] = -turn[0]
        turn[0, 2] += SIDE_PX - 1
    return np.asarray(cv2.warpAffine(image, turn, (SIDE_PX, SIDE_PX)), np.uint8)


def judge(given: Float32s, labels: Labels) -> dict[str, float]:
    """How well answers fit the photographs' own labels.

    Returns:
        `men`, `women` and `balanced`, shares of the confident labels that were met; `age_mae`, years, over all;
        `age_bias`, years.
    """
    is_man = labels.p_male > 0.5
    is_confident = np.abs(labels.p_male - 0.5) > CONFIDENT
    is_right = (given[:, 1] > given[:, 0]) == is_man
    men, women = (float(is_right[is_confident & (is_man == of)].mean()) for of in (True, False))
    error = given[:, 2] * 100 - labels.age
    return {
        "confident": float(is_confident.sum()),
        "men": men,
        "women": women,
        "balanced": (men + women) / 2,
        "all": float(is_right.mean()),
        "age_mae": float(np.abs(error).mean()),
        "age_bias": float(error.mean()),
    }
