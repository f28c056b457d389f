"""Who is it? Candidates in, a subject or *unknown* out."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.types import Candidate


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one probe.

    Attributes:
        subject_id: the subject, or None for unknown.
        similarity: of the best candidate, also when it was refused; None without candidates.
    """

    subject_id: str | None
    similarity: float | None


def decide(candidates: Sequence[Candidate], *, min_similarity: float, min_margin: float) -> Decision:
    """Accept the best candidate if it is close enough and clearly ahead of the next subject.

    Args:
        candidates: of distinct subjects, best first.
        min_similarity: cosine lower bound, inclusive.
        min_margin: lead over the second candidate, inclusive; a second one far below any bound never matters.
    """
    if not candidates:
        return Decision(None, None)
    best = candidates[0]
    is_clear = len(candidates) == 1 or best.similarity - candidates[1].similarity >= min_margin
    is_close = best.similarity >= min_similarity
    return Decision(best.subject_id if is_close and is_clear else None, best.similarity)
