"""Quotas: exact counts, a choice that does not depend on order, and what is short."""

import random
from collections import Counter
from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.synthesis.filters.rows import made_by, row

from mixmerge.synthesis.quotas import QuotaSpec, fill, value_of
from mixmerge.synthesis.row import Row

TWO = QuotaSpec.model_validate(
    {"size": 7, "shares": {"language": ["en", "hi"], "category": {"violence": 2, "fraud": 1}}}
)


def rows(**counts: int) -> list[Row]:
    """Return so many rows of each cell ``LANGUAGE_CATEGORY``."""
    return [
        row(f"{cell} {number}", language=cell.split("_")[0], category=cell.split("_")[1])
        for cell, count in counts.items()
        for number in range(count)
    ]


def test_quotas_are_filled_exactly() -> None:
    """Each cell gets its quota, the sizes sum to the whole, and the rest is left over."""
    assert sum(TWO.cells.values()) == 7
    there = rows(en_violence=5, hi_violence=5, en_fraud=5, hi_fraud=5, en_other=2, de_fraud=1)
    filled = fill(TWO, there)
    assert Counter((each.language, each.category) for each in filled.rows) == TWO.cells
    assert not filled.short
    assert (len(filled.over), len(filled.outside)) == (20 - 7, 3)
    assert filled.messages(TWO) == []


def test_short_cells_are_said() -> None:
    """The message has the cell, what there is, and what is missing; the others are filled."""
    there = rows(en_violence=1, hi_violence=9, hi_fraud=9)
    filled = fill(TWO, there)
    cells = TWO.cells
    missing = {("en", "violence"): cells["en", "violence"] - 1, ("en", "fraud"): 1}
    assert cells["en", "fraud"] == 1
    assert filled.short == missing
    assert "en/fraud: 0 of 1 rows, 1 short" in filled.messages(TWO)


def test_the_choice_follows_from_the_seed_alone() -> None:
    """The order of the rows does not matter; another seed chooses others."""
    there = rows(en_violence=30, hi_violence=30, en_fraud=30, hi_fraud=30)
    once = {each.id for each in fill(TWO, there, seed=1).rows}
    assert once != {each.id for each in fill(TWO, there, seed=2).rows}
    for seed in range(3):
        random.Random(seed).shuffle(there)
        again = fill(TWO, there, seed=1).rows
        assert {each.id for each in again} == once
        places = [there.index(each) for each in again]
        assert places == sorted(places)


def test_a_larger_quota_keeps_the_rows_of_a_smaller_one() -> None:
    """Raising the size adds rows and takes none away."""
    there = rows(en_violence=30)
    few, more = (
        {e.id for e in fill(QuotaSpec(size=size, shares={"language": ["en"]}), there).rows}
        for size in (3, 9)
    )
    assert few < more


@given(
    size=st.integers(1, 500),
    shares=st.lists(
        st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
        min_size=1,
        max_size=3,
    ),
)
def test_every_cell_is_its_share_rounded(size: int, shares: list[dict[str, int]]) -> None:
    """With any number of fields the counts sum to the size and are less than one row off."""
    names = ("language", "category", "style")
    spec = QuotaSpec.model_validate(
        {"size": size, "shares": dict(zip(names, shares, strict=False))}
    )
    assert sum(spec.cells.values()) == size
    whole = prod(sum(own.values()) for own in shares)
    for cell in product(*shares):
        share = prod(own[value] for own, value in zip(shares, cell, strict=True)) / whole
        assert abs(spec.cells[cell] - size * share) < 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("language", "hi"),
        ("category", "none"),
        ("source", "seeds"),
        ("translated", "machine"),
        ("style", "slang"),
        ("temperature", "0.7"),
        ("made_by", "none"),
        ("anything", "none"),
    ],
)
def test_a_field_is_of_the_row_its_provenance_or_its_steps(name: str, value: str) -> None:
    """Of a parameter that several steps have, the last one counts."""
    steps = [
        made_by("rephrase", parameters={"style": "formal", "temperature": 0.7}),
        made_by("again", parameters={"style": "slang"}),
    ]
    assert value_of(row("Q", language="hi", translated="machine", made_by=steps), name) == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0, "shares": {"language": ["en"]}}, "size"),
        ({"size": 1, "shares": {}}, "shares"),
        ({"size": 1, "shares": {"language": []}}, "at least one"),
        ({"size": 1, "shares": {"language": ["en", "en"]}}, "different values"),
        ({"size": 1, "shares": {"language": {"en": 0}}}, "at least one share must be positive"),
        ({"size": 1, "shares": {"language": {"en": -1, "hi": 2}}}, "greater than or equal to 0"),
        (
            {"size": 1, "shares": {a: [str(i) for i in range(400)] for a in ("x", "y")}},
            "160,000 cells",
        ),
    ],
)
def test_impossible_quotas_are_refused(settings: dict[str, Any], message: str) -> None:
    """The message has the field."""
    with pytest.raises(ValidationError, match=message):
        QuotaSpec.model_validate(settings)
