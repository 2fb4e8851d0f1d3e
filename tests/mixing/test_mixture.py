"""Which rows are drawn, and their order."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.mixing.mixture import arrange, draw
from mixmerge.records import Conversation, Message


def row(number: int, source: str = "general", language: str = "en") -> Conversation:
    question = Message(role="user", content=f"question {number}")
    answer = Message(role="assistant", content="answer " * (1 + number % 7))
    return Conversation(
        id=str(number), source=source, language=language, messages=(question, answer)
    )


def pool(size: int, source: str = "general", language: str = "en") -> list[Conversation]:
    return [row(number, source, language) for number in range(size)]


def one(_: Conversation) -> int:
    return 1


def words(conversation: Conversation) -> int:
    return len(conversation.messages[-1].content.split())


@given(st.integers(1, 20), st.integers(0, 60), st.integers(0, 5), st.integers(1, 3))
def test_rows_are_drawn_in_whole_passes(size: int, target: int, seed: int, copies: int) -> None:
    """Exactly the target is drawn, and no row is used again before every row was used as often."""
    drawn = draw(pool(size), target, size_of=one, seed=seed, most_copies=copies)
    assert len(drawn) == min(target, size * copies)
    for start in range(0, len(drawn), size):
        a_pass = [row.id for row in drawn[start : start + size]]
        assert len(set(a_pass)) == len(a_pass)
    used = Counter(row.id for row in drawn)
    assert max(used.values(), default=0) <= copies
    assert max(used.values(), default=0) - min(used[str(n)] for n in range(size)) <= 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5))
def test_a_smaller_draw_begins_a_larger_one(small: int, more: int, seed: int) -> None:
    """Draws of one seed are nested: mixtures of different shares use the same rows first."""
    first = draw(pool(20), small, size_of=one, seed=seed, most_copies=3)
    second = draw(pool(20), small + more, size_of=one, seed=seed, most_copies=3)
    assert second[: len(first)] == first


def test_the_order_of_the_pool_does_not_count() -> None:
    """The same rows in another order are drawn in the same order."""
    forward = draw(pool(50), 20, size_of=one, seed=3, most_copies=1)
    backward = draw(reversed(pool(50)), 20, size_of=one, seed=3, most_copies=1)
    assert forward == backward


def test_seeds_sources_and_languages_shuffle_differently() -> None:
    """Another seed, source or language draws another order of the same ids."""
    orders = [
        [row.id for row in draw(pool(30, *cell), 30, size_of=one, seed=seed, most_copies=1)]
        for seed, cell in [(0, ("g", "en")), (1, ("g", "en")), (0, ("s", "en")), (0, ("g", "fr"))]
    ]
    assert len({tuple(order) for order in orders}) == 4
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(str(n) for n in range(30)))}


def test_every_row_is_drawn_about_equally_often() -> None:
    """Over 2,000 seeds each of 10 rows is among 3 drawn in 30 % of them (within five sigma)."""
    drawn = Counter(
        row.id
        for seed in range(2000)
        for row in draw(pool(10), 3, size_of=one, seed=seed, most_copies=1)
    )
    sigma = (2000 * 0.3 * 0.7) ** 0.5
    assert len(drawn) == 10
    assert all(abs(count - 600) < 5 * sigma for count in drawn.values())


@given(st.integers(0, 70), st.integers(0, 5))
def test_no_row_left_over_brings_a_token_draw_nearer(target: int, seed: int) -> None:
    """Neither dropping the last row nor adding any other one comes nearer to the target."""
    rows = pool(20)
    drawn = draw(rows, target, size_of=words, seed=seed, most_copies=1)
    got = sum(words(row) for row in drawn)
    left = [words(row) for row in rows if row not in drawn]
    assert all(abs(got - target) <= abs(got + size - target) for size in left)
    assert not drawn or abs(got - target) < abs(got - words(drawn[-1]) - target)


@pytest.mark.parametrize("seed", range(20))
def test_a_long_row_leaves_no_token_target_half_empty(seed: int) -> None:
    """Among short rows, one of a thousand words keeps no draw from its target of 150 words."""
    answer = Message(role="assistant", content="answer " * 1000)
    rows = [*pool(100), row(100).model_copy(update={"messages": (answer,)})]
    drawn = draw(rows, 150, size_of=words, seed=seed, most_copies=1)
    assert sum(words(row) for row in drawn) == 150


def test_an_arrangement_keeps_every_row_and_copy() -> None:
    """Arranging is a permutation, and the same one for any order of the rows given."""
    rows = [*pool(20), *pool(10), *pool(10, "safety")]
    arranged = arrange(rows, seed=1)
    assert Counter(arranged) == Counter(rows)
    assert arrange(rows[::-1], seed=1) == arranged
    assert arrange(rows, seed=2) != arranged


def test_copies_of_a_row_stand_apart() -> None:
    """The places of copies are drawn like those of different rows: few are neighbours."""
    arranged = arrange(pool(50) * 3, seed=0)
    neighbours = sum(one.id == other.id for one, other in itertools.pairwise(arranged))
    assert neighbours <= 10


def test_adding_a_source_leaves_the_order_of_the_others() -> None:
    """Rows of the sources that were there before stand in the same order among each other."""
    before = arrange(pool(40), seed=5)
    after = arrange([*pool(40), *pool(40, "safety")], seed=5)
    assert [row for row in after if row.source == "general"] == before
    assert after[:40] != before
