"""How many of the reference detector's faces another detector finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.types import Detections, Float32s, Uint8s
from workers.detect.by_size import DetectorBySize
from workers.detect.nms import overlaps
from workers.detect.pictures import RgbPictures

#: The reference's faces from this score on are to be found; what it scores lower may be found.
SURE_SCORE: Final = 0.7
DOUBTFUL_SCORE: Final = 0.4

#: Two boxes that overlap this much are of one face.
SAME_FACE_IOU: Final = 0.5


@dataclass(slots=True)
class Agreement:
    """Counts over many pictures.

    Attributes:
        wanted: faces of which the reference is sure.
        found: those of them that were found.
        given: faces that were given.
        confirmed: those of them of which the reference has at least a doubt.
        landmark_error: sum over the found faces of the mean distance of the landmarks, in distances between the eyes.
    """

    wanted: int = 0
    found: int = 0
    given: int = 0
    confirmed: int = 0
    landmark_error: float = 0.0

    def count(self, reference: Detections, other: Detections) -> None:
        """Add one picture."""
        sure = np.flatnonzero(reference.det_scores >= SURE_SCORE)
        self.wanted += len(sure)
        self.given += len(other)
        for face in sure:
            shares = overlaps(reference.boxes[face], other.boxes) if len(other) else np.zeros(0, np.float32)
            if shares.max(initial=0) >= SAME_FACE_IOU:
                self.found += 1
                self.landmark_error += _distance(reference.landmarks[face], other.landmarks[int(shares.argmax())])
        for box in other.boxes:
            self.confirmed += bool(overlaps(box, reference.boxes).max(initial=0) >= SAME_FACE_IOU)

    def figures(self) -> dict[str, float | int]:
        """Recall, precision and mean landmark error."""
        return {
            "faces": self.wanted,
            "recall": round(self.found / max(1, self.wanted), 4),
            "precision": round(self.confirmed / max(1, self.given), 4),
            "landmark_error": round(self.landmark_error / max(1, self.found), 4),
        }


def compare_detectors(reference: DetectorBySize, other: DetectorBySize, pictures: Iterable[Uint8s]) -> Agreement:
    """Run both over pictures, (height, width, 3) uint8 RGB; the reference gives faces from `DOUBTFUL_SCORE` on."""
    agreement = Agreement()
    for picture in pictures:
        agreement.count(
            *(one.detect(RgbPictures(picture[None]), batch_size=1, check=_go_on) for one in (reference, other))
        )
    return agreement


def _distance(wanted: Float32s, given: Float32s) -> float:
    eyes = float(np.linalg.norm(wanted[0] - wanted[1]))
    return float(np.linalg.norm(wanted - given, axis=1).mean()) / max(eyes, 1e-6)


def _go_on() -> None:
    """Nobody stops a measurement but Ctrl-C."""
