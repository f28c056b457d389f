import numpy as np
import pytest

from benchmarks.accuracy.verification import PHOTOGRAPHS_A_PERSON, compare_everybody, cross_validated_accuracy


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_everybody_is_compared_once() -> None:
    embeddings = unit(np.eye(4) + 0.1)
    compared = compare_everybody(embeddings, np.array(["ann", "ann", "bob", "cem"]))
    assert len(compared.mated) == 1
    assert len(compared.non_mated) == 5
    assert compared.mated[0] == pytest.approx(float(embeddings[0] @ embeddings[1]), abs=1e-6)


def test_a_person_with_many_photographs_does_not_decide_alone() -> None:
    people = np.array(["ann"] * 40 + ["bob"])
    compared = compare_everybody(unit(np.random.default_rng(0).normal(size=(41, 8))), people)
    assert len(compared.mated) == PHOTOGRAPHS_A_PERSON * (PHOTOGRAPHS_A_PERSON - 1) // 2
    assert len(compared.non_mated) == PHOTOGRAPHS_A_PERSON


def test_rates_follow_their_definitions() -> None:
    people = np.repeat(np.arange(200), 2).astype(str)
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(200, 16))
    compared = compare_everybody(unit(centres.repeat(2, axis=0) + rng.normal(scale=0.7, size=(400, 16))), people)
    for fmr in (1e-1, 1e-2, 1e-3):
        bound = compared.bound_at(fmr)
        assert (compared.non_mated >= bound).mean() == pytest.approx(fmr, rel=0.02)
        assert (compared.mated < bound).mean() == compared.fnmr_at(fmr)
    assert compared.fnmr_at(1e-3) > compared.fnmr_at(1e-1)


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    is_mated = np.array([True, False] * 4)
    folds = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    similarities = np.array([0.8, 0.1, 0.8, 0.1, 0.8, 0.1, 0.3, 0.2], np.float32)
    # the others would put their bound anywhere between 0.1 and 0.8, so the last fold's mated pair is in doubt alone
    assert cross_validated_accuracy(similarities, is_mated, folds) in {7 / 8, 1.0}
    assert cross_validated_accuracy(-similarities, is_mated, folds) < 0.6
