"""Makes one embedding of the crops of a tracklet, and keeps two people apart."""

import numpy as np

from common.types import Float32s, Int32s, Int64s

_LEAST_WEIGHT = 1e-3


def fuse(embeddings: Float32s, weights: Float32s, group: Int32s, *, groups: int) -> Float32s:
    """Weighted means, made unit length again.

    Args:
        embeddings: (n, dim) float32, unit length.
        weights: (n,) float32 >= 0, their qualities; 0 still counts for a little.
        group: (n,) int32 in [0, groups), every one of them used.
        groups: how many.

    Returns:
        (groups, dim) float32, unit length. A group whose embeddings cancel out gets its weightiest one.
    """
    weights = np.maximum(weights, np.float32(_LEAST_WEIGHT))
    sums = np.zeros((groups, embeddings.shape[1]), np.float64)
    np.add.at(sums, group, embeddings * weights[:, None])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    for lost in np.flatnonzero(lengths[:, 0] < 1e-6):
        members = np.flatnonzero(group == lost)
        sums[lost], lengths[lost] = embeddings[members[weights[members].argmax()]], 1
    fused: Float32s = (sums / lengths).astype(np.float32)
    return fused


def find_people(embeddings: Float32s, *, min_similarity: float) -> Int32s:
    """Sort embeddings into people: those joined by a chain of similar ones are one person.

    A chain, because a head that turns changes step by step.

    Args:
        embeddings: (n, dim) float32, unit length.
        min_similarity: cosine lower bound of a link, inclusive.

    Returns:
        (n,) int32 numbers from 0 in order of first appearance.
    """
    linked = embeddings @ embeddings.T >= min_similarity
    people = np.full(len(embeddings), -1, np.int32)
    count = 0
    for first in range(len(embeddings)):
        if people[first] >= 0:
            continue
        reached = np.zeros(len(embeddings), bool)
        reached[first] = True
        while (grown := reached | linked[reached].any(axis=0)).sum() > reached.sum():
            reached = grown
        people[reached] = count
        count += 1
    return people


def split_tracklets(
    tracklet: Int32s, time_ms: Int64s, crop_face: Int64s, crop_embeddings: Float32s, *, min_similarity: float
) -> Int32s:
    """Split every tracklet whose crops show more than one person.

    A wrong link has a moment: the tracklet changed from one person to another there. So a face that was not embedded
    goes with the embedded one that is nearest in time.

    Args:
        tracklet: (faces,) int32, what detection said.
        time_ms: (faces,) int64, media time of each face.
        crop_face: (crops,) int64, the faces that were embedded; at least one a tracklet.
        crop_embeddings: (crops, dim) float32, unit length.
        min_similarity: crops of one tracklet less alike than this are not directly linked.

    Returns:
        (faces,) int32, numbered from 0 in order of first appearance.
    """
    people = np.zeros(len(tracklet), np.int64)
    for number in np.unique(tracklet):
        crops = np.flatnonzero(tracklet[crop_face] == number)
        person = find_people(crop_embeddings[crops], min_similarity=min_similarity)
        if person.max() > 0:
            faces = np.flatnonzero(tracklet == number)
            apart = np.abs(time_ms[faces, None] - time_ms[crop_face[crops]])
            people[faces] = person[apart.argmin(axis=1)]
    return number_by_appearance(tracklet.astype(np.int64) * (len(tracklet) + 1) + people)


def number_by_appearance(labels: Int64s) -> Int32s:
    """Labels to 0, 1, 2 … in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    numbers: Int32s = rank[inverse]
    return numbers
