"""The filters of a specification, applied one after the other, with counts."""

from collections import Counter

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.synthesis.filters.rows import HOSTILE, row

from mixmerge.synthesis import filters
from mixmerge.synthesis.filters import (
    FILTERS,
    AnyFilter,
    FilterContext,
    apply_filters,
    build_filters,
)
from mixmerge.synthesis.filters.filter import FilterSpec, texts

LISTED: TypeAdapter[list[FilterSpec]] = TypeAdapter(list[AnyFilter])
HERE = FilterContext(["en"])


def test_filters_are_applied_in_order_and_counted() -> None:
    """Each filter sees what those before it left, and every dropped row has its reason."""
    specs = LISTED.validate_python(
        ["personal_data", {"length": "words", "prompt": [3, None]}, {"duplicates": "exact"}]
    )
    rows = [
        row("a@b.org"),  # too short, too, but dropped before
        row("Too short"),
        row("Bake me a cake"),
        row("bake me a cake!"),
        row("Something else entirely"),
    ]
    result = apply_filters(build_filters(specs, HERE), rows)
    assert len(result.rows) == 2
    assert result.counts == Counter(
        {
            ("personal_data", "e-mail address"): 1,
            ("length", "prompt too short"): 1,
            ("duplicates", "exact duplicate"): 1,
        }
    )
    dropped = {each.step: each for each in result.dropped}
    assert dropped["length"].detail == "2 words, the bound is 3"
    kept = next(each for each in result.rows if "cake" in each.prompt_text)
    assert dropped["duplicates"].detail == f"of row {kept.id}"
    assert dropped["duplicates"].row.id != kept.id


def test_rows_keep_their_order_whatever_it_is() -> None:
    """The same rows are kept from any order, in that order."""
    specs = LISTED.validate_python(["duplicates", {"length": "characters", "prompt": [0, 40]}])
    rows = [row(f"Question number {number % 7}, please", seed=str(number)) for number in range(20)]
    built = build_filters(specs, HERE)
    once = apply_filters(built, rows).rows
    again = apply_filters(built, rows[::-1]).rows
    assert [each.id for each in again] == [each.id for each in once[::-1]]


def test_only_overlap_reads_seeds() -> None:
    """Seeds are compared with evaluations before anything is paid for; nothing else is asked."""
    assert [key for key, spec in FILTERS.items() if spec.reads_seeds] == ["overlap"]
    specs = LISTED.validate_python(["personal_data", "language"])
    assert build_filters(specs, HERE, seeds=True) == []


def test_what_was_not_judged_is_counted() -> None:
    """A row that a filter cannot judge is kept, and the result says how many there were."""
    specs = LISTED.validate_python([{"language": "prompt"}])
    result = apply_filters(build_filters(specs, HERE), [row("Hi"), row("2 + 2 = ?")])
    assert len(result.rows) == 2
    assert result.unread == {("language", "prompt too short to identify its language"): 2}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lenght", "a filter has one of the keys `language`, `length`"),
        ({"length": "bytes", "prompt": [1, 2]}, "length"),
        ({"duplicates": "near", "treshold": 0.5}, "treshold"),
        ({"duplicates": "near", "threshold": 1.5}, "threshold"),
    ],
)
def test_a_wrong_specification_is_refused(given: object, message: str) -> None:
    """Unknown filters, units and keys are errors that name them."""
    with pytest.raises(ValidationError, match=message):
        LISTED.validate_python([given])


def test_a_filter_is_one_file_and_one_line() -> None:
    """Every file that is named defines the filter of that key."""
    for file in filters._FILES:
        assert FILTERS[file].key == file
        assert file in FILTERS[file].model_fields


def test_the_texts_of_a_pair_have_names() -> None:
    """Messages say which of the two answers is meant."""
    pair = row("Q", "good", "bad")
    assert texts(pair, "both") == [
        ("prompt", "Q"),
        ("chosen answer", "good"),
        ("rejected answer", "bad"),
    ]
    assert texts(row("Q", "A"), "answer") == [("answer", "A")]
    assert texts(row("Q"), "answer") == []


def test_hostile_texts_pass_through_every_filter() -> None:
    """Empty, mixed-direction and very long texts are judged like any other."""
    specs = LISTED.validate_python(
        [
            "personal_data",
            {"duplicates": "near"},
            {"length": "words", "prompt": [0, 400_000]},
            {"language": "both", "sure": 1},
        ]
    )
    rows = [row(text, seed=str(place)) for place, text in enumerate(HOSTILE)]
    result = apply_filters(build_filters(specs, HERE), rows)
    assert {(each.step, each.reason) for each in result.dropped} <= {
        ("duplicates", "exact duplicate"),
        ("language", "wrong language"),
    }
    assert len(result.rows) + len(result.dropped) == len(HOSTILE)
