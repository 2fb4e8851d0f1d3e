"""Whole counts from shares."""

import itertools
import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixmerge.mixing.apportion import apportion, largest_remainder

LANGUAGES = ["ar", "en", "es", "fr", "hi", "ru"]

weights = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 1000), min_size=1, max_size=6
).filter(lambda table: sum(table.values()) > 0)
sizes = st.integers(0, 5000)


def ideal(table: dict[str, int], name: str, total: int) -> Fraction:
    return Fraction(total * table[name], sum(table.values()))


@given(weights, sizes)
def test_counts_sum_to_the_total_within_one_of_the_ideal(table: dict[str, int], total: int) -> None:
    """Counts sum to the total exactly and each is its ideal rounded down or up."""
    counts = largest_remainder(table, total)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        assert count in (
            math.floor(ideal(table, name, total)),
            math.ceil(ideal(table, name, total)),
        )


@given(weights, sizes, st.randoms(use_true_random=False))
def test_the_order_of_the_weights_does_not_count(
    table: dict[str, int], total: int, random: Random
) -> None:
    """Permuted weights give every name the same count."""
    items = list(table.items())
    random.shuffle(items)
    assert largest_remainder(dict(items), total) == largest_remainder(table, total)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=2), st.integers(0, 40))
def test_largest_remainder_is_nearest_to_the_ideal(table: dict[str, int], total: int) -> None:
    """No other whole numbers with that sum are nearer to the ideal in the sum of distances."""

    def distance(counts: dict[str, int]) -> Fraction:
        return sum((abs(counts[name] - ideal(table, name, total)) for name in table), Fraction(0))

    counts = largest_remainder(table, total)
    choices = [
        [math.floor(ideal(table, name, total)), math.ceil(ideal(table, name, total))]
        for name in table
    ]
    others = [
        dict(zip(table, choice, strict=True))
        for choice in itertools.product(*choices)
        if sum(choice) == total
    ]
    assert distance(counts) == min(distance(other) for other in others)


def test_weights_are_the_decimals_that_were_written() -> None:
    """0.3 and 0.7 of 5 tie at 1.5 and 3.5 and go by name, though as binary numbers they do not."""
    assert largest_remainder({"b": 0.3, "a": 0.7}, 5) == {"a": 4, "b": 1}
    assert largest_remainder({"a": 0.3, "b": 0.7}, 5) == {"a": 2, "b": 3}
    assert largest_remainder({"a": 0.15, "b": 0.85}, 100) == {"a": 15, "b": 85}


@pytest.mark.parametrize("bad", [{}, {"a": 0.0}, {"a": 2.0, "b": -1.0}])
def test_impossible_weights_are_refused(bad: dict[str, float]) -> None:
    """Empty, all-zero and negative weights raise instead of giving some count."""
    with pytest.raises(ValueError, match="weights must not be negative, and not all zero"):
        largest_remainder(bad, 10)


@given(weights, weights, sizes)
@example({"a": 3, "b": 2}, {"x": 1, "y": 1, "z": 2}, 5)
def test_a_two_way_split_is_exact_by_source_and_near_by_cell_and_language(
    shares: dict[str, int], languages: dict[str, int], size: int
) -> None:
    """Cells sum to the size and to the sources' counts; cells are within one, languages within two.

    A share of zero gives zero.
    """
    counts = apportion(size, shares, languages)
    assert sum(counts.values()) == size
    by_source = largest_remainder(shares, size)
    for source in shares:
        assert sum(counts[source, language] for language in languages) == by_source[source]
    for (source, language), count in counts.items():
        exact = ideal(shares, source, size) * ideal(languages, language, 1)
        assert abs(count - exact) < 1
        assert count == 0 or exact > 0
    for language in languages:
        total = sum(counts[source, language] for source in shares)
        assert abs(total - ideal(languages, language, size)) < 2


@given(weights, weights, sizes)
def test_a_two_way_split_does_not_depend_on_order(
    shares: dict[str, int], languages: dict[str, int], size: int
) -> None:
    """Reversed sources and languages give every cell the same count."""
    reversed_counts = apportion(
        size, dict(reversed(shares.items())), dict(reversed(languages.items()))
    )
    assert reversed_counts == apportion(size, shares, languages)


def test_remainders_do_not_pile_up_in_one_language() -> None:
    """Ten rows of two equal sources in three languages are 5 and 5, and 4, 3, 3 by language."""
    counts = apportion(10, {"a": 1, "b": 1}, {"en": 1, "fr": 1, "hi": 1})
    assert [sum(counts[s, lang] for lang in ("en", "fr", "hi")) for s in "ab"] == [5, 5]
    assert sorted(counts["a", lang] + counts["b", lang] for lang in ("en", "fr", "hi")) == [3, 3, 4]


@pytest.mark.parametrize(("share", "safety"), [(0, 0), (15, 300), (100, 2000)])
def test_the_mixtures_of_the_paper_are_exact(share: int, safety: int) -> None:
    """0, 15 and 100 % safety of 2,000 rows in six languages are 0, 300 and 2,000 rows."""
    counts = apportion(
        2000, {"safety": share, "general": 100 - share}, dict.fromkeys(LANGUAGES, 1.0)
    )
    assert sum(counts["safety", language] for language in LANGUAGES) == safety
