"""The recipes, one file each. To add one, write its file and name it in `_FILES`.

A file defines ``RECIPE``, a subclass of `Recipe` whose field of the same name as its key holds its
main setting.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mixmerge.spec_model import one_of
from mixmerge.synthesis.recipes.recipe import Recipe

__all__ = ["RECIPES", "AnyRecipe", "Recipe"]

_FILES = (
    "rephrase",
    "benign_twins",
    "translate",
    "answer",
    "contrast",
    "pairs",
)

RECIPES: dict[str, type[Recipe]] = {
    file: import_module(f"{__name__}.{file}").RECIPE for file in _FILES
}
"""By their key in a specification."""

if TYPE_CHECKING:
    AnyRecipe = Recipe
else:
    AnyRecipe = one_of(RECIPES, "recipe")
    """``{rephrase: 4}``, ``{translate: [hi, ar]}``, ``{answer: safe}``, …"""
