"""Exact and near duplicates, against all pairs compared one by one."""

import random
import sys
from itertools import combinations

import pytest
from tests.synthesis.filters.rows import HOSTILE, reasons, row

from mixmerge.errors import ResourceError
from mixmerge.synthesis.filters import FilterContext
from mixmerge.synthesis.filters.duplicates import DuplicatesSpec, bands
from mixmerge.synthesis.row import Row

LETTERS = {"en": [f"w{i}" for i in range(300)], "zh": [chr(0x4E00 + i) for i in range(300)]}


def corpus(language: str, seed: int, families: int = 60) -> list[Row]:
    """Return texts of 40 units in families: a text, and copies with more and more changes."""
    rng = random.Random(seed)
    space = " " if language == "en" else ""
    rows = []
    for family in range(families):
        units = rng.choices(LETTERS[language], k=40)
        for copy in range(4):
            rows.append(row(space.join(units), language=language, seed=f"{family}-{copy}"))
            place = rng.randrange(40)
            other = rng.choice([unit for unit in LETTERS[language] if unit != units[place]])
            units = [*units[:place], other, *units[place + 1 :]]
    rng.shuffle(rows)
    return rows


def jaccard(one: Row, other: Row) -> float:
    """Return the similarity of two texts by their runs of units: the reference."""
    length = 3 if one.language == "en" else 4

    def runs(text: str) -> set[tuple[str, ...]]:
        units = text.split() if one.language == "en" else list(text)
        return {tuple(units[i : i + length]) for i in range(len(units) - length + 1)}

    a, b = runs(one.prompt_text), runs(other.prompt_text)
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_near_duplicates_are_those_of_all_pairs(language: str, threshold: float) -> None:
    """Every dropped row is as near to a kept one as its reason says, and no two kept rows are."""
    rows = corpus(language, seed=1)
    found = reasons(DuplicatesSpec(threshold=threshold), rows)
    by_id = {each.id: each for each in rows}
    for each, reason in zip(rows, found, strict=True):
        if reason is not None:
            kept = by_id[reason.split()[-1]]
            said = jaccard(each, kept)
            assert said >= threshold
            assert reason == f"near duplicate: {said:.2f} of the shingles shared with row {kept.id}"
            assert found[rows.index(kept)] is None
    left = [each for each, reason in zip(rows, found, strict=True) if reason is None]
    missed = [pair for pair in combinations(left, 2) if jaccard(*pair) >= threshold]
    assert len(left) < len(rows)
    assert len(missed) <= 1  # of about a hundred pairs, each found with 99 % or more


def test_bands_find_pairs_at_the_threshold() -> None:
    """The formula of the bands is met by the share of pairs found, at every threshold."""
    for threshold in (0.05, 0.3, 0.5, 0.7, 0.9, 1.0):
        number, rows = bands(threshold)
        assert number * rows <= 256
        if threshold > 0.05:  # no choice of bands finds such pairs with certainty
            assert 1 - (1 - threshold**rows) ** number >= 0.99


def test_the_kept_rows_do_not_depend_on_the_order() -> None:
    """From any order, the same rows of each group are kept, for the same reasons."""
    rows = corpus("en", seed=2, families=20)
    spec = DuplicatesSpec(threshold=0.6)
    once = dict(zip((each.id for each in rows), reasons(spec, rows), strict=True))
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert dict(zip((each.id for each in rows), reasons(spec, rows), strict=True)) == once


def test_exact_duplicates_differ_in_form_only() -> None:
    """Case, punctuation and spaces do not matter; a symbol that distinguishes texts does."""
    rows = [
        row("What is C?", seed="1"),
        row("what  is c", seed="2"),
        row("What is C#?", seed="3"),
        row("What is C?", seed="4", language="de"),
    ]
    found = reasons(DuplicatesSpec(duplicates="exact"), rows)
    assert found[2:] == [None, None]
    first, second = sorted(rows[:2], key=lambda each: each.id)
    dropped = found[rows.index(second)]
    assert dropped == f"exact duplicate: of row {first.id}"
    assert found[rows.index(first)] is None


def test_several_answers_are_kept_if_asked() -> None:
    """Two answers to one prompt are duplicates, unless answers are compared, too."""
    rows = [row("Ask me this", "One answer", seed="1"), row("Ask me this", "Another", seed="2")]
    assert sum(reason is not None for reason in reasons(DuplicatesSpec(), rows)) == 1
    assert reasons(DuplicatesSpec(of="both"), rows) == [None, None]


def test_short_and_hostile_texts_are_compared_whole() -> None:
    """Texts without a whole shingle are near only to equal ones."""
    rows = [row("one two"), row("one three"), row("one two", seed="2"), row("one")]
    found = reasons(DuplicatesSpec(threshold=0.1), rows)
    assert [reason is None for reason in found].count(False) == 1
    hostile = [row(text, seed=str(place)) for place, text in enumerate(HOSTILE[:8] * 2)]
    # Half of them are copies.
    assert sum(reason is not None for reason in reasons(DuplicatesSpec(), hostile)) == 8


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near duplicates need an extra; exact ones do not."""
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(ResourceError, match=r"pip install 'mixmerge\[data\]'"):
        DuplicatesSpec().build(FilterContext(["en"]))
    exact = DuplicatesSpec(duplicates="exact")
    assert reasons(exact, [row("a")]) == [None]
    assert exact.requires() == ()
    assert DuplicatesSpec().requires() == ("datasketch",)
