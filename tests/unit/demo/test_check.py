"""The demo's examiner: it must fail what is wrong."""

import pytest

from deploy.demo.check import find_mistakes
from deploy.demo.scenes import Interval
from facepipe.documents import Appearance

KNOWN = {"Boris": [Interval(0, 4000), Interval(20_000, 24_000)]}
STRANGERS = {"a stranger": [Interval(10_000, 14_000)]}


def seen(name: str, start_ms: int, end_ms: int) -> Appearance:
    subject_id = None if name.startswith("unknown") else name
    return Appearance(subject_id, name, start_ms, end_ms, 0.9, 10)


RIGHT = [seen("Boris", 200, 3800), seen("unknown 1", 10_200, 13_800), seen("Boris", 20_000, 24_400)]


def test_nothing_said_of_nobody_is_right() -> None:
    assert find_mistakes([], {}, {}) == []


def test_the_right_answer_has_no_mistakes() -> None:
    assert find_mistakes(RIGHT, KNOWN, STRANGERS) == []


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        ([], "Boris is in the picture"),
        (RIGHT[1:], "Boris is in the picture from 0:00:00.000"),
        ([*RIGHT, seen("Carlo", 5000, 6000)], "Carlo was named"),
        ([seen("Boris", 200, 24_000), RIGHT[1]], "Boris was named from 0:00:00.200 to 0:00:24.000"),
        ([RIGHT[0], seen("Boris", 10_000, 14_000), RIGHT[2]], "a stranger"),
        ([*RIGHT, seen("unknown 2", 5000, 6000)], "unknown 2 was seen"),
        ([RIGHT[0], seen("unknown 1", 10_000, 11_000), RIGHT[2]], "a stranger, in the picture"),
        ([seen("Boris", 200, 5000), *RIGHT[1:]], "Boris"),
    ],
)
def test_a_wrong_answer_is_named(answer: list[Appearance], mistake: str) -> None:
    assert any(mistake in one for one in find_mistakes(answer, KNOWN, STRANGERS))
