"""How varied a list of texts is: distinct n-grams, and how alike texts are.

``distinct_n`` is the share of different n-grams among all n-grams of words (Li et al. 2016,
arXiv:1510.03055). It falls with the number of words, so both sides are cut to the same number.
``similarity`` is the mean Jaccard similarity of the character trigrams of two texts: 1 if all are
the same text, near 0 if they share nothing. It needs no spaces between words.
"""

import random
from collections.abc import Sequence

_MOST_PAIRS = 2000
"""Pairs of texts that are compared, drawn with a fixed seed: a mean of so many is within 0.02."""


def diversity(before: Sequence[str], after: Sequence[str]) -> dict[str, float]:
    """Return the measures of texts before and after a step, if there are texts enough.

    Example:
        >>> diversity(["how do I bake bread"], ["bake me bread", "how is bread baked"])
        {'distinct_2_before': 1.0, 'distinct_2_after': 1.0, 'similarity_after': 0.286}
    """
    words = min(_words(before), _words(after))
    found = {
        "distinct_2_before": distinct(before, 2, words),
        "distinct_2_after": distinct(after, 2, words),
        "similarity_before": similarity(before),
        "similarity_after": similarity(after),
    }
    return {name: round(value, 3) for name, value in found.items() if value is not None}


def _words(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)


def distinct(texts: Sequence[str], n: int, words: int) -> float | None:
    """Return the share of different n-grams in the first ``words`` words; None without n-grams."""
    grams: list[tuple[str, ...]] = []
    left = words
    for text in texts:
        own = text.casefold().split()[:left]
        left -= len(own)
        grams += [tuple(own[start : start + n]) for start in range(len(own) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def similarity(texts: Sequence[str]) -> float | None:
    """Return the mean similarity of two of the texts; None of fewer than two."""
    grams = [{text[start : start + 3] for start in range(len(text) - 2)} for text in texts]
    places = [(i, j) for i, a in enumerate(grams[:64]) for j in range(i) if a and grams[j]]
    if len(texts) > 64:
        draw = random.Random(0)
        drawn = (draw.sample(range(len(texts)), 2) for _ in range(_MOST_PAIRS))
        places = [(i, j) for i, j in drawn if grams[i] and grams[j]]
    alike = [len(grams[i] & grams[j]) / len(grams[i] | grams[j]) for i, j in places]
    return sum(alike) / len(alike) if alike else None
