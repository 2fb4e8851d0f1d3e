"""Which tensors and which settings each tensor of the output is made from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.planning.composition import Composition, Origin, Part, compose
from mixmerge.merging.recipes.recipe_file import read_recipe


def parts(*slices: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Return mergekit's slices."""
    return [
        {"sources": [{"model": m, "layer_range": [low, high]} for m, low, high in sources]}
        for sources in slices
    ]


def composed(folders: dict[str, Path], *slices: list[tuple[str, int, int]]) -> Composition:
    """Return the composition of a linear merge of slices."""
    recipe = read_recipe(
        {"merge_method": "linear", "slices": parts(*slices), "parameters": {"weight": 1}}
    )
    models = {name: Checkpoint(name, folder) for name, folder in folders.items()}
    return compose(recipe, models)


def test_layers_are_renumbered_in_the_order_of_the_slices(model: Any, weights: Any) -> None:
    """Layer j of the output is layer l of the source; depth runs from 0 to 1 in each slice."""
    folders = {name: model(name, weights(1, layers=4)) for name in "ab"}
    made = composed(folders, [("a", 0, 3)], [("b", 1, 2)], [("b", 2, 4)])
    found = {
        origin.name: (origin.part, origin.depth, origin.inputs)
        for origin in made.tensors
        if origin.name.endswith("up_proj.weight")
    }
    name = "model.layers.{}.mlp.up_proj.weight".format
    assert found == {
        name(0): (0, 0.0, (name(0),)),
        name(1): (0, 0.5, (name(1),)),
        name(2): (0, 1.0, (name(2),)),
        name(3): (1, 1.0, (name(1),)),
        name(4): (2, 0.0, (name(2),)),
        name(5): (2, 1.0, (name(3),)),
    }
    assert made.layers == [("a", 0), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]


def test_embeddings_come_from_the_first_slice_and_norm_and_head_from_the_last(
    model: Any, weights: Any
) -> None:
    """With all sources of that slice, also where it has more than the first."""
    folders = {name: model(name, weights(1)) for name in "abc"}
    made = composed(folders, [("a", 0, 1)], [("b", 1, 3), ("c", 0, 2)])
    outside = {o.name: (o.part, o.inputs) for o in made.tensors if "layers" not in o.name}
    assert outside == {
        "model.embed_tokens.weight": (0, ("model.embed_tokens.weight",)),
        "model.norm.weight": (1, ("model.norm.weight",) * 2),
        "lm_head.weight": (1, ("lm_head.weight",) * 2),
    }
    names = [origin.name for origin in made.tensors]
    assert names[0] == "model.embed_tokens.weight"
    assert set(names[-2:]) == {"model.norm.weight", "lm_head.weight"}


def test_the_configuration_says_which_stack_is_sliced(model: Any) -> None:
    """A vision tower is outside of the layers, and experts are inside of them."""
    shapes = [f"vision.blocks.{i}.w" for i in range(5)]
    shapes += [f"text.layers.{i}.experts.{j}.w" for i in range(2) for j in range(9)]
    config = {"text_config": {"num_hidden_layers": 2}, "num_hidden_layers": 5}
    folder = model("a", {name: np.zeros(1, np.float32) for name in shapes}, config=config)
    made = composed({"a": folder}, [("a", 1, 2)])
    assert [o.name for o in made.tensors if o.name.startswith("vision")] == shapes[:5]
    sliced = [(o.name, o.inputs) for o in made.tensors if o.name.startswith("text")]
    assert sorted(sliced) == [
        (f"text.layers.0.experts.{j}.w", (f"text.layers.1.experts.{j}.w",)) for j in range(9)
    ]


def test_every_tensor_of_any_source_is_part_of_the_output(model: Any, weights: Any) -> None:
    """What one source has and another lacks is found later; here nothing is dropped."""
    more = {**weights(1), "model.layers.1.extra": np.zeros(1, np.float32)}
    folders = {"a": model("a", weights(1)), "b": model("b", more)}
    made = composed(folders, [("a", 0, 2), ("b", 1, 3)])
    extra = [origin for origin in made.tensors if "extra" in origin.name]
    assert [(o.name, o.inputs) for o in extra] == [
        ("model.layers.0.extra", ("model.layers.0.extra", "model.layers.1.extra"))
    ]


def test_layers_that_a_model_lacks_are_refused(model: Any, weights: Any) -> None:
    """The message has the slice, the model and its number of layers."""
    folders = {"a": model("a", weights(1))}
    with pytest.raises(
        SpecError, match="slice 2: a has 3 layers, but the recipe asks for layers 2 to 4"
    ):
        composed(folders, [("a", 0, 1)], [("a", 2, 4)])


def test_models_without_clear_layers_are_refused(model: Any, weights: Any) -> None:
    """No layers, two stacks of the same length, or other names in another model."""
    one = np.zeros(1, np.float32)
    flat = model("flat", {"w": one})
    with pytest.raises(ModelError, match="flat: no tensor name contains a layer number"):
        composed({"flat": flat}, [("flat", 0, 1)])
    double = model("double", {"encoder.block.0.w": one, "decoder.block.0.w": one})
    with pytest.raises(ModelError, match=r"decoder\.block\.\* .* 1 layers each"):
        composed({"double": double}, [("double", 0, 1)])
    named = {"a": model("a", weights(1)), "gpt": model("gpt", {"h.0.w": one})}
    with pytest.raises(ModelError, match=r"model\.layers\.\* in a and h\.\* in gpt"):
        composed(named, [("a", 0, 1)], [("gpt", 0, 1)])


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
    return dict(Part(recipe, recipe.slices[0]).of(Origin(name, 0, depth, names)))


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
    assert Part(recipe, recipe.slices[0]).of(origin)["weight"] == expected


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
