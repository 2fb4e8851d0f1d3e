"""What mergekit's YAML may say without effect: a note, or an error to a strict reader."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.merging.recipes.test_mergekit import kit, layers, sliced, stage

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import from_documents, read_recipe


def one(method: str, own: dict[str, Any], **more: Any) -> MergeRecipe:
    """Return the recipe of a method with a base, of one model and its parameters."""
    models = [{"model": "base"}, {"model": "a", "parameters": own}]
    if method == "model_stock":
        models.append({"model": "b"})
    return read_recipe(kit(merge_method=method, models=models, **{"parameters": None, **more}))


@pytest.mark.parametrize(
    ("recipe", "note"),
    [
        (
            lambda: one("slerp", {"weight": 0.5}, parameters={"t": 0.5}),
            "model a: parameters: `weight` has no effect with slerp",
        ),
        (
            lambda: one("slerp", {"t": 0.1}, parameters={"t": 0.5}),
            "model a: parameters: `t` has no effect at one model, since slerp has one for all",
        ),
        (
            lambda: one("slerp", {}, parameters={"t": 0.5, "density": 1, "dtype": "float16"}),
            "parameters: `dtype` has no effect here; it belongs at the top of the recipe",
        ),
        (lambda: one("sce", {"weight": 1}), "`weight` has no effect with sce"),
        (lambda: one("ram", {"weight": 1}), "`weight` has no effect with ram"),
        (lambda: one("model_stock", {"weight": 1}), "`weight` has no effect with model_stock"),
        (lambda: one("nearswap", {"t": 1}, parameters={"t": 2}), "`t` has no effect at one model"),
        (
            lambda: one("task_arithmetic", {"weight": 1, "density": 30}),
            "`density` has no effect with task_arithmetic",
        ),
        (
            lambda: one("ties", {"weight": 1, "normalize": False}),
            "`normalize` has no effect at one model, since ties has one for all",
        ),
        (
            lambda: one("ties", {"weight": 1}, normalize=False),
            "the recipe: `normalize` has no effect here; it belongs under `parameters`",
        ),
        (lambda: one("ties", {"weight": 1}, parameters={"t": 0.5}), "`t` has no effect with ties"),
        (lambda: one("ties", {"weight": 1}, random_seed=0), "an option of the command line"),
        (
            lambda: read_recipe(kit(models=[
                {"model": "base", "parameters": {"weight": 1, "density": 0.5}},
                {"model": "a", "parameters": {"weight": 1}, "layer_range": [0, 8]},
            ])),
            "model base: parameters: `weight` has no effect at the base, whose difference from",
        ),
        (
            lambda: sliced({"sources": [layers("a", 0, 2, normalize=1, weight=1)]}),
            "`normalize` has no effect at one model",
        ),
        (
            lambda: sliced(
                {"sources": [layers("a", 0, 2, weight=1)], "residual_weight": 1, "dtype": "x"}
            ),
            "slice 1: `residual_weight` has no effect here",
        ),
        (
            lambda: sliced({"sources": [layers("a", 0, 2, weight=1)], "base_model": "a"}),
            "slice 1: `base_model` has no effect with linear",
        ),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_left_out_with_a_note(
    recipe: Callable[[], MergeRecipe], note: str
) -> None:
    """Recipes that were run with mergekit merge the same, and say what they do not use."""
    assert any(text.find(note) >= 0 for text in recipe().notes), recipe().notes


def test_what_is_left_out_changes_nothing_else() -> None:
    """The recipe is that of the file without it."""
    noted, plain = (
        one("sce", {"weight": 1}, parameters={"select_topk": 0.5, "t": 1}),
        one("sce", {}),
    )
    assert noted.model_dump() | {"parameters": {}} == plain.model_dump()
    assert noted.parameters == {"select_topk": 0.5}
    assert plain.notes == ()


def test_a_note_is_said_once() -> None:
    """However many slices it is true of; a strict reader refuses the file for it."""
    part = {"sources": [layers("a", 0, 2, scale=2, weight=1)]}
    recipe = sliced(*[part] * 30, method="passthrough")
    assert recipe.notes == (
        "model a: parameters: `weight` has no effect with passthrough (29 more like it)",
    )
    with pytest.raises(SpecError, match=r"^recipe: model a: .*`weight` has no effect .*like it"):
        read_recipe({"merge_method": "passthrough", "slices": [part] * 30}, strict=True)
    assert read_recipe(kit(), strict=True) == read_recipe(kit())


def test_a_strict_reader_hears_of_every_document(tmp_path: Path) -> None:
    """Also of those that the result is made from."""
    first = {**stage("one", "m"), "normalize": True}
    file = [first, stage(None, "one")]
    assert from_documents(file).stages["one"].notes
    (tmp_path / "r.yml").write_text(yaml.safe_dump_all(file))
    with pytest.raises(SpecError, match=r"r\.yml: the recipe: `normalize` has no effect here"):
        read_recipe(tmp_path / "r.yml", strict=True)
