"""Which tensors the output has, and where they come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.planning.slices import Composition, compose
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
    with pytest.raises(SpecError, match="slice 2: a has 3 layers, and layers 2 to 4 were asked"):
        composed(folders, [("a", 0, 1)], [("a", 2, 4)])


def test_models_without_clear_layers_are_refused(model: Any, weights: Any) -> None:
    """No layers, two stacks of the same length, or other names in another model."""
    one = np.zeros(1, np.float32)
    flat = model("flat", {"w": one})
    with pytest.raises(ModelError, match="flat: no tensor's name has the number of a layer"):
        composed({"flat": flat}, [("flat", 0, 1)])
    double = model("double", {"encoder.block.0.w": one, "decoder.block.0.w": one})
    with pytest.raises(ModelError, match=r"decoder\.block\.\* .* 1 layers each"):
        composed({"double": double}, [("double", 0, 1)])
    named = {"a": model("a", weights(1)), "gpt": model("gpt", {"h.0.w": one})}
    with pytest.raises(ModelError, match=r"model\.layers\.\* in a and h\.\* in gpt"):
        composed(named, [("a", 0, 1)], [("gpt", 0, 1)])
