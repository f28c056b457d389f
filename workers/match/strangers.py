"""Groups the tracks of unknown people, so that a stranger who comes back is one stranger."""

import numpy as np

from common.types import Float32s, Int32s


def group_strangers(embeddings: Float32s, weights: Float32s, *, min_similarity: float) -> Int32s:
    """Number unknown people from 1 in order of their first track.

    Each track joins the person whose mean it is closest to, if that is close enough, else it begins a new one. One
    pass in order of time: the same tracks always give the same numbers, and ten thousand tracks take a second.

    Args:
        embeddings: (tracks, dim) float32, unit length, in order of time.
        weights: (tracks,) float32 >= 0, how much each counts in its person's mean.
        min_similarity: cosine to the mean, inclusive.

    Returns:
        (tracks,) int32.
    """
    numbers = np.zeros(len(embeddings), np.int32)
    sums = np.zeros_like(embeddings)
    means = np.zeros_like(embeddings)
    people = 0
    for i, embedding in enumerate(embeddings):
        similarities = means[:people] @ embedding
        person = int(similarities.argmax()) if people else 0
        if not people or similarities[person] < min_similarity:
            person = people
            people += 1
        sums[person] += max(float(weights[i]), 1e-3) * embedding
        means[person] = sums[person] / max(float(np.linalg.norm(sums[person])), 1e-12)
        numbers[i] = person + 1
    return numbers
