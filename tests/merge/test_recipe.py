"""Recipes: what is valid, in our form and in mergekit's."""

from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.merge.recipe import MergeRecipe
from mixmerge.merge.recipe_file import read_recipe, recipe_text


def own(**changes: Any) -> dict[str, Any]:
    """Return a valid recipe in our form, with changes."""
    models = [
        {"name": "a", "path": "/a", "parameters": {"weight": [0, 0.5]}},
        {"name": "b", "path": "/b", "parameters": {"weight": 1, "density": 0.5}},
    ]
    return {"method": "ties", "base": {"path": "/base"}, "models": models, **changes}


def test_a_recipe_reads_back_what_it_wrote(tmp_path: Path) -> None:
    """Filters, gradients and numbers survive the file unchanged."""
    rules = [{"filter": "mlp", "value": [0, 1e-05]}, {"value": 0.5}]
    recipe = read_recipe(own(parameters={"density": rules, "lambda": 0.1 + 0.2}, dtype="float16"))
    (tmp_path / "r.yml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "r.yml") == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "tise"}, "unknown merge method `tise`; did you mean `ties`"),
        ({"base": None}, "merges differences from a base model: name a base"),
        ({"models": []}, "models"),
        ({"parameters": {"lamda": 1}}, "no parameter `lamda`; did you mean `lambda`"),
        ({"parameters": {"density": 1.5}}, "`density` must be from 0 to 1, not 1.5"),
        ({"parameters": {"density": [0.5, -0.1]}}, "`density` must be from 0 to 1, not -0.1"),
        ({"parameters": {"lambda": float("nan")}}, "`lambda` must be a finite number, not nan"),
        ({"parameters": {"lambda": "big"}}, "`lambda` must be a finite number, not 'big'"),
        ({"parameters": {"lambda": True}}, "`lambda` must be a finite number, not True"),
        ({"parameters": {"normalize": 2}}, "`normalize` must be true or false, not 2"),
        ({"parameters": {"variant": "new"}}, "`variant` must be original or paper, not 'new'"),
        ({"models": [{"name": "a", "path": "/a"}]}, "model `a`: ties needs `weight`"),
        ({"files_from": "c"}, "files_from names no input: `c`"),
        ({"dtype": "int8"}, "dtype"),
        ({"surprise": 1}, "surprise"),
        (
            {"models": [{"name": "a", "path": "/a", "parameters": {"weight": 1, "lambda": 1}}]},
            "model `a`: `lambda` is for all models together",
        ),
        (
            {
                "models": [
                    {"name": "a", "path": f"/{i}", "parameters": {"weight": 1}} for i in (1, 2)
                ]
            },
            "two inputs have the name `a`",
        ),
    ],
)
def test_a_wrong_recipe_is_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the item, what was required and what was seen."""
    with pytest.raises(SpecError, match=message):
        read_recipe(own(**changes))


def test_slerp_takes_two_models() -> None:
    """A third model is refused, not left out."""
    models = [{"name": n, "path": n, "parameters": {"weight": 1}} for n in "abc"]
    with pytest.raises(SpecError, match="slerp merges exactly 2 models beside the base, not 3"):
        read_recipe({"method": "slerp", "models": models})


def test_a_recipe_is_returned_as_it_is() -> None:
    """A recipe made in Python needs no file."""
    recipe = MergeRecipe.model_validate(own())
    assert read_recipe(recipe) is recipe
