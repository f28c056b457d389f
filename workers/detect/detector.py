"""A face detector: a stack of frames in, faces in pixels of those frames out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from common.errors import ConfigurationError
from common.inference.detectors import SCRFD_LAYOUTS, gives_landmarks
from common.packs import DetectionModel
from common.ports import ModelSession
from common.types import Detections, Int32s
from workers.detect import scrfd, yunet
from workers.detect.letterbox import InputBatch, InputSize, Letterbox
from workers.detect.nms import suppress
from workers.detect.pictures import Pictures

#: Faces kept in one frame at most, the best ones; bounds what a hostile picture can make of later stages.
MAX_FACES: Final = 256

#: Candidates that suppression looks at in one frame at most, the best ones.
MAX_CANDIDATES: Final = 4096

_MAX_ANCHORS: Final = 4

Decode = Callable[[Sequence[npt.NDArray[Any]]], Detections]


NO_FACES: Final = Detections(
    np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
)


class Detector:
    """Runs a detection network over frames; thread-safe.

    Frames are always scaled into the same input, so the network's memory is bounded; they share runs where the graph's
    batch axis allows it. A frame's faces do not depend on which frames it shares a run with.

    Args:
        session: the loaded network.
        spec: its entry in the manifest.
        size: of the input, sides that are multiples of the coarsest stride; None means the manifest's square.

    Attributes:
        size: of the input.
        has_landmarks: whether its faces have landmarks; they are NaN otherwise.

    Raises:
        ConfigurationError: the network's inputs or outputs are not what the contract says.
    """

    def __init__(self, session: ModelSession, spec: DetectionModel, *, size: InputSize | None = None) -> None:
        # Pools run threads side by side; OpenCV's own threads would only fight them. This holds for the whole process.
        cv2.setNumThreads(1)
        self._session = session
        self._spec = spec
        self.size = size or InputSize.square(spec.input.side_px)
        self._input_name, frames_a_run = _check_input(session, spec, self.size)
        self._decode = _choose_decode(session, spec, self.size)
        self.has_landmarks = gives_landmarks(session, spec.contract)
        # Outputs without a batch axis mix the frames of a run.
        is_batched = frames_a_run is None and all(len(shape) == 3 for _, shape in session.outputs)
        self._frames_a_run = None if is_batched else 1

    def choose(self, width_px: int, height_px: int) -> Self:  # noqa: ARG002 - there is no choice
        """The detector for frames of that size: this one; see `DetectorBySize`."""
        return self

    def detect(self, pictures: Pictures, *, batch_size: int, check: Callable[[], None]) -> Detections:
        """Find the faces.

        A frame that is the one before it to the last bit, as before a camera where nothing moves, has its faces
        without a run of the network.

        Args:
            pictures: the frames.
            batch_size: frames in one run at most; graphs with a batch axis of 1 get them one by one.
            check: called before every run; raises to stop.

        Returns:
            Faces in pixels of the frames, by frame and then by falling score. The order is the same every time. A place
            whose numbers are not finite is no face.
        """
        same_as = _find_repeats(pictures)
        different = np.unique(same_as).tolist()
        step = max(1, min(self._frames_a_run or batch_size, len(different)))
        letterbox = Letterbox.fit(pictures.width_px, pictures.height_px, self.size)
        given = self._spec.input
        batch = InputBatch(letterbox, step, colour=given.colour, mean=given.mean, std=given.std)
        parts = [NO_FACES]
        for start in range(0, len(different), step):
            check()
            rows = batch.fill(pictures, different[start : start + step])
            outputs = self._session.run({self._input_name: rows})
            parts.append(self._finish(self._decode(outputs), letterbox, first_frame=start))
        found = Detections(
            np.concatenate([part.frame for part in parts]),
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.landmarks for part in parts]),
            np.concatenate([part.det_scores for part in parts]),
        )
        return _repeat(found, np.searchsorted(different, same_as))

    def _finish(self, found: Detections, letterbox: Letterbox, *, first_frame: int) -> Detections:
        """Suppress within each frame, and turn input pixels into frame pixels."""
        kept = [np.zeros(0, np.int64)]
        is_box = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.det_scores)
        if self.has_landmarks:
            is_box &= np.isfinite(found.landmarks).all(axis=(1, 2))
        is_box &= (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
        for frame in np.unique(found.frame):
            rows = np.flatnonzero((found.frame == frame) & is_box)
            if len(rows) > MAX_CANDIDATES:
                rows = np.sort(rows[np.argsort(-found.det_scores[rows], kind="stable")[:MAX_CANDIDATES]])
            best = suppress(found.boxes[rows], found.det_scores[rows], nms_iou=self._spec.nms_iou, limit=MAX_FACES)
            kept.append(rows[best])
        rows = np.concatenate(kept)
        return Detections(
            found.frame[rows] + np.int32(first_frame),
            letterbox.to_frame(found.boxes[rows].reshape(-1, 2, 2)).reshape(-1, 4),
            letterbox.to_frame(found.landmarks[rows]),
            np.clip(found.det_scores[rows], 0, 1),
        )


def _find_repeats(pictures: Pictures) -> Int32s:
    """(frames,) int32, the first of the run of equal frames that each frame is in."""
    same_as = np.arange(len(pictures), dtype=np.int32)
    for frame in range(1, len(pictures)):
        if pictures.is_same(frame, frame - 1):
            same_as[frame] = same_as[frame - 1]
    return same_as


def _repeat(found: Detections, sources: npt.NDArray[np.intp]) -> Detections:
    """The faces of each frame, taken from its source; (frames,) positions among those that were looked at."""
    starts, ends = (np.searchsorted(found.frame, sources, side=side) for side in ("left", "right"))
    counts = ends - starts
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    frame: Int32s = np.repeat(np.arange(len(sources), dtype=np.int32), counts)
    return Detections(frame, found.boxes[rows], found.landmarks[rows], found.det_scores[rows])


def _check_input(session: ModelSession, spec: DetectionModel, size: InputSize) -> tuple[str, int | None]:
    """Name of the input, and how many frames a run takes: 1, or None where that is open."""
    if len(session.inputs) != 1 or len(session.inputs[0][1]) != 4:
        raise ConfigurationError(f"{spec.name} needs one input of four axes, it has {list(session.inputs)}")
    name, (frames, _, *sides) = session.inputs[0]
    for side, wanted_px in zip(sides, (size.height_px, size.width_px), strict=True):
        if isinstance(side, int) and side != wanted_px:
            raise ConfigurationError(
                f"{spec.name} takes pictures of {sides[1]} x {sides[0]} only, not of "
                f"{size.width_px} x {size.height_px}; set FACEPIPE_DETECT__INPUT_SIDE_PX, or install a pack whose "
                "detector leaves the size open"
            )
    if isinstance(frames, int) and frames != 1:
        raise ConfigurationError(f"{spec.name} takes exactly {frames} frames a run; export it with an open batch axis")
    return name, frames if isinstance(frames, int) else None


def _choose_decode(session: ModelSession, spec: DetectionModel, size: InputSize) -> Decode:
    names = [name for name, _ in session.outputs]
    if spec.contract == "yunet":
        if missing := sorted(set(yunet.OUTPUTS) - set(names)):
            raise ConfigurationError(f"{spec.name} is not a YuNet: it has no output {', '.join(missing)}")
        _check_size(spec, size, yunet.STRIDES)
        _check_outputs(session, spec, yunet.expected_shapes(size), most_anchors=1)
        decode = partial(yunet.decode_yunet, size=size, min_det_score=spec.min_det_score)
        return lambda outputs: decode(dict(zip(names, outputs, strict=True)))
    if len(names) not in SCRFD_LAYOUTS:
        raise ConfigurationError(f"{spec.name} is not an SCRFD: it has {len(names)} outputs, not 6, 9, 10 or 15")
    _check_size(spec, size, SCRFD_LAYOUTS[len(names)].strides)
    shapes = scrfd.expected_shapes(len(names), size)
    _check_outputs(session, spec, dict(zip(names, shapes, strict=True)), most_anchors=_MAX_ANCHORS)
    return partial(scrfd.decode_scrfd, size=size, min_det_score=spec.min_det_score)


def _check_outputs(
    session: ModelSession, spec: DetectionModel, expected: Mapping[str, tuple[int, int]], *, most_anchors: int
) -> None:
    """Compare what is known of the outputs' shapes; all of it is, once the network has been run."""
    for name, shape in session.outputs:
        if name not in expected:
            continue
        locations, width = expected[name]
        rows, columns = shape[-2:] if len(shape) in (2, 3) else (0, 0)
        is_right = not isinstance(columns, int) or columns == width
        if isinstance(rows, int):
            is_right &= rows in {locations * anchors for anchors in range(1, most_anchors + 1)}
        if not is_right:
            raise ConfigurationError(
                f"{spec.name}: output {name} is {shape}, but {spec.contract} gives {width} numbers for each of "
                f"{locations} places here; the file is no such detector, or its contract in the manifest is wrong"
            )


def _check_size(spec: DetectionModel, size: InputSize, strides: Sequence[int]) -> None:
    if size.width_px % strides[-1] or size.height_px % strides[-1]:
        raise ConfigurationError(
            f"{spec.name}: an input of {size.width_px} x {size.height_px} px is not a multiple of {strides[-1]}; "
            "set FACEPIPE_DETECT__INPUT_SIDE_PX"
        )
