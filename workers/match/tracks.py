"""Links tracklets of neighbouring segments into tracks and fuses their embeddings.

A tracklet never crosses the border of its segment. Two of them are one track when the second begins where and when
the first ended and both look like the same person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.records import StoredTracklet
from common.types import Float32s

#: Boxes at the seam must overlap so far, or their centres be so near relative to the box's side.
MIN_SEAM_IOU = 0.2
MAX_SEAM_SHIFT = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Positions of the tracklets of one track, in order of time, and their fused embedding, (dim,) float32."""

    members: tuple[int, ...]
    embedding: Float32s


def link_tracklets(tracklets: Sequence[StoredTracklet], *, min_similarity: float, max_gap_ms: int) -> list[Chain]:
    """Make tracks out of tracklets.

    Args:
        tracklets: in order of `start_ms`.
        min_similarity: cosine that two tracklets at a seam must reach, inclusive.
        max_gap_ms: longest time between the end of one and the start of the next.

    Returns:
        In order of their first tracklet; every tracklet is in exactly one track.
    """
    successor: dict[int, int] = {}
    has_predecessor: set[int] = set()
    for _, i, j in sorted(_seams(tracklets, min_similarity, max_gap_ms), key=lambda seam: (-seam[0], seam[1], seam[2])):
        if i not in successor and j not in has_predecessor:
            successor[i] = j
            has_predecessor.add(j)
    chains = []
    for i in range(len(tracklets)):
        if i in has_predecessor:
            continue
        members = [i]
        while members[-1] in successor:
            members.append(successor[members[-1]])
        chains.append(Chain(tuple(members), fuse([tracklets[member] for member in members])))
    return chains


def fuse(tracklets: Sequence[StoredTracklet]) -> Float32s:
    """(dim,) float32, unit length: mean over all crops, weighted by the quality of their tracklet."""
    weights = [max(tracklet.quality, 0.05) * max(len(tracklet.crop_embeddings), 1) for tracklet in tracklets]
    total = np.sum([w * t.embedding for w, t in zip(weights, tracklets, strict=True)], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)


def _seams(tracklets: Sequence[StoredTracklet], min_similarity: float, max_gap_ms: int) -> list[tuple[float, int, int]]:
    """(similarity, earlier, later) of every pair that may be one track."""
    seams = []
    starts: dict[int, list[int]] = {}
    for i, tracklet in enumerate(tracklets):
        starts.setdefault(tracklet.ordinal, []).append(i)
    for i, earlier in enumerate(tracklets):
        for j in starts.get(earlier.ordinal + 1, ()):
            later = tracklets[j]
            gap_ms = later.start_ms - earlier.end_ms
            if not 0 < gap_ms <= max_gap_ms or not _touch(earlier.last_box, later.first_box):
                continue
            similarity = float(earlier.embedding @ later.embedding)
            if similarity >= min_similarity:
                seams.append((similarity, i, j))
    return seams


def _touch(a: Float32s, b: Float32s) -> bool:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    shared = float(max(width, 0) * max(height, 0))
    if shared / max(sum(areas) - shared, 1e-6) >= MIN_SEAM_IOU:
        return True
    shift = np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2
    side = np.sqrt(max(min(areas), 1e-6))
    return bool(shift <= MAX_SEAM_SHIFT * side and max(areas) <= 4 * min(areas))
