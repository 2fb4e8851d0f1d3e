"""What methods declare, and which values they refuse."""

import inspect
import math
import re
from typing import Any

import pytest

from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.combine import SparseMerge
from mixmerge.merging.methods.method import Parameter, choice, number, switch


def arguments(name: str, **given: Any) -> dict[str, Any]:
    """Return values for two models: the defaults, 1 where there is none, and the given ones."""
    values: dict[str, Any] = {}
    for parameter in METHODS[name].parameters:
        default = 1.0 if parameter.default is None else parameter.default
        values[parameter.argument] = (default,) * 2 if parameter.per_model else default
    return {**values, **given}


@pytest.mark.parametrize("name", METHODS)
def test_a_declaration_fits_its_function(name: str) -> None:
    """Each parameter is an argument of ``merge``, and each argument a parameter."""
    method = METHODS[name]
    wanted = {parameter.argument for parameter in method.parameters}
    found = set(inspect.signature(method.merge).parameters)
    if isinstance(method.merge, SparseMerge):
        found = found - {"own"} | set(inspect.signature(method.merge.sparsify).parameters)
    assert found - {"tensor"} == wanted
    assert method.problem(arguments(name)) is None
    for parameter in method.parameters:
        if parameter.default is not None:
            assert parameter.problem(parameter.default) is None


@pytest.mark.parametrize("name", METHODS)
def test_a_method_names_its_source(name: str) -> None:
    """Each says where it was published, and is known by its own name."""
    assert METHODS[name].paper
    assert METHODS[name].name == name


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (number("weight"), math.nan, r"^must be a finite number, not nan$"),
        (number("weight"), -math.inf, r"^must be a finite number, not -inf$"),
        (number("weight"), "1", r"^must be a finite number, not '1'$"),
        (number("weight"), True, r"^must be a finite number, not True$"),
        (number("density", bounds=(0, 1)), 1.5, r"^must be from 0 to 1, not 1\.5$"),
        (switch("normalize", True), "yes", r"^must be true or false, not 'yes'$"),
        (switch("normalize", True), 2, r"^must be true or false, not 2$"),
        (switch("normalize", True), 1, r"^must be true or false, not 1$"),
        (switch("normalize", True), 0.0, r"^must be true or false, not 0\.0$"),
        (choice("variant", "original", "paper"), "new", r"^must be original or paper, not 'new'$"),
    ],
)
def test_a_wrong_value_is_refused(parameter: Parameter, value: Any, message: str) -> None:
    """The message says what was required and what was seen."""
    assert re.match(message, parameter.problem(value) or "")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("linear", {"weight": (1.0, -1.0)}, r"weights \(1, -1\) sum to zero"),
        ("slerp", {"weight": (0.5, -0.5)}, r"weights \(0\.5, -0\.5\) sum to zero"),
        ("multislerp", {"weight": (0.0, 0.0)}, r"weights \(0, 0\) sum to zero"),
        ("breadcrumbs", {"weight": (1.0, -1.0), "normalize": True}, r"sum to zero"),
        ("della_linear", {"weight": (1.0, -1.0), "normalize": True}, r"sum to zero"),
        ("ties", {"weight": (1.0, -1.0), "variant": "paper"}, r"sum to zero"),
        ("della", {"density": (0.5, 0.9)}, r"density 0\.9 with epsilon 0\.15 .* 0\.75 to 1\.05"),
        ("della_linear", {"density": (0.1, 0.5)}, r"density 0\.1 with epsilon 0\.15 .* -0\.05"),
        ("karcher", {"max_iter": 2.5}, r"`max_iter` must be a whole number, not 2\.5"),
    ],
)
def test_values_that_do_not_go_together_are_refused(
    name: str, given: dict[str, Any], message: str
) -> None:
    """What only several values together make impossible is found before a weight is read."""
    assert re.search(message, METHODS[name].problem(arguments(name, **given)) or "")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("linear", {"weight": (1.0, -1.0), "normalize": False}),
        ("multislerp", {"weight": (1.0, -1.0), "normalize_weights": False}),
        ("nuslerp", {"weight": (1.0, -1.0)}),
        ("ties", {"weight": (1.0, -1.0)}),
        ("della", {"density": (1.0, 0.0)}),
        ("karcher", {"max_iter": 20}),
    ],
)
def test_values_that_do_go_together_are_accepted(name: str, given: dict[str, Any]) -> None:
    """Weights that sum to zero, and the ends of a density, are refused only where they matter."""
    assert METHODS[name].problem(arguments(name, **given)) is None
