"""Unknown people over jobs: whether a stranger is somebody who was seen before.

A wrong join is worse than a missed one: it spoils the person for all that follows, and only a human can undo it. So the
bound is the strictest at which the model was calibrated, not that of a match: every new stranger is compared with
everybody ever seen, and what is right once in a thousand pairs is wrong all the time among a thousand people.
"""

from collections.abc import Mapping
from typing import Final

from common.records import ClosestPerson

#: Lead over the next person, cosine, inclusive.
MIN_PERSON_MARGIN: Final = 0.05


def strictest(calibrated: Mapping[str, float]) -> float:
    """The similarity of the smallest false match rate that was measured.

    Args:
        calibrated: rate, such as "1e-4", to similarity.
    """
    return min((float(rate), similarity) for rate, similarity in calibrated.items())[1]


def choose_person(
    closest: ClosestPerson, *, min_similarity: float, min_margin: float = MIN_PERSON_MARGIN
) -> str | None:
    """Whom a stranger joins; None: somebody new.

    The lead over the next person is asked for only where those two are different people. Two that look like one came
    of a stranger once taken for new; if they kept each other from growing, every later visit would make one more.

    Args:
        closest: as close as anybody.
        min_similarity: cosine lower bound, inclusive.
        min_margin: lead over the next person, inclusive.
    """
    if closest.similarity < min_similarity:
        return None
    if closest.next_similarity is None or closest.alike is None or closest.alike >= min_similarity:
        return closest.person_id
    return closest.person_id if closest.similarity - closest.next_similarity >= min_margin else None
