"""Whole numbers from shares: the largest-remainder method over sources and languages.

The method (Hamilton 1792; Balinski & Young, Fair Representation, 1982) gives each weight the whole
part of its ideal, and the remaining units to the largest remainders, so that the counts sum to the
total exactly. Weights are exact decimals (0.15 is 15/100, not the nearest binary number), and names
break ties: the result does not depend on the order of the arguments.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

Cell = tuple[str, str]
"""A source and a language."""


def ideals(weights: Mapping[str, float], total: int) -> dict[str, Fraction]:
    """Return each weight's exact share of ``total``.

    Raises:
        ValueError: the weights are empty or all zero, or one is negative or not finite.
    """
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}
    whole = sum(exact.values())
    if whole <= 0 or min(exact.values()) < 0:
        raise ValueError(f"weights must not be negative, and not all zero: {dict(weights)}")
    return {name: total * weight / whole for name, weight in exact.items()}


def largest_remainder(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Split ``total`` units by weight into whole numbers: the ideals, rounded down or up.

    The weights need not sum to one; the counts sum to ``total``.

    Raises:
        ValueError: the weights are empty or all zero, or one is negative or not finite.

    Example:
        >>> largest_remainder({"de": 1, "en": 1, "fr": 1}, 100)
        {'de': 34, 'en': 33, 'fr': 33}
    """
    ideal = ideals(weights, total)
    counts = {name: math.floor(value) for name, value in ideal.items()}
    by_remainder = sorted(ideal, key=lambda name: (counts[name] - ideal[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def apportion(
    size: int, shares: Mapping[str, float], language_shares: Mapping[str, float]
) -> dict[Cell, int]:
    """Split ``size`` units over source x language.

    The sources are counted first, so that their ratio is as exact as whole numbers allow. The
    remainders within a source then go to the languages furthest below their ideal over the sources
    counted so far, so that no language gets all of them.

    Returns:
        A count for every source and language, in the order of the arguments. The counts sum to
        ``size`` units (rows or tokens); each source is its largest-remainder count; each cell is
        its ideal rounded down or up; each language differs from its ideal by less than two.

    Raises:
        ValueError: weights are empty or all zero, or one is negative or not finite.

    Example:
        >>> apportion(10, {"general": 0.8, "safety": 0.2}, {"en": 1, "fr": 1})
        {('general', 'en'): 4, ('general', 'fr'): 4, ('safety', 'en'): 1, ('safety', 'fr'): 1}
    """
    units = largest_remainder(shares, size)
    language_part = ideals(language_shares, 1)
    behind = dict.fromkeys(language_shares, Fraction(0))
    counts: dict[Cell, int] = {}
    for source, source_ideal in sorted(ideals(shares, size).items()):
        ideal = {language: source_ideal * part for language, part in language_part.items()}
        rounded = {language: math.floor(value) for language, value in ideal.items()}
        for language, value in ideal.items():
            behind[language] += value - rounded[language]
        # A whole ideal has no remainder: one more unit would miss it by one.
        open_to_more = [language for language, value in ideal.items() if value.denominator > 1]
        furthest_behind = sorted(open_to_more, key=lambda language: (-behind[language], language))
        for language in furthest_behind[: units[source] - sum(rounded.values())]:
            rounded[language] += 1
            behind[language] -= 1
        counts |= {(source, language): count for language, count in rounded.items()}
    return {
        (source, language): counts[source, language] for source in shares for language in behind
    }
