"""What 8 bits lose is bounded, whatever the vectors are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.index.quantize import LARGEST, OFFSET, quantize_probes, quantize_rows, unit_rows
from common.types import Float32s

VECTORS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 40)),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


@settings(max_examples=200, deadline=None)
@given(VECTORS, st.integers(0, 2**32 - 1))
def test_the_integer_product_is_off_by_no_more_than_the_bound(vectors: Float32s, seed: int) -> None:
    rows = unit_rows(vectors)
    noise = np.random.default_rng(seed).standard_normal(rows.shape).astype(np.float32)
    probes = unit_rows(np.concatenate([rows, noise, rows + 0.1 * noise]))
    packed, asked = quantize_rows(rows), quantize_probes(probes)
    products = (asked.integers.astype(np.int64) - OFFSET) @ packed.integers.astype(np.int64).T
    similarities = products * asked.scale[:, None].astype(np.float64) * packed.scale
    exact = probes.astype(np.float64) @ rows.astype(np.float64).T
    assert (np.abs(similarities - exact) <= asked.bound(packed.error)[:, None]).all()
    assert np.abs(packed.integers).max() <= LARGEST
    assert asked.integers.min() >= OFFSET - LARGEST


def test_the_bound_is_small_for_embeddings() -> None:
    rows = unit_rows(np.random.default_rng(1).standard_normal((2000, 512)).astype(np.float32))
    assert quantize_probes(rows[:8]).bound(quantize_rows(rows).error).max() < 0.025


def test_a_zero_vector_stays_zero() -> None:
    assert not unit_rows(np.zeros((1, 4), np.float32)).any()
    assert not quantize_rows(np.zeros((1, 4), np.float32)).integers.any()
