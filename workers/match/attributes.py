"""One guess at somebody out of several."""

from collections.abc import Iterable

from common.records import Attributes


def mean_attributes(guesses: Iterable[tuple[Attributes | None, float]]) -> Attributes | None:
    """The weighted mean of guesses: it errs less than a single one.

    Args:
        guesses: each with its weight >= 0; None has none. Where all weights are 0, all count alike.

    Returns:
        None where nothing was guessed.
    """
    known = [(guess, weight) for guess, weight in guesses if guess is not None]
    if not known:
        return None
    total = sum(weight for _, weight in known)
    shares = [weight / total if total > 0 else 1 / len(known) for _, weight in known]
    return Attributes(
        age=sum(share * guess.age for (guess, _), share in zip(known, shares, strict=True)),
        female_score=sum(share * guess.female_score for (guess, _), share in zip(known, shares, strict=True)),
    )
