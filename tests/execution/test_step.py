"""Tests of mixmerge.execution.step: the order of steps."""

import pytest

from mixmerge.errors import SpecError
from mixmerge.execution.step import Step, in_order, needed_for


def test_inputs_come_first() -> None:
    """A step is placed after everything it builds on, wherever it was given."""
    last = Step("b", "last", inputs={"x": "a/first"})
    first = Step("a", "first")
    assert in_order([last, first]) == [first, last]


def test_a_cycle_is_named() -> None:
    """A circle of steps is refused and spelled out."""
    steps = [Step("a", "x", inputs={"in": "a/y"}), Step("a", "y", inputs={"in": "a/x"})]
    with pytest.raises(SpecError, match=r"in a circle: a/[xy] → a/[xy] → a/[xy]"):
        in_order(steps)


def test_a_missing_input_is_named() -> None:
    """An input that does not exist is refused with its role and the step that asks for it."""
    with pytest.raises(SpecError, match="a/x: its input `model` is b/none, which is not a step"):
        in_order([Step("a", "x", inputs={"model": "b/none"})])


def test_two_steps_of_one_name_are_refused() -> None:
    """Names are unique within a kind."""
    with pytest.raises(SpecError, match="a/x: two steps have this name"):
        in_order([Step("a", "x"), Step("a", "x", {"other": 1})])


def test_needed_for_follows_inputs_to_the_roots() -> None:
    """The steps wanted bring everything they build on, and nothing else."""
    steps = {
        "a/1": Step("a", "1"),
        "a/2": Step("a", "2", inputs={"x": "a/1"}),
        "a/3": Step("a", "3", inputs={"x": "a/2"}),
        "a/4": Step("a", "4", inputs={"x": "a/1"}),
    }
    assert needed_for(["a/3"], steps) == {"a/1", "a/2", "a/3"}
