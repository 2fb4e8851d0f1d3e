"""The examples of the documentation work as printed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge.merge.methods import METHODS
from mixmerge.merge.methods.method import Tensors
from mixmerge.merge.recipe_file import read_recipe
from mixmerge.merge.spec import MergeSpec

PAGE = (Path(__file__).parents[2] / "docs" / "merge.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_recipe_is_valid(tmp_path: Path) -> None:
    """The first YAML block is a mergekit recipe that we read."""
    (tmp_path / "r.yml").write_text(blocks("yaml")[0])
    assert read_recipe(tmp_path / "r.yml").method == "ties"


def test_every_recipe_is_valid(tmp_path: Path) -> None:
    """Slices and stages as well: every block that names a method of mergekit's."""
    recipes = [block for block in blocks("yaml") if "merge_method" in block]
    assert len(recipes) >= 3
    for block in recipes:
        (tmp_path / "r.yml").write_text(block)
        assert read_recipe(tmp_path / "r.yml").models


def test_the_lines_of_a_study_file_are_valid() -> None:
    """Each line of the second YAML block is a specification."""
    lines = re.sub(r"\s+#.*", "", blocks("yaml")[1]).replace(",\n", ",").splitlines()
    specs = [MergeSpec.model_validate(yaml.safe_load(line)) for line in lines]
    assert [spec.method for spec in specs] == ["slerp", "linear", "slerp", "ties"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_and_parameter_is_described(name: str) -> None:
    """The table has a row for each method with its parameters and defaults."""
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    if "the same" not in row:
        assert all(f"`{parameter.name}`" in row for parameter in METHODS[name].parameters)


def test_the_worked_example_of_a_method_runs() -> None:
    """The file that shows how to add a method does what it says."""
    scope: dict[str, Any] = {}
    exec(blocks("python")[1], scope)  # noqa: S102
    base, model = np.zeros(3, np.float32), np.array([0.5, -0.001, 0.0], np.float32)
    tensors = Tensors([model], base, lambda _: np.empty(0, np.uint32))
    got = scope["METHOD"].combine(tensors, limit=0.01)
    assert got.tolist() == pytest.approx([0.01, -0.001, 0.0])
