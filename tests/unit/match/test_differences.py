"""Two indexes side by side, by plain arithmetic."""

import numpy as np
import pytest

from common.types import Candidate, Int64s
from tests.builders import a_unit_vector
from workers.match import differences
from workers.match.decide import decide
from workers.match.differences import UNKNOWN, Answers, References, answer, choose_probes


def ask(references: References, probes: object, *, margin: float = 0.05, own: Int64s | None = None) -> Answers:
    return answer(
        references,
        np.asarray(probes, np.float32),
        min_similarity=0.5,
        min_margin=margin,
        own_rows=own,
        check=lambda: None,
    )


def some_references(subjects: int = 6, rows: int = 3) -> References:
    embeddings = np.array([a_unit_vector(seed=seed) for seed in range(subjects * rows)], np.float32)
    return References(embeddings, np.repeat(np.arange(subjects), rows).astype(np.int32))


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_it_decides_as_a_search_does(margin: float) -> None:
    references = some_references()
    probes = np.array([a_unit_vector(seed=seed) for seed in range(100, 200)], np.float32)
    found = ask(references, probes, margin=margin)
    for probe, subject, similarity in zip(probes, found.subject, found.similarity, strict=True):
        best = [float((references.embeddings[references.subject == s] @ probe).max()) for s in range(6)]
        order = sorted(range(6), key=lambda s: -best[s])
        candidates = [Candidate(str(s), best[s]) for s in order]
        decision = decide(candidates, min_similarity=0.5, min_margin=margin)
        assert (None if subject == UNKNOWN else str(subject)) == decision.subject_id
        assert similarity == pytest.approx(best[order[0]], abs=1e-6)


def test_blocks_may_end_inside_a_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    references = some_references()
    probes = np.array([a_unit_vector(seed=seed) for seed in range(100, 140)], np.float32)
    own = np.arange(18, dtype=np.int64)
    whole, self_whole = ask(references, probes), ask(references, references.embeddings, own=own)
    monkeypatch.setattr(differences, "_BLOCK_ROWS", 4)
    monkeypatch.setattr(differences, "_BLOCK_BYTES", 100)
    parts, self_parts = ask(references, probes), ask(references, references.embeddings, own=own)
    for a, b in ((whole, parts), (self_whole, self_parts)):
        assert (a.subject == b.subject).all()
        assert a.similarity == pytest.approx(b.similarity, abs=1e-6)


def test_a_reference_is_not_compared_with_itself() -> None:
    references = some_references(rows=1)
    own = np.arange(6, dtype=np.int64)
    assert (ask(references, references.embeddings).subject == own).all()
    assert (ask(references, references.embeddings, own=own).similarity < 0.999).all()


def test_the_only_reference_of_a_gallery_has_nobody_to_match() -> None:
    references = some_references(subjects=1, rows=1)
    alone = ask(references, references.embeddings, own=np.zeros(1, np.int64))
    assert (alone.subject.tolist(), alone.similarity.tolist()) == ([UNKNOWN], [-np.inf])
    assert ask(references, references.embeddings).subject.tolist() == [0]


def test_an_empty_gallery_knows_nobody() -> None:
    nobody = References(np.zeros((0, 8), np.float32), np.zeros(0, np.int32))
    assert ask(nobody, [a_unit_vector()]).subject.tolist() == [UNKNOWN]


@pytest.mark.parametrize(("rows", "most", "count"), [(0, 5, 0), (5, 5, 5), (1000, 7, 7)])
def test_probes_are_spread_and_bounded(rows: int, most: int, count: int) -> None:
    chosen = choose_probes(rows, most).tolist()
    assert len(set(chosen)) == count
    assert chosen == sorted(chosen)
    assert all(0 <= one < rows for one in chosen)
