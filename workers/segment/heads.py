"""The outputs of instance segmenters, of two families, into candidates.

`yolo_seg` is the layout of the YOLO family: one array of three axes with, for every place, the box (middle, width and
height in input pixels), perhaps an objectness, a score for each class, and mask coefficients; and prototypes
(n, k, rows, columns). Versions 5 and 7 have the places first and an objectness, by which the scores are multiplied;
versions 8 and 11 have the places last and none. Which it is, is told by the number of classes. Further outputs are not
looked at.

`yolact` is the layout of YOLACT (Bolya et al., 2019, MIT) before its own detection step, by names: `loc` (n, places, 4)
and `priors` (places, 4) as in SSD, of variances 0.1 and 0.2 and in units of the input's side; `conf` (n, places,
1 + classes), background first; `mask` (n, places, k); `proto` (n, rows, columns, k).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from common.errors import ConfigurationError
from common.packs import SegmentationModel
from common.ports import ModelSession
from common.types import Float32s
from workers.segment.candidates import Candidates

Outputs = Sequence[npt.NDArray[Any]]
Read = Callable[[Outputs], Candidates]

YOLACT_OUTPUTS: Final = ("loc", "conf", "mask", "priors", "proto")

_VARIANCES: Final = (0.1, 0.2)
_BOX: Final = 4


def choose_head(session: ModelSession, spec: SegmentationModel) -> Read:
    """The function that reads the outputs of this network's runs.

    Raises:
        ConfigurationError: they are not of the contract, as far as the graph declares them.
    """
    return _yolo_head(session, spec) if spec.contract == "yolo_seg" else _yolact_head(session, spec)


def read_yolo(predictions: Float32s, prototypes: Float32s, *, classes: int) -> Candidates:
    """Outputs of a YOLO segmenter for one picture.

    Args:
        predictions: (places, width) or (width, places).
        prototypes: (k, rows, columns).
        classes: how many there are.

    Returns:
        Every place, with its best class.
    Raises:
        ConfigurationError: neither axis has the width of 4 + classes + k numbers, with or without objectness.
    """
    masks = len(prototypes)
    width = _yolo_width(predictions.shape, classes=classes, masks=masks)
    rows = predictions if predictions.shape[1] == width else predictions.T
    first = _BOX + (width > _BOX + classes + masks)
    scores = rows[:, first : first + classes]
    if first > _BOX:
        scores = scores * rows[:, _BOX : _BOX + 1]
    middle, size = rows[:, :2], rows[:, 2:4]
    return Candidates(
        boxes=np.concatenate([middle - size / 2, middle + size / 2], axis=1).astype(np.float32),
        scores=scores.max(axis=1).astype(np.float32),
        classes=scores.argmax(axis=1),
        coefficients=np.ascontiguousarray(rows[:, first + classes :], np.float32),
        prototypes=prototypes.astype(np.float32),
    )


def read_yolact(outputs: Mapping[str, Float32s], *, side_px: int) -> Candidates:
    """Outputs of a YOLACT for one picture.

    Args:
        outputs: the arrays of `YOLACT_OUTPUTS`, without their first axis.
        side_px: side of the input.

    Returns:
        Every place, with its best class.
    """
    loc, priors = outputs["loc"], outputs["priors"]
    middle = priors[:, :2] + loc[:, :2] * _VARIANCES[0] * priors[:, 2:]
    with np.errstate(over="ignore"):  # what is not finite is dropped later
        half = priors[:, 2:] * np.exp(loc[:, 2:] * _VARIANCES[1]) / 2
    scores = outputs["conf"][:, 1:]
    return Candidates(
        boxes=(np.concatenate([middle - half, middle + half], axis=1) * side_px).astype(np.float32),
        scores=scores.max(axis=1).astype(np.float32),
        classes=scores.argmax(axis=1),
        coefficients=outputs["mask"].astype(np.float32),
        prototypes=np.ascontiguousarray(outputs["proto"].transpose(2, 0, 1), np.float32),
    )


def _yolo_width(shape: Sequence[int], *, classes: int, masks: int) -> int:
    for width in (_BOX + classes + masks, _BOX + 1 + classes + masks):
        if width in shape:
            return width
    raise ConfigurationError(
        f"the predictions have the shape {tuple(shape)}, but {classes} classes and {masks} prototypes make"
        f" {_BOX + classes + masks} numbers a place, or one more; correct `classes` in the manifest"
    )


def _yolo_head(session: ModelSession, spec: SegmentationModel) -> Read:
    axes = [len(shape) for _, shape in session.outputs]
    if 3 not in axes or 4 not in axes:
        raise ConfigurationError(
            f"{spec.name} is no YOLO segmenter: of its outputs {list(session.outputs)} one must be predictions with"
            " three axes and one prototypes with four"
        )
    first, second = axes.index(3), axes.index(4)
    predictions, prototypes = session.outputs[first][1][1:], session.outputs[second][1][1:]
    masks = prototypes[0]
    declared = [size for size in predictions if isinstance(size, int)]
    if len(declared) == len(predictions) and isinstance(masks, int):
        try:
            _yolo_width(declared, classes=len(spec.classes), masks=masks)
        except ConfigurationError as error:
            raise ConfigurationError(f"{spec.name}: {error}") from None
    return lambda outputs: read_yolo(outputs[first][0], outputs[second][0], classes=len(spec.classes))


def _yolact_head(session: ModelSession, spec: SegmentationModel) -> Read:
    names = [name for name, _ in session.outputs]
    if missing := sorted(set(YOLACT_OUTPUTS) - set(names)):
        raise ConfigurationError(f"{spec.name} is no YOLACT: it has no output {', '.join(missing)}")
    conf = dict(session.outputs)["conf"][-1]
    if isinstance(conf, int) and conf != 1 + len(spec.classes):
        raise ConfigurationError(
            f"{spec.name} scores {conf} classes with the background, its manifest names {len(spec.classes)}"
        )

    def read(outputs: Outputs) -> Candidates:
        by_name = dict(zip(names, outputs, strict=True))
        one = {name: by_name[name][0] for name in YOLACT_OUTPUTS if name != "priors"}
        return read_yolact(one | {"priors": by_name["priors"].reshape(-1, _BOX)}, side_px=spec.input.side_px)

    return read
