import numpy as np
import pytest

from workers.embed.attributes import decode_genderage


def test_no_faces_have_no_attributes() -> None:
    age, female_score = decode_genderage(np.zeros((0, 3), np.float32))
    assert (age.shape, female_score.shape) == ((0,), (0,))


@pytest.mark.parametrize(
    ("raw", "age", "female_score"),
    [
        ((0, 0, 0.314), 31.4, 0.5),
        ((2, 0, 0.5), 50, 0.880797),
        ((-1, 3, 1.02), 102, 0.017986),
        ((0, 0, -0.1), 0, 0.5),
        ((3e38, -3e38, 0.2), 20, 1),
    ],
)
def test_ages_are_years_and_the_first_number_speaks_for_female(
    raw: tuple[float, float, float], age: float, female_score: float
) -> None:
    ages, scores = decode_genderage(np.array([raw], np.float32))
    assert ages.dtype == scores.dtype == np.float32
    assert ages[0] == pytest.approx(age, abs=1e-4)
    assert scores[0] == pytest.approx(female_score, abs=1e-5)


def test_what_is_no_number_is_not_guessed_and_spoils_no_other_face() -> None:
    raw = np.array([[np.nan, 0, 0.3], [0, 0, 0.3], [0, 0, np.inf]], np.float32)
    ages, scores = decode_genderage(raw)
    assert np.isnan(ages).tolist() == np.isnan(scores).tolist() == [True, False, True]
