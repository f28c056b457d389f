"""Whether a stranger is somebody who was seen before."""

import pytest

from common.records import ClosestPerson
from workers.match.people import choose_person, strictest


def closest(similarity: float, next_similarity: float | None = None, alike: float | None = None) -> ClosestPerson:
    return ClosestPerson("ada", similarity, next_similarity, alike)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (closest(0.6), "ada"),
        (closest(0.59), None),
        (closest(0.7, 0.6, 0.1), "ada"),
        (closest(0.7, 0.66, 0.1), None),  # as much like somebody else
        (closest(0.7, 0.66, 0.6), "ada"),  # whom the first one looks like too
        (closest(0.59, 0.58, 0.9), None),
    ],
)
def test_a_stranger_joins_who_is_close_and_clearly_closest(found: ClosestPerson, expected: str | None) -> None:
    assert choose_person(found, min_similarity=0.6, min_margin=0.05) == expected


def test_the_bound_is_that_of_the_smallest_rate() -> None:
    assert strictest({"1e-2": 0.3, "1e-4": 0.5, "0.001": 0.4}) == 0.5
