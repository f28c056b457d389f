"""Links faces of neighbouring frames into tracklets: one person, seen without interruption.

Linking looks at places and sizes alone. What it gets wrong, embedding sets right: a tracklet whose crops disagree is
split there, and tracklets of one person are joined into tracks when the job ends.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Detections, Int32s, Int64s

Float64s = npt.NDArray[np.float64]

#: How far a face's centre may be from where it is expected, in sides of the face. Sampled frames may lie 200 ms apart,
#: in which a walking person's face moves by about its own width.
REACH: Final = 1.0

#: How many times larger or smaller a face may have become.
MAX_GROWTH: Final = 1.8

#: Frames that a face may be missing and still be the same.
MAX_MISSING_FRAMES: Final = 1

#: Media time in ms over which places say nothing any more.
MAX_GAP_MS: Final = 1000


@dataclass(slots=True)
class _Tracklet:
    number: int
    box: Float64s
    velocity: Float64s  # of the centre, pixels per ms
    frame: int
    time_ms: int


def link(detections: Detections, media_time_ms: Int64s, cuts: npt.NDArray[np.bool_]) -> Int32s:
    """Number the tracklets.

    Faces are linked frame by frame, the best pair first, each to a tracklet at most and none twice in one frame. A
    pair is the better, the more its boxes overlap and the closer its centres are; a tracklet is looked for both where
    it was and where it would be if it went on as before.

    Args:
        detections: faces, ordered by frame.
        media_time_ms: (frames,) int64, rising.
        cuts: (frames,) bool, frames that begin a scene; see `workers.detect.scenes`.

    Returns:
        (faces,) int32, numbered from 0 in order of appearance.
    """
    numbers = np.full(len(detections), -1, np.int32)
    boxes = detections.boxes.astype(np.float64)
    starts = np.searchsorted(detections.frame, np.arange(len(media_time_ms) + 1))
    alive: list[_Tracklet] = []
    count = 0
    for frame, time_ms in enumerate(media_time_ms.tolist()):
        if cuts[frame]:
            alive = []
        alive = [
            tracklet
            for tracklet in alive
            if frame - tracklet.frame <= MAX_MISSING_FRAMES + 1 and time_ms - tracklet.time_ms <= MAX_GAP_MS
        ]
        faces = np.arange(starts[frame], starts[frame + 1])
        for row, index in _pair(alive, boxes[faces], frame, time_ms):
            numbers[faces[index]] = alive[row].number
            _move(alive[row], boxes[faces[index]], frame, time_ms)
        for face in faces[numbers[faces] < 0]:
            numbers[face] = count
            alive.append(_Tracklet(count, boxes[face], np.zeros(2), frame, time_ms))
            count += 1
    return numbers


def _pair(alive: list[_Tracklet], boxes: Float64s, frame: int, time_ms: int) -> list[tuple[int, int]]:
    """Pairs (tracklet, face), the best first; equal ones in order of tracklet and face."""
    if not alive or not len(boxes):
        return []
    last = np.array([tracklet.box for tracklet in alive])
    shift = np.array([tracklet.velocity * (time_ms - tracklet.time_ms) for tracklet in alive])
    reach = np.array([REACH * (frame - tracklet.frame) for tracklet in alive])
    affinity = np.maximum(_affinity(last, boxes, reach), _affinity(last + np.tile(shift, 2), boxes, reach))
    pairs = []
    for cell in np.argsort(-affinity, axis=None, kind="stable"):
        row, index = divmod(int(cell), len(boxes))
        if affinity[row, index] <= 0:
            break
        pairs.append((row, index))
        affinity[row] = affinity[:, index] = 0
    return pairs


def _affinity(expected: Float64s, boxes: Float64s, reach: Float64s) -> Float64s:
    """(tracklets, faces), 0 where they cannot be the same, up to 2."""
    size, other = _sides(expected)[:, None], _sides(boxes)
    growth = np.maximum(size, other) / np.minimum(size, other)
    apart = np.linalg.norm(_centres(expected)[:, None] - _centres(boxes), axis=2) / np.sqrt(size * other)
    closeness = 1 - apart / reach[:, None]
    possible = (closeness > 0) & (growth <= MAX_GROWTH)
    return np.where(possible, closeness + _ious(expected, boxes), 0)


def _ious(first: Float64s, second: Float64s) -> Float64s:
    corner = np.maximum(first[:, None, :2], second[:, :2])
    extent = np.maximum(np.minimum(first[:, None, 2:], second[:, 2:]) - corner, 0)
    shared = extent.prod(axis=2)
    ratio: Float64s = shared / (_sides(first)[:, None] ** 2 + _sides(second) ** 2 - shared)
    return ratio


def _sides(boxes: Float64s) -> Float64s:
    """Side of the square of the same area, at least a thousandth of a pixel."""
    sides: Float64s = np.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(1e-3).prod(axis=1))
    return sides


def _centres(boxes: Float64s) -> Float64s:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _move(tracklet: _Tracklet, box: Float64s, frame: int, time_ms: int) -> None:
    elapsed = max(1, time_ms - tracklet.time_ms)
    tracklet.velocity = (_centres(box[None]) - _centres(tracklet.box[None]))[0] / elapsed
    tracklet.box, tracklet.frame, tracklet.time_ms = box, frame, time_ms
