"""Names, forms and copies of one weight."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.models.checkpoint import Checkpoint, with_common_names
from mixmerge.merging.models.equivalences import (
    common_key,
    common_names,
    names_of,
    same_bytes,
    unpacked,
)
from mixmerge.merging.models.safetensors_io import NewTensor

LLAVA = (
    ("language_model.model.layers.0.w", "model.language_model.layers.0.w"),
    ("language_model.lm_head.weight", "lm_head.weight"),
    ("vision_tower.vision_model.encoder.layers.0.w", "model.vision_tower.encoder.layers.0.w"),
    ("multi_modal_projector.linear_1.bias", "model.multi_modal_projector.linear_1.bias"),
    ("image_newline", "model.image_newline"),
)
QWEN_VL = (
    ("model.layers.0.w", "model.language_model.layers.0.w"),
    ("visual.blocks.0.w", "model.visual.blocks.0.w"),
    ("lm_head.weight", "lm_head.weight"),
)
OLDER = (
    ("embed_out.weight", "lm_head.weight"),
    ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
    ("conv.weight_g", "conv.parametrizations.weight.original0"),
    ("model.layers.0.block_sparse_moe.gate.weight", "model.layers.0.mlp.gate.weight"),
    (
        "model.layers.1.block_sparse_moe.experts.7.w2.weight",
        "model.layers.1.mlp.experts.7.down_proj.weight",
    ),
)


@pytest.mark.parametrize(("older", "newer"), [*LLAVA, *QWEN_VL, *OLDER])
def test_spellings_of_a_name_have_one_key(older: str, newer: str) -> None:
    """What a model is packed in does not count, nor words that were renamed."""
    assert common_key(older) == common_key(newer)


@pytest.mark.parametrize("pairs", [LLAVA, QWEN_VL], ids=["LLaVA", "Qwen-VL"])
def test_the_first_model_decides_how_weights_are_called(pairs: Any) -> None:
    """Every weight has one name then, its own in the first model."""
    older, newer = zip(*pairs, strict=True)
    assert common_names([older, newer])[1] == dict(zip(newer, older, strict=True))
    assert common_names([newer, older])[1] == dict(zip(older, newer, strict=True))


def test_two_names_with_one_key_are_told_apart() -> None:
    """Where a model has both, nothing is renamed."""
    both = ["norm.weight", "model.norm.weight"]
    assert common_names([both, ["model.norm.weight"]])[0] == {name: name for name in both}


def experts(seed: int, count: int = 3) -> dict[str, Array]:
    """Return one layer of experts with 4 rows of 2 columns each, and a router."""
    rng = np.random.default_rng(seed)
    shapes = {"gate_proj": (4, 2), "up_proj": (4, 2), "down_proj": (2, 4)}
    tensors = {
        f"model.layers.0.mlp.experts.{at}.{word}.weight": rng.standard_normal(shape, np.float32)
        for at in range(count)
        for word, shape in shapes.items()
    }
    return {**tensors, "model.layers.0.mlp.gate.weight": rng.standard_normal((3, 2), np.float32)}


def packed(tensors: dict[str, Array]) -> dict[str, Array]:
    """Stack experts as transformers 5 holds them."""
    before = "model.layers.0.mlp.experts"

    def stacked(word: str) -> Array:
        return np.stack([tensors[f"{before}.{at}.{word}.weight"] for at in range(3)])

    return {
        f"{before}.gate_up_proj": np.concatenate([stacked("gate_proj"), stacked("up_proj")], 1),
        f"{before}.down_proj": stacked("down_proj"),
        "model.layers.0.mlp.gate.weight": tensors["model.layers.0.mlp.gate.weight"],
    }


def as_mixtral(tensors: dict[str, Array]) -> dict[str, Array]:
    """Call the same experts as Mixtral does."""
    words = {"mlp": "block_sparse_moe", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
    return {
        ".".join(words.get(word, word) for word in name.split(".")): values
        for name, values in tensors.items()
    }


@pytest.mark.parametrize("spelt", [dict, as_mixtral], ids=["Qwen", "Mixtral"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["single first", "packed first"])
def test_packed_experts_are_merged_with_single_ones(
    order: tuple[int, int], spelt: Any, model: Any, load: Any, tmp_path: Path
) -> None:
    """The output has them one by one, called as in the model that has them so."""
    one, two = experts(1), experts(2)
    folders = [model("single", spelt(one)), model("packed", packed(two))]
    entries = [{"model": str(folders[at]), "parameters": {"weight": 0.5}} for at in order]
    merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
    got = load(tmp_path / "out")
    assert got.keys() == spelt(one).keys()
    for name, values in spelt({name: (one[name] + two[name]) / 2 for name in one}).items():
        np.testing.assert_allclose(got[name], values, rtol=1e-6)


def test_experts_that_are_packed_otherwise_stay_packed(model: Any) -> None:
    """gpt-oss has the rows of gate and up in turn; a wrong guess would be silent."""
    one = Checkpoint(
        "packed", model("packed", packed(experts(1)), config={"model_type": "gpt_oss"})
    )
    stems = {"layers.0.mlp.experts"}
    assert unpacked(one.tensors, one.config, stems) == one.tensors
    assert len(unpacked(one.tensors, {}, stems)) == len(experts(1))


def test_models_with_the_same_names_stay_as_they_are(model: Any) -> None:
    """Packed experts in all models are merged packed."""
    both = [Checkpoint(name, model(name, packed(experts(1)))) for name in "ab"]
    assert with_common_names(both) == both


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("lm_head.weight", {}, ["shared.weight", "lm_head.weight"]),
        ("decoder.embed_tokens.weight", {}, ["shared.weight", "encoder.embed_tokens.weight"]),
        ("lm_head.decoder.bias", {}, ["lm_head.bias", "lm_head.decoder.bias"]),
        ("cls.predictions.bias", {}, ["cls.predictions.bias", "cls.predictions.decoder.bias"]),
        (
            "decoder.embed_tokens.weight",
            {"share_encoder_decoder_embeddings": False},
            ["decoder.embed_tokens.weight"],
        ),
        ("decoder.bias", {}, ["decoder.bias"]),
    ],
)
def test_originals_come_before_copies(name: str, config: Any, expected: list[str]) -> None:
    """Heads, embeddings of encoder and decoder, and biases are known by their names."""
    tensors = {"shared.weight": NewTensor("shared.weight", "F32", (7, 3))}
    assert names_of(name, tensors, config)[: len(expected)] == expected


def test_bytes_are_compared_to_the_last(model: Any) -> None:
    """Two tensors are the same weight only if every number is."""
    values = np.arange(400_000, dtype=np.float32)
    other = values.copy()
    other[-1] = 0
    (a,), (b,) = (
        [*Checkpoint(name, model(name, {"w": each})).tensors.values()]
        for name, each in (("a", values), ("b", other))
    )
    assert same_bytes(a, a)
    assert not same_bytes(a, b)
    b.file.unlink()
    with pytest.raises(ModelError, match=r"b/model\.safetensors: cannot be read \(No such file"):
        same_bytes(a, b)
