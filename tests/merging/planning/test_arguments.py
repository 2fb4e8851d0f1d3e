"""Values of parameters by tensor: which level counts, and where gradients stand."""

from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.merging.planning.arguments import PartArguments
from mixmerge.merging.planning.slices import Origin
from mixmerge.merging.recipes.recipe_file import read_recipe


def arguments(
    name: str, depth: float = 0.0, inputs: tuple[str, ...] = (), **slice_: Any
) -> dict[str, Any]:
    """Return the arguments for one tensor of a slice of the models a and b."""
    top = slice_.pop("top", {})
    own = slice_.pop("own", {})
    recipe = read_recipe(
        {
            "merge_method": "linear",
            "parameters": top,
            "slices": [
                {
                    "sources": [
                        {"model": "a", "layer_range": [0, 1], "parameters": own},
                        {"model": "b", "layer_range": [0, 1]},
                    ],
                    "parameters": slice_,
                }
            ],
        }
    )
    names = inputs or (name, name)
    return dict(PartArguments(recipe, recipe.slices[0]).of(Origin(name, 0, depth, names)))


def test_a_source_comes_before_its_slice_and_that_before_the_recipe() -> None:
    """The method's default is last."""
    found = arguments("w", own={"weight": 1}, weight=2, top={"weight": 3, "normalize": False})
    assert found == {"weight": (1, 2), "normalize": False}
    assert arguments("w", own={"weight": 1}, top={"weight": 3}) == {
        "weight": (1, 3),
        "normalize": True,
    }


def test_a_level_without_a_matching_rule_is_passed_over() -> None:
    """The rules of the next level are looked at, down to the default."""
    own = {"weight": [{"filter": "mlp", "value": 1}]}
    top = {"weight": [{"filter": "attn", "value": 3}, {"value": 4}]}
    off = [{"filter": "mlp", "value": False}]
    assert arguments("mlp", own=own, top=top, normalize=off) == {
        "weight": (1, 4),
        "normalize": False,
    }
    assert arguments("attn", own=own, top=top, normalize=off) == {
        "weight": (3, 3),
        "normalize": True,
    }


def test_filters_look_at_a_models_own_name_for_its_values_and_at_the_outputs_for_shared_ones() -> (
    None
):
    """In a slice the same layer has two numbers."""
    rules = [{"filter": "layers.7.", "value": 1}, {"value": 0.5}]
    shared = [{"filter": "layers.0.", "value": False}]
    found = arguments(
        "layers.0.w",
        inputs=("layers.7.w", "layers.8.w"),
        top={"weight": rules, "normalize": shared},
    )
    assert found == {"weight": (1, 0.5), "normalize": False}


@pytest.mark.parametrize("filtered", ["layers.0.", "layers.7."])
def test_filters_of_slerps_t_look_at_the_outputs_name(filtered: str) -> None:
    """Both weights are one number, so no model's own numbering can tear them apart."""
    sources = [{"model": model, "layer_range": [0, 1]} for model in "ab"]
    content = {
        "merge_method": "slerp",
        "base_model": "a",
        "slices": [{"sources": sources}],
        "parameters": {"t": [{"filter": filtered, "value": 0.75}, {"value": 0.25}]},
    }
    recipe = read_recipe(content)
    origin = Origin("layers.0.w", 0, 0.0, ("layers.7.w", "layers.8.w"))
    expected = (0.25, 0.75) if filtered == "layers.0." else (0.75, 0.25)
    assert PartArguments(recipe, recipe.slices[0]).of(origin)["weight"] == expected


def test_gradients_follow_the_depth_in_the_slice() -> None:
    """Also the gradient of a rule."""
    rules = [{"filter": "mlp", "value": [0, 1]}, {"value": [5, 9]}]
    assert arguments("mlp", 0.25, top={"weight": rules})["weight"] == (0.25, 0.25)
    assert arguments("attn", 0.25, top={"weight": rules})["weight"] == (6.0, 6.0)


def test_a_tensor_without_a_value_is_refused() -> None:
    """The message names the tensor, the parameter and the model."""
    rules = {"weight": [{"filter": "mlp", "value": 1}]}
    with pytest.raises(SpecError, match="tensor w: no rule of `weight` for model `b` matches"):
        arguments("w", own={"weight": 1}, top=rules)


def test_values_that_do_not_go_together_are_refused() -> None:
    """The method says what is wrong with them."""
    with pytest.raises(SpecError, match=r"tensor w: the weights \(1, -1\) sum to zero"):
        arguments("w", own={"weight": 1}, top={"weight": -1})
