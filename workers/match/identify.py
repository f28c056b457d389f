"""Who the tracks of a job are: the same for the finish of a job and for a re-match of what it stored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from common.types import Candidate, Float32s
from workers.match.decide import decide
from workers.match.strangers import group_strangers


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a track is.

    Attributes:
        subject_id: None for unknown.
        stranger: number of the unknown person within the job, from 1; None when the subject is known.
        similarity: of the best candidate, also when it was refused; None without candidates.
        candidates: as ranked.
    """

    subject_id: str | None
    stranger: int | None
    similarity: float | None
    candidates: tuple[Candidate, ...]


def as_stored(embeddings: Float32s) -> Float32s:
    """Rounded to half precision, as the database keeps embeddings.

    Tracks are decided on what is stored of them, so that deciding again later gives the same answer.
    """
    return embeddings.astype(np.float16).astype(np.float32)


def identify(
    embeddings: Float32s,
    weights: Float32s,
    candidates: Sequence[tuple[Candidate, ...]],
    *,
    min_similarity: float,
    min_margin: float,
    stranger_similarity: float,
) -> list[Identity]:
    """Decide each track, and number the people who stay unknown.

    Args:
        embeddings: (tracks, dim) float32, unit length, rounded by `as_stored`, in order of time.
        weights: (tracks,) float32, detections of each.
        candidates: of each track, best first.
        min_similarity: cosine that the best candidate must reach, inclusive.
        min_margin: its lead over the second one, inclusive.
        stranger_similarity: cosine from which on two unknown tracks are one person, inclusive.
    """
    decisions = [decide(found, min_similarity=min_similarity, min_margin=min_margin) for found in candidates]
    identities = [
        Identity(decision.subject_id, None, decision.similarity, found)
        for decision, found in zip(decisions, candidates, strict=True)
    ]
    return number_strangers(identities, embeddings, weights, min_similarity=stranger_similarity)


def number_strangers(
    identities: Sequence[Identity], embeddings: Float32s, weights: Float32s, *, min_similarity: float
) -> list[Identity]:
    """The same identities with the strangers among them numbered anew.

    Args:
        identities: of the tracks, in order of time.
        embeddings, weights: as for `identify`.
        min_similarity: cosine from which on two unknown tracks are one person, inclusive.
    """
    unknown = [i for i, identity in enumerate(identities) if identity.subject_id is None]
    numbers = group_strangers(embeddings[unknown], weights[unknown], min_similarity=min_similarity)
    stranger = dict(zip(unknown, numbers.tolist(), strict=True))
    return [replace(identity, stranger=stranger.get(i)) for i, identity in enumerate(identities)]
