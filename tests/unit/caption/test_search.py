"""Searches against every caption there could be, on tiny vocabularies."""

import itertools

import numpy as np
import pytest

from common.types import Int64s
from workers.caption.search import Float64s, NextLogProbs, Rules, search_beams, search_greedily

BEGIN, END, BANNED = 0, 1, 2
TOKENS = 5


def random_model(seed: int) -> NextLogProbs:
    """Log probabilities that depend on all that came before, the same ones every time."""

    def next_log_probs(tokens: Int64s) -> Float64s:
        rows = []
        for row in tokens.tolist():
            logits = np.random.default_rng([seed, *row]).normal(0, 2, TOKENS)
            rows.append(logits - np.log(np.exp(logits).sum()))
        return np.array(rows)

    return next_log_probs


def rules(*, min_tokens: int = 0, max_tokens: int = 4) -> Rules:
    return Rules(BEGIN, END, (BANNED,), min_tokens, max_tokens)


def worth(model: NextLogProbs, caption: list[int], given: Rules) -> float:
    """Mean log probability of a caption and, where it is not cut off, of its end."""
    whole = [*caption, END] if len(caption) < given.max_tokens else caption
    total = 0.0
    for length, token in enumerate(whole):
        total += float(model(np.array([[BEGIN, *whole[:length]]]))[0, token])
    return total / len(whole)


def every_caption(given: Rules) -> list[list[int]]:
    free = [token for token in range(TOKENS) if token not in (END, BANNED)]
    lengths = range(given.min_tokens, given.max_tokens + 1)
    return [list(each) for length in lengths for each in itertools.product(free, repeat=length)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("least", "most"), [(0, 4), (2, 4), (4, 4), (0, 1)])
def test_with_beams_enough_the_best_of_all_captions_is_found(seed: int, least: int, most: int) -> None:
    model, given = random_model(seed), rules(min_tokens=least, max_tokens=most)
    found = search_beams(model, given, beams=TOKENS**4)
    best = max(every_caption(given), key=lambda caption: worth(model, caption, given))
    assert found == best


@pytest.mark.parametrize("seed", range(20))
def test_greed_takes_the_likeliest_token_each_time(seed: int) -> None:
    model, given = random_model(seed), rules(min_tokens=1)
    found = search_greedily(model, given)
    for length in range(len(found) + (len(found) < given.max_tokens)):
        log_probs = model(np.array([[BEGIN, *found[:length]]]))[0]
        log_probs[BANNED] = -np.inf
        if length < given.min_tokens:
            log_probs[END] = -np.inf
        assert [*found, END][length] == log_probs.argmax()


def test_beams_find_what_greed_misses() -> None:
    following = {(): [0, 0, 0, 0.6, 0.4], (3,): [0.2, 0.2, 0.2, 0.2, 0.2], (4,): [0, 1, 0, 0, 0]}

    def model(tokens: Int64s) -> Float64s:
        rows = [following.get(tuple(row[1:]), [0, 1, 0, 0, 0]) for row in tokens.tolist()]
        with np.errstate(divide="ignore"):
            return np.log(np.array(rows, float))

    assert search_greedily(model, rules())[0] == 3
    assert search_beams(model, rules(), beams=2) == [4]


def test_captions_keep_to_their_length_and_never_have_banned_tokens() -> None:
    def ends_at_once(tokens: Int64s) -> Float64s:
        return np.log(np.tile([0.01, 0.5, 0.4, 0.05, 0.04], (len(tokens), 1)))

    for least in range(5):
        given = rules(min_tokens=least)
        assert search_greedily(ends_at_once, given) == [3] * least
        assert search_beams(ends_at_once, given, beams=3) == [3] * least

    def never_ends(tokens: Int64s) -> Float64s:
        return np.log(np.tile([0.01, 1e-9, 0.9, 0.08, 0.01], (len(tokens), 1)))

    assert search_greedily(never_ends, rules(max_tokens=3)) == [3, 3, 3]
    assert search_beams(never_ends, rules(max_tokens=3), beams=3) == [3, 3, 3]


def test_a_network_that_allows_nothing_gives_an_empty_caption() -> None:
    def nothing(tokens: Int64s) -> Float64s:
        return np.full((len(tokens), TOKENS), -np.inf)

    assert search_greedily(nothing, rules()) == []
    assert search_beams(nothing, rules(), beams=3) == []
