"""Rates, recommendations and suspects, on galleries whose distributions are known."""

import numpy as np
import pytest

from common.types import Float32s, Int32s
from workers.match.rates import Rates, Tail, count_bins, measure_rates
from workers.match.recommend import (
    MIN_ERRORS,
    gallery_rate,
    pair_rate,
    recommend,
    smallest_rate,
)
from workers.match.suspects import find_nearest, look_alikes, mean_similarity, misplaced


def no_check() -> None:
    """Never stops the work."""


def a_gallery(
    subjects: int, samples: int, *, dim: int = 64, spread: float = 0.5, seed: int = 1
) -> tuple[Float32s, Int32s]:
    """People spread evenly over the sphere, with samples around each."""
    random = np.random.default_rng(seed)
    people = random.normal(size=(subjects, 1, dim))
    people /= np.linalg.norm(people, axis=2, keepdims=True)
    made = (people + spread / np.sqrt(dim) * random.normal(size=(subjects, samples, dim))).reshape(-1, dim)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made.astype(np.float32), np.repeat(np.arange(subjects, dtype=np.int32), samples)


def brute_force(embeddings: Float32s, subjects: Int32s) -> Float32s:
    first, second = np.triu_indices(len(subjects), k=1)
    different = subjects[first] != subjects[second]
    return np.sort((embeddings @ embeddings.T)[first[different], second[different]])[::-1]


def from_scores(scores: Float32s, subjects: int) -> Rates:
    """As if these had been measured between random pairs of so many subjects."""
    random = np.random.default_rng(3)
    first = random.integers(0, subjects, len(scores)).astype(np.int32)
    second = ((first + random.integers(1, subjects, len(scores))) % subjects).astype(np.int32)
    samples_of = np.full(subjects, max(1, round(np.sqrt(2 * len(scores)) / subjects)), np.int64)
    tail = Tail(np.sort(scores)[::-1].astype(np.float32), first, second)
    return Rates(samples_of, np.zeros(0, np.float32), len(scores), len(scores), count_bins(scores), tail)


def test_an_empty_gallery_has_no_rates() -> None:
    rates = measure_rates(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), seed=1, check=no_check)
    assert (rates.nonmated, len(rates.tail), len(rates.mated)) == (0, 0, 0)
    assert (rates.fmr(0.5), rates.fnmr(0.5), smallest_rate(rates)) == (0, None, None)
    assert recommend(rates, 1e-3, extrapolate=True, seed=1) is None


def test_every_pair_of_different_subjects_is_compared_once() -> None:
    embeddings, subjects = a_gallery(480, 3, dim=16)
    order = np.random.default_rng(2).permutation(len(subjects))
    rates = measure_rates(embeddings[order], subjects[order], seed=1, check=no_check)
    exact = brute_force(embeddings, subjects)
    assert rates.nonmated == rates.all_nonmated == len(exact) == 1440 * 1437 // 2
    assert np.abs(rates.tail.similarities - exact[: len(rates.tail)]).max() < 1e-6
    assert int(rates.histogram.sum()) == len(exact)
    assert (rates.tail.first != rates.tail.second).all()
    for bound in (-0.2, 0.1, 0.6):
        assert rates.fmr(bound) == pytest.approx((exact >= bound).mean(), rel=0.02)


def test_mated_pairs_are_all_pairs_of_small_subjects_and_some_of_large_ones() -> None:
    embeddings, subjects = a_gallery(3, 4)
    rates = measure_rates(embeddings, subjects, seed=1, check=no_check)
    assert len(rates.mated) == 3 * 6
    assert rates.samples_of.tolist() == [4, 4, 4]
    similarities = embeddings @ embeddings.T
    expected = [similarities[i, j] for i in range(12) for j in range(i + 1, 12) if subjects[i] == subjects[j]]
    assert rates.mated == pytest.approx(sorted(expected), abs=1e-6)
    embeddings, subjects = a_gallery(1, 60)
    assert measure_rates(embeddings, subjects, seed=1, check=no_check).samples_of.tolist() == [8]
    (only,) = {len(measure_rates(embeddings, subjects, seed=seed, check=no_check).mated) for seed in range(3)}
    assert only == 50


def test_too_many_samples_are_chosen_from_with_every_subject_kept() -> None:
    embeddings, subjects = a_gallery(100, 9, dim=8)
    first, again, other = (
        measure_rates(embeddings, subjects, seed=seed, check=no_check, max_samples=250) for seed in (1, 1, 2)
    )
    assert int(first.samples_of.sum()) == 250
    assert set(first.samples_of.tolist()) == {2, 3}
    assert first.nonmated < first.all_nonmated == 900 * 891 // 2
    assert (first.tail.similarities == again.tail.similarities).all()
    assert first.tail.similarities[0] != other.tail.similarities[0] or first.nonmated != other.nonmated


def test_the_bound_has_the_wished_rate_among_the_pairs_measured() -> None:
    rates = from_scores(np.random.default_rng(1).normal(0, 0.1, 200_000).astype(np.float32), 400)
    for fmr in (1e-1, 1e-2, 1e-3):
        bound = recommend(rates, fmr, extrapolate=False, seed=1)
        assert bound is not None
        assert (bound.basis, bound.errors) == ("measured", fmr * 200_000)
        assert rates.fmr(bound.min_similarity) == pytest.approx(fmr, rel=0.01)
        assert bound.low <= bound.min_similarity <= bound.high
    assert bound.min_similarity == pytest.approx(0.309, abs=0.006)  # a normal's 99.9th percentile is 3.09
    assert bound.low < 0.309 < bound.high


def test_nothing_is_recommended_beyond_what_the_pairs_carry() -> None:
    rates = from_scores(np.random.default_rng(1).normal(0, 0.1, 100_000).astype(np.float32), 300)
    assert smallest_rate(rates) == MIN_ERRORS / 100_000
    assert recommend(rates, 2e-4, extrapolate=False, seed=1) is None
    few = from_scores(np.random.default_rng(1).normal(0, 0.1, 100_000).astype(np.float32), 10)
    assert recommend(few, 1e-2, extrapolate=True, seed=1) is None


@pytest.mark.parametrize(("fmr", "true"), [(1e-4, 0.3719), (1e-5, 0.4265), (1e-6, 0.4753)])
def test_the_tail_model_continues_a_normal_tail(fmr: float, true: float) -> None:
    rates = from_scores(np.random.default_rng(5).normal(0, 0.1, 100_000).astype(np.float32), 300)
    bound = recommend(rates, fmr, extrapolate=True, seed=1)
    assert bound is not None
    assert bound.basis == "tail model"
    assert bound.min_similarity == pytest.approx(true, abs=0.03)
    assert bound.low < true < bound.high + 0.02


def test_the_tail_model_continues_an_exponential_tail() -> None:
    rates = from_scores(np.random.default_rng(5).exponential(0.05, 100_000).astype(np.float32) - 0.2, 300)
    bound = recommend(rates, 1e-5, extrapolate=True, seed=1)
    assert bound is not None
    assert bound.min_similarity == pytest.approx(0.05 * np.log(1e5) - 0.2, abs=0.04)


def test_a_few_people_with_many_samples_make_the_interval_wide() -> None:
    many, few = a_gallery(800, 1, dim=24), a_gallery(40, 20, dim=24)
    wide, narrow = (
        recommend(measure_rates(*gallery, seed=1, check=no_check), 1e-2, extrapolate=False, seed=1)
        for gallery in (few, many)
    )
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_rate_of_a_gallery_grows_with_its_size() -> None:
    assert gallery_rate(1e-3, 1) == pytest.approx(1e-3)
    assert gallery_rate(1e-6, 1000) == pytest.approx(1e-3, rel=1e-3)
    assert gallery_rate(0.5, 1000) == pytest.approx(1)
    assert gallery_rate(pair_rate(0.01, 2000), 2000) == pytest.approx(0.01)


def test_a_recommended_bound_holds_for_other_people() -> None:
    ours, theirs = a_gallery(300, 3, dim=24, seed=1), a_gallery(300, 3, dim=24, seed=2)
    bound = recommend(measure_rates(*ours, seed=1, check=no_check), 1e-3, extrapolate=False, seed=1)
    assert bound is not None
    assert 0.5e-3 < (brute_force(*theirs) >= bound.min_similarity).mean() < 2e-3


def test_the_nearest_of_each_sample_are_found_across_blocks() -> None:
    embeddings, subjects = a_gallery(600, 2, dim=16, spread=1.5)
    similarities = embeddings @ embeddings.T
    same = subjects[:, None] == subjects[None]
    others = np.where(same, -2, similarities)
    np.fill_diagonal(same, val=False)
    nearest = find_nearest(embeddings, subjects, start=100, stop=1150, check=no_check)
    assert nearest.other == pytest.approx(others.max(axis=1)[100:1150], abs=1e-6)
    assert nearest.own == pytest.approx(np.where(same, similarities, -2).max(axis=1)[100:1150], abs=1e-6)
    assert others[np.arange(100, 1150), nearest.other_sample] == pytest.approx(nearest.other, abs=1e-6)


def test_a_lonely_sample_has_no_neighbours() -> None:
    nearest = find_nearest(np.eye(2, dtype=np.float32)[:1], np.zeros(1, np.int32), start=0, stop=1, check=no_check)
    assert (nearest.own.tolist(), nearest.other.tolist(), nearest.other_sample.tolist()) == ([-2], [-2], [-1])
    assert look_alikes(nearest, np.zeros(1, np.int32), start=0, limit=9) == []
    assert misplaced(nearest, limit=9).tolist() == []


def test_look_alikes_and_misplaced_samples_are_named() -> None:
    embeddings, subjects = a_gallery(30, 4, dim=64, spread=0.4)
    embeddings[4 * 7] = embeddings[4 * 3 + 1]  # a picture of subject 3 lies with subject 7
    embeddings[4 * 9 : 4 * 10] = embeddings[4 * 20 : 4 * 21] + 0.01  # subjects 9 and 20 are one person
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    nearest = find_nearest(embeddings, subjects, start=0, stop=120, check=no_check)
    assert {(a, b) for a, b, _ in look_alikes(nearest, subjects, start=0, limit=2)} == {(3, 7), (9, 20)}
    assert 4 * 7 in misplaced(nearest, limit=9).tolist()
    assert (
        mean_similarity(embeddings[36:40], embeddings[80:84])
        > 0.7
        > mean_similarity(embeddings[28:32], embeddings[12:16])
    )
