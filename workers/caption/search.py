"""The likeliest caption, found token by token: greedily, or along several beams.

Pure: how likely each next token is, is asked of a function. A caption's worth is the mean log probability of its
tokens, the end counted as one, as in Hugging Face's beam search with a length penalty of 1.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from common.types import Int64s

Float64s = npt.NDArray[np.float64]

NextLogProbs = Callable[[Int64s], Float64s]
"""(n, length) tokens, the begin first, to (n, tokens) log probabilities of the next one."""

_NEVER: Final = -np.inf


@dataclass(frozen=True, slots=True)
class Rules:
    """What a caption is made of.

    Attributes:
        begin, end: tokens.
        banned: tokens that are never chosen.
        min_tokens, max_tokens: without begin and end.
    """

    begin: int
    end: int
    banned: Collection[int]
    min_tokens: int
    max_tokens: int


def search_greedily(next_log_probs: NextLogProbs, rules: Rules) -> list[int]:
    """The likeliest next token, again and again, until the end or the greatest length.

    Returns:
        Tokens without begin and end; of equally likely ones that with the smaller id is taken.
    """
    chosen: list[int] = []
    while len(chosen) < rules.max_tokens:
        (log_probs,) = _allowed(next_log_probs, [(0.0, tuple(chosen))], rules)
        token = int(np.argmax(log_probs))
        if token == rules.end or log_probs[token] == _NEVER:
            break
        chosen.append(token)
    return chosen


def search_beams(next_log_probs: NextLogProbs, rules: Rules, *, beams: int) -> list[int]:
    """The best caption along the `beams` best beginnings of each length.

    Returns:
        Tokens without begin and end.
    """
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    best: tuple[int, ...] = ()
    best_worth = _NEVER
    for length in range(rules.max_tokens):
        log_probs = _allowed(next_log_probs, live, rules)
        totals = np.array([[total] for total, _ in live]) + log_probs
        flat = totals.reshape(-1)
        # twice as many as beams, so that enough are left when every beam could end here
        ranked = np.argsort(-flat, kind="stable")[: 2 * beams]
        grown: list[tuple[float, tuple[int, ...]]] = []
        for rank, place in enumerate(ranked):
            total = float(flat[place])
            if total == _NEVER or len(grown) == beams:
                break
            row, token = divmod(int(place), totals.shape[1])
            if token != rules.end:
                grown.append((total, (*live[row][1], token)))
            elif rank < beams and total / (length + 1) > best_worth:
                best, best_worth = live[row][1], total / (length + 1)
        if not grown:
            break
        live = grown
        if best_worth >= max(total for total, _ in live) / rules.max_tokens:  # no beam can become better any more
            return list(best)
    if live[0][1] and live[0][0] / len(live[0][1]) > best_worth:
        best = live[0][1]
    return list(best)


def _allowed(next_log_probs: NextLogProbs, live: list[tuple[float, tuple[int, ...]]], rules: Rules) -> Float64s:
    """(beams, tokens) log probabilities, minus infinity for what may not come next."""
    tokens = np.array([(rules.begin, *chosen) for _, chosen in live], np.int64)
    log_probs = np.array(next_log_probs(tokens), np.float64)
    log_probs[:, sorted(rules.banned)] = _NEVER
    if tokens.shape[1] - 1 < rules.min_tokens:
        log_probs[:, rules.end] = _NEVER
    return log_probs
