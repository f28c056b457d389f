"""Who is it?"""

import pytest

from common.types import Candidate
from workers.match.decide import Decision, decide

ANNA, BEN = "anna", "ben"


@pytest.mark.parametrize(
    ("similarities", "expected"),
    [
        ([], Decision(None, None)),
        ([0.5], Decision(ANNA, 0.5)),
        ([0.4], Decision(ANNA, 0.4)),
        ([0.3999], Decision(None, 0.3999)),
        ([0.6, 0.55], Decision(ANNA, 0.6)),
        ([0.6, 0.56], Decision(None, 0.6)),
        ([0.3, 0.1], Decision(None, 0.3)),
    ],
    ids=["nobody", "close", "the bound itself", "below the bound", "lead as asked", "lead too small", "clear but far"],
)
def test_a_candidate_is_accepted_when_close_enough_and_clearly_ahead(
    similarities: list[float], expected: Decision
) -> None:
    candidates = [Candidate(name, value) for name, value in zip((ANNA, BEN), similarities, strict=False)]
    assert decide(candidates, min_similarity=0.4, min_margin=0.0499999) == expected
