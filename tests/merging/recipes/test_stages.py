"""Names of stages inside references, and the order of stages."""

from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.stages import at, order, stage_of


def test_a_stage_is_named_alone_or_before_an_adapter() -> None:
    """Its folder takes the place of the name, and the adapter stays."""
    folders = {"one": Path("/made/one")}
    assert [stage_of(text) for text in ("one", "one+lora", "org/one")] == ["one", "one", "org/one"]
    assert at("one", folders) == "/made/one"
    assert at("one+./lora", folders) == "/made/one+./lora"
    assert at("org/one+lora", folders) == "org/one+lora"


def test_a_stage_comes_after_those_it_uses() -> None:
    """The order is the same in every process."""
    uses = {"c": ("b+x", "m"), "a": ("m",), "b": ("a", "a+y"), "d": ("c", "a")}
    assert order(uses) == ["a", "b", "c", "d"]


def test_a_circle_is_named() -> None:
    """Every stage in it, in order."""
    with pytest.raises(SpecError, match=r"`(a` uses `b` uses `a|b` uses `a` uses `b)`"):
        order({"a": ("b",), "b": ("a",)})
