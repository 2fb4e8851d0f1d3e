"""The page on methods says what the code does, and its example runs."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.merging.methods.arrays import merge_arrays

from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method, Parameter

PAGE = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")


def shown(parameter: Parameter) -> str:
    """Return a parameter as the page's tables show it."""
    name = f"**`{parameter.name}`**" if parameter.per_model else f"`{parameter.name}`"
    if parameter.default is None:
        return name
    default = parameter.default
    text = str(default).lower() if isinstance(default, (bool, str)) else f"{default:g}"
    return f"{name} ({text})"


def models(method: Method) -> str:
    """Return how many models a method takes, as the page shows it."""
    fewest, most = method.models
    return f"{fewest} or more" if most is None else str(most)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_described(name: str) -> None:
    """Each method has one row with all its parameters, defaults and numbers of models."""
    tables, _ = PAGE.split("## Where they differ")
    (row,) = re.findall(rf"^\| `{name}` \|.*$", tables, re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    parameters = ", ".join(shown(parameter) for parameter in METHODS[name].parameters) or "none"
    assert parameters in cells
    if len(cells) == 6:
        base = METHODS[name].base
        assert cells[3:5] == ["–" if base == "none" else base, models(METHODS[name])]
    else:
        assert (METHODS[name].base, METHODS[name].models) == ("required", (1, None))


def test_the_example_of_a_new_method_runs() -> None:
    """The file that shows how to add a method does what its docstring says, over many tiles."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(example, scope)  # noqa: S102
    rng = np.random.default_rng(0)
    base, *models = rng.standard_normal((3, 300, 501), dtype=np.float32)
    got = merge_arrays(scope["METHODS"][0], models, base, limit=0.5)
    change = np.mean([model.astype(np.float64) - base for model in models], axis=0)
    limit = 0.5 * np.sqrt((change**2).mean())
    assert np.abs(got - (base + np.clip(change, -limit, limit))).max() < 2e-6
