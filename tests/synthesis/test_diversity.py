"""Tests of mixmerge.synthesis.diversity."""

import pytest

from mixmerge.synthesis.diversity import distinct, diversity, similarity


def test_distinct_n_is_the_share_of_different_n_grams() -> None:
    """By hand: of the bigrams `a b`, `b a`, `a b` two are different; only so many words count."""
    assert distinct(["a b a b"], 2, 4) == pytest.approx(2 / 3)
    assert distinct(["a b", "A B"], 2, 4) == pytest.approx(1 / 2)
    assert distinct(["a b a b"], 2, 2) == 1
    assert distinct(["a"], 2, 1) is None


def test_similarity_is_the_mean_jaccard_of_trigrams() -> None:
    """By hand, and in scripts without spaces; texts too short to compare do not count."""
    assert similarity(["abcd", "bcde"]) == pytest.approx(1 / 3)  # abc bcd; bcd cde
    assert similarity(["你好吗朋友", "你好吗朋友", "再见"]) == 1
    assert similarity(["abc"]) is None


def test_many_texts_are_compared_in_a_sample() -> None:
    """The mean of 2,000 pairs is near that of all, and the same each time."""
    texts = [f"text {number:03d} {'abc' if number % 2 else 'xyz'}" for number in range(100)]
    every = [similarity([a, b]) for i, a in enumerate(texts) for b in texts[:i]]
    assert similarity(texts) == pytest.approx(sum(filter(None, every)) / len(every), abs=0.02)
    assert similarity(texts) == similarity(texts)


def test_copies_show_in_both_measures() -> None:
    """A model that repeats itself has less distinct words and more similar texts."""
    seeds = ["how do I bake bread", "where is the station", "why is the sky blue"]
    found = diversity(seeds, ["bake bread now"] * 3)
    assert found["distinct_2_after"] < found["distinct_2_before"]
    assert found["similarity_after"] == 1 > found["similarity_before"]
