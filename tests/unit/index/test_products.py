"""Both ways of multiplying integers are exact."""

import numpy as np
import pytest

from common.index.products import NumpyProducts, OrtProducts, is_exact, multiplier
from common.index.quantize import LARGEST, OFFSET, Int8s


def the_rows(seed: int, count: int = 70, dimension: int = 96) -> Int8s:
    return np.random.default_rng(seed).integers(-LARGEST, LARGEST + 1, (count, dimension)).astype(np.int8)


@pytest.mark.parametrize("kind", [multiplier, NumpyProducts])
@pytest.mark.parametrize("probes", [1, 3, 64])
def test_products_are_exact(kind: type[NumpyProducts], probes: int) -> None:
    rows, signed = the_rows(1), the_rows(2, probes)
    answer = np.empty((probes, len(rows)), np.int32)
    kind(rows)((signed.astype(np.int16) + OFFSET).astype(np.uint8), answer)
    assert np.array_equal(answer, signed.astype(np.int32) @ rows.astype(np.int32).T)


def test_the_largest_sums_are_exact_too() -> None:
    rows = np.full((2, 1024), LARGEST, np.int8)
    answer = np.empty((1, 2), np.int32)
    NumpyProducts(rows)(np.full((1, 1024), OFFSET - LARGEST, np.uint8), answer)
    assert answer.tolist() == [[-1024 * LARGEST**2] * 2]


def test_the_fast_kernel_is_taken_only_where_it_is_exact() -> None:
    assert isinstance(multiplier(the_rows(3)), OrtProducts if is_exact() else NumpyProducts)


def test_the_rows_may_be_forgotten() -> None:
    rows = the_rows(4)
    expected = rows[:1].astype(np.int32) @ rows.astype(np.int32).T
    products = multiplier(rows)
    probe = (rows[:1].astype(np.int16) + OFFSET).astype(np.uint8)
    rows[:] = 0
    answer = np.empty((1, len(rows)), np.int32)
    products(probe, answer)
    assert np.array_equal(answer, expected)
