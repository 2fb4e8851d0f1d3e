"""The configuration of a merged model."""

from pathlib import Path
from typing import Any

import pytest

from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import NewTensor
from mixmerge.merging.planning.output_config import output_config

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture
def source(model: Any, weights: Any) -> Any:
    """Write a model with a configuration."""

    def write(name: str, **config: Any) -> Checkpoint:
        folder: Path = model(name, weights(1), config=config)
        return Checkpoint(name, folder)

    return write


def test_everything_else_stays_as_it_is() -> None:
    """The donor's own settings are not touched, and neither is the donor."""
    donor = {"rope": {"theta": 1}, "dtype": "float32", "architectures": ["X"]}
    made = output_config(donor, [NewTensor("w", "BF16", (2,))], [], unties_head=False)
    assert made == {**donor, "dtype": "bfloat16"}
    assert donor["dtype"] == "float32"


def test_the_type_is_that_of_most_tensors() -> None:
    """Older configurations call it torch_dtype; buffers do not count."""
    tensors = [NewTensor(str(i), "F16", (1,)) for i in range(2)]
    tensors += [NewTensor("n", "F32", (1,)), *(NewTensor(f"b{i}", "I64", (1,)) for i in range(9))]
    assert output_config({"torch_dtype": "x"}, tensors, [], unties_head=False) == {
        "torch_dtype": "float16"
    }
    assert output_config({}, tensors[-9:], [], unties_head=False) == {}


def test_lists_follow_the_layers(source: Any) -> None:
    """Entries come from the model that the layer comes from, and numbers of layers are new ones."""
    a = source("a", n_layer=3, layer_types=["x", "y", "z"], mlp_only_layers=[1])
    b = source("b", n_layer=3, layer_types=["p", "q", "r"], mlp_only_layers=[0, 2])
    other = {"eos_token_id": [1, 2, 3], "layer_scales": [1, 2]}
    layers = [(a, 0), (a, 1), (b, 1), (b, 2)]
    made = output_config({**a.config, **other}, [], layers, unties_head=False)
    assert made["n_layer"] == 4
    assert made["layer_types"] == ["x", "y", "q", "r"]
    assert made["mlp_only_layers"] == [1, 3]
    assert made["eos_token_id"] == [1, 2, 3]
    assert made["layer_scales"] == [1, 2]


def test_a_source_that_lists_nothing_is_like_the_donor(source: Any) -> None:
    """Older configurations leave lists out."""
    donor = source("a", num_hidden_layers=2, layer_types=["x", "y"]).config
    older = source("b", num_hidden_layers=2)
    made = output_config(donor, [], [(older, 1), (older, 0)], unties_head=False)
    assert made["layer_types"] == ["y", "x"]


def test_a_nested_configuration_is_corrected_where_it_is(source: Any) -> None:
    """Layers, rows and the tie of a language model inside of a larger one."""
    text = {"num_hidden_layers": 3, "vocab_size": 4, "tie_word_embeddings": True}
    donor = {"text_config": text, "tie_word_embeddings": True, "num_hidden_layers": 9}
    tensors = [NewTensor(EMBEDDING, "F32", (7, 2)), NewTensor(HEAD, "F32", (7, 2))]
    layer = (source("a", **donor), 0)
    made = output_config(donor, tensors, [layer], unties_head=True)
    assert made["text_config"] == {
        "num_hidden_layers": 1,
        "vocab_size": 7,
        "tie_word_embeddings": False,
    }
    assert made["tie_word_embeddings"] is False
    assert made["num_hidden_layers"] == 9


def test_without_a_stored_head_the_tie_stays() -> None:
    """Where every model ties its head, nothing is stored that could be untied."""
    made = output_config({}, [NewTensor(EMBEDDING, "F32", (7, 2))], [], unties_head=True)
    assert "tie_word_embeddings" not in made
