"""How tokens differ, and whether the embedding has room for them."""

from typing import Any

from mixmerge.merging.inspect import inspect


def test_tokens_are_counted_by_what_became_of_them(model: Any, weights: Any) -> None:
    """Each token is in both with one id, moved, or in one model only; examples come by id."""
    folders = [
        model("a", weights(1), tokens=("same", "x", "y", "old")),
        model("b", weights(2), tokens=("same", "y", "x", "new", "newer")),
    ]
    (found,) = inspect(folders).vocabularies
    assert (found.first, found.second) == ("a", "b")
    assert (found.same, found.moved, found.only_first, found.only_second) == (1, 2, 1, 2)
    examples = [(each.token, each.first_id, each.second_id) for each in found.examples]
    assert examples == [
        ("x", 1, 2), ("y", 2, 1), ("new", None, 3), ("old", 3, None), ("newer", None, 4),
    ]  # fmt: skip


def test_equal_tokenizers_are_not_mentioned(model: Any, weights: Any) -> None:
    """Models with one tokenizer have no difference of vocabularies."""
    assert not inspect([model("a", weights(1)), model("b", weights(2))]).vocabularies


def test_tokens_without_a_row_are_noted(model: Any, weights: Any) -> None:
    """A token whose id lies beyond the embedding is named; spare rows are no fault."""
    names = ("a", "b", "c", "d", "e", "f", "g")
    found = inspect([model("a", weights(1), tokens=names), model("b", weights(1))])
    assert [each.rows for each in found.models] == [5, 5]
    assert found.notes == (
        "a: 2 tokens have an id beyond the 5 rows of the embedding, for example 'f' (5)",
    )
