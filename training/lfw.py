"""The photographs of LFW that the small models learn from, with the faces that the teacher sees in them.

The archive is unpacked and searched once; what was found is kept beside it as plain arrays. People, not photographs,
are set aside: nobody of fold 8 of LFW's official pairs is ever learnt from, so figures on those people are honest.
"""

import csv
import tarfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from common.inference.ort import load_session
from common.packs import find_pack
from common.types import Float32s, Uint8s
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.pictures import RgbPictures
from workers.embed.align import CROP_SIDE_PX, estimate_transforms

#: Pixels around an aligned crop, so that turning and shifting it does not need a border.
MARGIN_PX: Final = 16

#: Side of the photographs.
SIDE_PX: Final = 250

#: The official fold whose people are set aside.
HELD_OUT_FOLD: Final = 8

#: Official pairs of one fold.
PAIRS_PER_FOLD: Final = 600

#: The teacher's scores are kept from here on; what it is less sure of may or may not be a face.
DOUBTFUL_SCORE: Final = 0.3


@dataclass(frozen=True)
class Photographs:
    """LFW photographs and the teacher's faces.

    Attributes:
        names: (n,) `Person/Person_0001.jpg`.
        images: (n, 250, 250, 3) uint8 RGB.
        crops: (n, 144, 144, 3) uint8 RGB, the main face's aligned crop with `MARGIN_PX` around it.
        main_boxes: (n, 4) float32, box of the main face.
        photograph: (faces,) int32, which photograph each face is in.
        boxes, landmarks, scores: (faces, 4), (faces, 5, 2), (faces,) float32.
        is_held_out: (n,) bool.
    """

    names: np.ndarray
    images: Uint8s
    crops: Uint8s
    main_boxes: Float32s
    photograph: np.ndarray
    boxes: Float32s
    landmarks: Float32s
    scores: Float32s
    is_held_out: np.ndarray

    @property
    def people(self) -> np.ndarray:
        """(n,) name of the person of each photograph."""
        return np.array([name.split("/")[0] for name in self.names])


def read_pairs(data: Path) -> list[tuple[str, str, bool]]:
    """LFW's official pairs of folds 1 to 8, fold by fold: two photographs, and whether they show one person."""
    with (data / "lfw-train-pairs.csv").open() as stream:
        return [(row["file_a"], row["file_b"], row["same"] == "1") for row in csv.DictReader(stream)]


def held_out_people(data: Path) -> set[str]:
    """Everyone in the pairs of `HELD_OUT_FOLD`."""
    first = (HELD_OUT_FOLD - 1) * PAIRS_PER_FOLD
    fold = read_pairs(data)[first : first + PAIRS_PER_FOLD]
    return {name.split("/")[0] for pair in fold for name in pair[:2]}


def read_archive(data: Path, people: Container[str] | None = None) -> tuple[list[str], list[Uint8s]]:
    """Names in order, and the photographs, (250, 250, 3) uint8 RGB; with `people`, only theirs."""
    found: dict[str, Uint8s] = {}
    with tarfile.open(data / "lfw-train.tar") as archive:
        for member in archive:
            name = "/".join(Path(member.name).parts[-2:])
            if not name.endswith(".jpg") or (people is not None and name.split("/")[0] not in people):
                continue
            stream = archive.extractfile(member)
            if stream is not None:
                image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
                found[name] = np.asarray(image, np.uint8)
    names = sorted(found)
    return names, [found[name] for name in names]


def load_photographs(data: Path, work: Path, models: Path) -> Photographs:
    """Unpack, search and align all photographs, or read what an earlier call left.

    Args:
        data: folder with `lfw-train.tar` and `lfw-train-pairs.csv`.
        work: folder for what is found, about 2.6 GB.
        models: folder with the weights of the pack `reference`.
    """
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "faces.npz").exists():
        _search(data, work, models)
    found = np.load(work / "faces.npz")
    people = held_out_people(data)
    is_held_out = np.array([name.split("/")[0] in people for name in found["names"]])
    return Photographs(
        images=np.load(work / "images.npy", mmap_mode="r"),
        crops=np.load(work / "crops.npy", mmap_mode="r"),
        is_held_out=is_held_out,
        **found,
    )


def _search(data: Path, work: Path, models: Path) -> None:
    names, images = read_archive(data)
    pixels = np.stack(images)

    repository = Path(__file__).parent.parent
    pack = find_pack("reference", [repository / "models", models])
    teacher = pack.detector.model_copy(update={"min_det_score": DOUBTFUL_SCORE})
    detector = Detector(load_session(pack.path(teacher)), teacher, size=InputSize.square(320))
    detections = detector.detect(RgbPictures(pixels), batch_size=1, check=lambda: None)

    main = np.array([main_face(detections.boxes[detections.frame == row]) for row in range(len(pixels))])
    first = np.searchsorted(detections.frame, np.arange(len(pixels)))
    transforms = estimate_transforms(detections.landmarks[first + main])
    transforms[:, :, 2] += MARGIN_PX
    side = CROP_SIDE_PX + 2 * MARGIN_PX
    crops = np.stack(
        [cv2.warpAffine(image, turn, (side, side)) for image, turn in zip(pixels, transforms, strict=True)]
    )
    np.save(work / "images.npy", pixels)
    np.save(work / "crops.npy", crops)
    np.savez(
        work / "faces.npz",
        names=np.array(names),
        main_boxes=detections.boxes[first + main],
        photograph=detections.frame,
        boxes=detections.boxes,
        landmarks=detections.landmarks,
        scores=detections.det_scores,
    )


def main_face(boxes: Float32s) -> int:
    """The largest face, less so the farther it is from the middle (as LFW's photographs are centred on theirs)."""
    if not len(boxes):
        raise ValueError("no face was found in a photograph")
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return int(np.argmax(size - 2 * np.sum((centre - SIDE_PX / 2) ** 2, axis=1)))
