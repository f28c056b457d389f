import pytest

from common.records import Attributes
from tests.builders import a_track
from workers.match.appearances import merge_tracks
from workers.match.attributes import mean_attributes

YOUNG, OLD = Attributes(20, 0.9), Attributes(60, 0.1)


@pytest.mark.parametrize(
    ("guesses", "mean"),
    [
        ([], None),
        ([(None, 3)], None),
        ([(YOUNG, 2), (None, 9)], YOUNG),
        ([(YOUNG, 3), (OLD, 1)], Attributes(30, 0.7)),
        ([(YOUNG, 0), (OLD, 0)], Attributes(40, 0.5)),
    ],
)
def test_guesses_are_averaged_by_weight(
    guesses: list[tuple[Attributes | None, float]], mean: Attributes | None
) -> None:
    found = mean_attributes(guesses)
    if mean is None or found is None:
        assert found is mean
    else:
        assert (found.age, found.female_score) == pytest.approx((mean.age, mean.female_score))


def test_an_appearance_has_the_mean_of_its_tracks_by_detections() -> None:
    tracks = [
        a_track(track=0, start_ms=0, end_ms=1000, detections=3, attributes=YOUNG),
        a_track(track=1, start_ms=1100, end_ms=2000, detections=1, attributes=OLD),
        a_track(track=2, start_ms=90_000, end_ms=91_000),
    ]
    first, second = merge_tracks(tracks, max_gap_ms=2000)
    assert first.attributes is not None
    assert (first.attributes.age, first.attributes.female_score) == pytest.approx((30, 0.7))
    assert second.attributes is None


@pytest.mark.parametrize(
    ("female_score", "gender", "score"), [(0.5, "female", 0.5), (0.93, "female", 0.93), (0.2, "male", 0.8)]
)
def test_the_likelier_gender_is_named_with_its_own_score(female_score: float, gender: str, score: float) -> None:
    assert Attributes(31.44, female_score).describe() == {"age": 31.4, "gender": gender, "gender_score": score}
