"""The faces of a picture, as the reference detector sees them at several sizes of it.

On enlarged photographs of one face its landmarks differ by about 0.08 of the distance between the eyes from one size to
the next. Their mean is closer to all of them than any one is, and so the better thing to learn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from common.inference.ort import load_session
from common.packs import find_pack
from common.types import Float32s, Uint8s
from training.lfw import DOUBTFUL_SCORE
from workers.detect.detector import Detector
from workers.detect.letterbox import InputSize
from workers.detect.nms import overlaps
from workers.detect.pictures import RgbPictures

#: The reduced views, as shares of the picture's side.
VIEWS: Final = (0.5, 0.25)

#: In a reduced view a face must still have this side, pixels, to be looked at.
MIN_VIEW_SIDE_PX: Final = 36.0

#: What a face has to overlap with and score in a reduced view to be taken for the same.
SAME_OVERLAP: Final = 0.55
SAME_SCORE: Final = 0.5


@dataclass(frozen=True)
class Faces:
    """Faces of one picture: (n, 4) and (n, 5, 2) float32 pixels, and (n,) scores of the reference detector."""

    boxes: Float32s
    landmarks: Float32s
    scores: Float32s


class Reference:
    """The detector of the pack `reference`.

    Args:
        models: folder with its weights.
        sides_px: sides of the square pictures it will be shown.
    """

    def __init__(self, models: Path, sides_px: tuple[int, ...]) -> None:
        pack = find_pack("reference", [Path(__file__).parent.parent / "models", models])
        spec = pack.detector.model_copy(update={"min_det_score": DOUBTFUL_SCORE})
        session = load_session(pack.path(spec))
        views = {int(side * share) for side in sides_px for share in (1, *VIEWS)}
        self._detectors = {side: Detector(session, spec, size=InputSize.square(-(-side // 32) * 32)) for side in views}

    def look(self, picture: Uint8s) -> Faces:
        """The faces of a square picture of 0.3 and more at its own size."""
        found = self._detectors[len(picture)].detect(RgbPictures(picture[None]), batch_size=1, check=lambda: None)
        return Faces(found.boxes, found.landmarks, found.det_scores)

    def agree(self, picture: Uint8s) -> Faces:
        """The same faces, the larger ones averaged over the views in which they were found again.

        Large faces that only a reduced view shows come with a score that says neither yes nor no.
        """
        whole = self.look(picture)
        side = np.sqrt((whole.boxes[:, 2:] - whole.boxes[:, :2]).clip(0).prod(axis=1))
        boxes, landmarks = whole.boxes.copy(), whole.landmarks.copy()
        count = np.ones(len(boxes), np.float32)
        extra: list[Faces] = []
        for share in VIEWS:
            view_side = int(len(picture) * share)
            if side.max(initial=0) * share < MIN_VIEW_SIDE_PX:
                break
            reduced = np.asarray(cv2.resize(picture, (view_side, view_side), interpolation=cv2.INTER_AREA), np.uint8)
            seen = self.look_at_view(reduced, len(picture) / view_side)
            for face in range(len(seen.scores)):
                if not len(boxes):
                    break
                ratio = overlaps(seen.boxes[face], whole.boxes)
                match = int(ratio.argmax())
                if ratio[match] < SAME_OVERLAP:
                    if seen.scores[face] >= SAME_SCORE and ratio[match] < 0.3:
                        extra.append(Faces(seen.boxes[face], seen.landmarks[face], np.float32(SAME_SCORE)))
                elif seen.scores[face] >= SAME_SCORE and side[match] * share >= MIN_VIEW_SIDE_PX:
                    boxes[match] += seen.boxes[face]
                    landmarks[match] += seen.landmarks[face]
                    count[match] += 1
        boxes, landmarks = boxes / count[:, None], landmarks / count[:, None, None]
        if not extra:
            return Faces(boxes, landmarks, whole.scores)
        return Faces(
            np.concatenate([boxes, np.stack([face.boxes for face in extra])]),
            np.concatenate([landmarks, np.stack([face.landmarks for face in extra])]),
            np.concatenate([whole.scores, np.stack([face.scores for face in extra])]),
        )

    def look_at_view(self, reduced: Uint8s, enlarged: float) -> Faces:
        """`look`, in pixels of the picture that the view was reduced from by a factor."""
        seen = self.look(reduced)
        return Faces(seen.boxes * np.float32(enlarged), seen.landmarks * np.float32(enlarged), seen.scores)
