"""A picture in, its objects and the picture of their masks out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.contracts import Objects
from common.errors import ConfigurationError
from common.inference.picture_input import PictureReader, Placement
from common.packs import SegmentationModel
from common.ports import ModelSession
from common.types import Float32s, Int64s, Uint8s
from workers.segment.candidates import choose_candidates, suppress
from workers.segment.heads import choose_head
from workers.segment.masks import paint_masks


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Objects of a picture, best first.

    Attributes:
        boxes: (n, 4) int64 [x1, y1, x2, y2] in picture pixels, x2 and y2 beyond the last one.
        scores: (n,) float32.
        classes: (n,) int64.
        names: of each class.
        labels: (height, width) uint8; see `workers.segment.masks.paint_masks`.
    """

    boxes: Int64s
    scores: Float32s
    classes: Int64s
    names: tuple[str, ...]
    labels: Uint8s


class Segmenter:
    """Thread-safe.

    Args:
        session: the loaded network.
        spec: its entry in the manifest.

    Raises:
        ConfigurationError: the network's input or outputs are not what the contract says.
    """

    def __init__(self, session: ModelSession, spec: SegmentationModel) -> None:
        self._session = session
        self._spec = spec
        self._reader = PictureReader(spec.input)
        if len(session.inputs) != 1 or len(session.inputs[0][1]) != 4:
            raise ConfigurationError(f"{spec.name} needs one input of four axes, it has {list(session.inputs)}")
        self._input_name = session.inputs[0][0]
        self._read = choose_head(session, spec)

    def find(self, pixels: Uint8s, wanted: Objects, *, check: Callable[[], None]) -> Found:
        """Find objects.

        Args:
            pixels: (height, width, 3) uint8 RGB.
            wanted: see there.
            check: called between the parts of the work; raises to stop.
        """
        check()
        array, placement = self._reader.read(pixels)
        found = self._read(self._session.run({self._input_name: array}))
        rows = choose_candidates(found, min_score=wanted.min_score)
        boxes = placement.boxes_in_picture(found.boxes[rows])
        is_inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        rows, boxes = rows[is_inside], boxes[is_inside]
        nms_iou = self._spec.nms_iou if wanted.nms_iou is None else wanted.nms_iou
        kept = suppress(boxes, found.classes[rows], nms_iou=nms_iou, limit=wanted.limit)
        rows, whole = rows[kept], _whole_pixels(boxes[kept], placement)
        classes = found.classes[rows]
        labels = paint_masks(
            whole,
            classes.tolist(),
            found.coefficients[rows],
            found.prototypes,
            placement,
            side_px=self._spec.input.side_px,
            check=check,
        )
        return Found(whole, found.scores[rows], classes, self._spec.classes, labels)


def _whole_pixels(boxes: Float32s, placement: Placement) -> Int64s:
    """Boxes rounded to pixels of the picture, at least one wide and high."""
    most = np.array([placement.width_px, placement.height_px])
    first = np.minimum(np.rint(boxes[:, :2]).astype(np.int64), most - 1)
    last = np.minimum(np.maximum(np.rint(boxes[:, 2:]).astype(np.int64), first + 1), most)
    return np.concatenate([first, last], axis=1)
