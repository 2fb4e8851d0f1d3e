"""Gradients and filters."""

import pytest
from pydantic import TypeAdapter, ValidationError

from mixmerge.merging.recipes.sections import Setting, leaves, value_for

SETTING: TypeAdapter[Setting] = TypeAdapter(Setting)


@pytest.mark.parametrize(
    ("depth", "expected"), [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.75, 2.0), (1.0, 4.0)]
)
def test_a_gradient_is_piecewise_linear(depth: float, expected: float) -> None:
    """Values are spread evenly over the depth, with straight lines between."""
    assert value_for(SETTING.validate_python([1, 0, 4]), "w", depth) == expected


def test_a_gradient_of_switches_steps() -> None:
    """Words and switches are picked, not interpolated."""
    setting = SETTING.validate_python([True, False])
    assert [value_for(setting, "w", depth) for depth in (0.0, 0.99, 1.0)] == [True, True, False]


def test_the_first_matching_rule_counts() -> None:
    """A filter is a part of the name; ``*`` and no filter match everything."""
    setting = SETTING.validate_python(
        [{"filter": "self_attn", "value": [0, 1]}, {"filter": "*", "value": 0.5}, {"value": 9}]
    )
    assert value_for(setting, "layers.1.self_attn.q", 1.0) == 1
    assert value_for(setting, "layers.1.mlp.up", 1.0) == 0.5
    assert leaves(setting) == [0, 1, 0.5, 9]


def test_no_matching_rule_gives_no_value() -> None:
    """The next level decides where no rule matches."""
    setting = SETTING.validate_python([{"filter": "mlp", "value": 1}])
    assert value_for(setting, "norm.weight", 0.0) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "at least one value"),
        ([{"value": 1}, 2], "not both"),
        ([1, "a"], "all numbers"),
        ([True, 0.5], "all numbers, or all switches"),
        ({"filter": "a"}, "value\n  Field required"),
        (None, "one value or a list"),
        ([[1]], "one value or a list"),
        ([{"filter": "a", "valu": 1}], "valu"),
    ],
)
def test_what_is_no_setting_is_refused(value: object, message: str) -> None:
    """The message says what a setting looks like."""
    with pytest.raises(ValidationError, match=message):
        SETTING.validate_python(value)
