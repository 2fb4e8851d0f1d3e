"""The examples of the documentation work as printed."""

import re
from pathlib import Path

import yaml

from mixmerge.merging.methods import METHODS
from mixmerge.merging.recipes.recipe_file import read_recipe
from mixmerge.merging.spec import MergeSpec

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
    assert [spec.method for spec in specs] == ["slerp", "linear", "linear", "slerp", "ties"]


def test_every_method_is_named() -> None:
    """The page names each method."""
    assert all(f"`{name}`" in PAGE for name in METHODS)
