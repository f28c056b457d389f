"""An index lists every row that can decide the answer, through any history of changes."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.index import rows as rows_module
from common.index.quantize import unit_rows
from common.index.ranking import best_owners, exact_similarities
from common.index.rows import RowIndex, Rows
from common.types import Float32s

DIMENSION = 24
Answer = list[tuple[int, bytes, float]]


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BLOCK_ROWS", 32)
        yield


def some_rows(seed: int, count: int, owners: int) -> Rows:
    """Rows of which some are alike, and some equal; names and owners may end in zero bytes."""
    random = np.random.default_rng(seed)
    embeddings = unit_rows(random.standard_normal((count, DIMENSION)).astype(np.float32)).astype(np.float16)
    if count > 4:
        embeddings[random.integers(0, count, count // 4)] = embeddings[0]
    names = [random.bytes(15) + b"\0" for _ in range(count)]
    owned = [int(number).to_bytes(2, "big") + bytes(14) for number in random.integers(1, owners + 1, count)]
    return Rows(np.array(names, "S16"), np.array(owned, "S16"), embeddings)


def the_truth(rows: Rows, probes: Float32s, limit: int) -> Answer:
    numbers, places = np.divmod(np.arange(len(probes) * len(rows)), max(1, len(rows)))
    similarities = exact_similarities(rows.embeddings[places], probes[numbers])
    return list(zip(*map(list, best_owners(numbers, rows.owners[places], similarities, limit=limit)), strict=True))


def the_answer(index: RowIndex, rows: Rows, probes: Float32s, limit: int) -> Answer:
    listed = index.scan(probes, limit=limit)
    place_of = {name: place for place, name in enumerate(rows.names.tolist())}
    places = np.array([place_of[name] for name in listed.rows.tolist()], np.int64)
    similarities = exact_similarities(rows.embeddings[places], probes[listed.probes])
    answer = best_owners(listed.probes, rows.owners[places], similarities, limit=limit)
    return list(zip(*map(list, answer), strict=True))


def take(rows: Rows, places: np.ndarray) -> Rows:
    return Rows(rows.names[places], rows.owners[places], rows.embeddings[places])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 150),
    owners=st.integers(1, 60),
    limit=st.integers(1, 8),
    probes=st.integers(1, 70),
    parts=st.integers(1, 5),
)
def test_the_answer_is_that_of_brute_force(
    seed: int, count: int, owners: int, limit: int, probes: int, parts: int
) -> None:
    rows = some_rows(seed, count, owners)
    asked = unit_rows(np.random.default_rng(seed).standard_normal((probes, DIMENSION)).astype(np.float32))
    asked[: min(count, probes)] = unit_rows(rows.embeddings[: min(count, probes)])
    index = RowIndex.build(take(rows, part) for part in np.array_split(np.arange(count), parts))
    assert len(index) == count
    assert the_answer(index, rows, asked, limit) == the_truth(rows, asked, limit)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), steps=st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=8))
def test_rows_come_and_go(seed: int, steps: list[tuple[bool, int]]) -> None:
    every = some_rows(seed, 400, 40)
    random = np.random.default_rng(seed)
    asked = unit_rows(every.embeddings[:5].astype(np.float32) + np.float32(0.05))
    there = np.arange(100)
    coming = 100
    index = RowIndex.build([take(every, there)])
    for is_added, count in steps:
        if is_added:
            new = np.arange(coming, min(400, coming + count))
            coming += len(new)
            index = index.with_rows(take(every, new))
            there = np.concatenate([there, new])
        else:
            gone = random.permutation(there)[:count]
            index = index.without(np.concatenate([every.names[gone], every.names[399:]]))
            there = np.setdiff1d(there, np.append(gone, 399))
        rows = take(every, there)
        assert len(index) == len(there)
        assert the_answer(index, rows, asked, 5) == the_truth(rows, asked, 5)


def test_changes_make_another_index() -> None:
    rows = some_rows(1, 100, 20)
    index = RowIndex.build([rows])
    index.without(rows.names)
    index.with_rows(some_rows(2, 50, 20))
    assert the_answer(index, rows, unit_rows(rows.embeddings[:3]), 4) == the_truth(
        rows, unit_rows(rows.embeddings[:3]), 4
    )


def test_an_index_that_lost_most_of_its_rows_is_worn() -> None:
    rows = some_rows(1, 128, 20)
    index = RowIndex.build([rows])
    assert not index.without(rows.names[:32]).is_worn
    assert index.without(rows.names[:80]).is_worn


def test_few_rows_are_listed_where_people_are_told_apart() -> None:
    random = np.random.default_rng(5)
    embeddings = unit_rows(random.standard_normal((2000, 512)).astype(np.float32))
    names = np.array([random.bytes(16) for _ in embeddings], "S16")
    index = RowIndex.build([Rows(names, names, embeddings)])
    mates = unit_rows(
        embeddings[:10] + np.float32(0.5 / 512**0.5) * random.standard_normal((10, 512)).astype(np.float32)
    )
    listed = index.scan(mates, limit=1)
    assert listed.rows.tolist() == names[:10].tolist()
