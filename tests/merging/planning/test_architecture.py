"""The output's configuration, and the check against transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import NewTensor
from mixmerge.merging.planning.architecture import check_architecture, output_config
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe

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
    made = output_config(donor, [NewTensor("w", "BF16", (2,))], [], ties_head=None)
    assert made == {**donor, "dtype": "bfloat16"}
    assert donor["dtype"] == "float32"


def test_the_type_is_that_of_most_tensors() -> None:
    """Older configurations call it torch_dtype; buffers do not count."""
    tensors = [NewTensor(str(i), "F16", (1,)) for i in range(2)]
    tensors += [NewTensor("n", "F32", (1,)), *(NewTensor(f"b{i}", "I64", (1,)) for i in range(9))]
    assert output_config({"torch_dtype": "x"}, tensors, [], ties_head=None) == {
        "torch_dtype": "float16"
    }
    assert output_config({}, tensors[-9:], [], ties_head=None) == {}


def test_lists_follow_the_layers(source: Any) -> None:
    """Entries come from the model that the layer comes from, and numbers of layers are new ones."""
    a = source("a", n_layer=3, layer_types=["x", "y", "z"], mlp_only_layers=[1])
    b = source("b", n_layer=3, layer_types=["p", "q", "r"], mlp_only_layers=[0, 2])
    other = {"eos_token_id": [1, 2, 3], "layer_scales": [1, 2]}
    layers = [(a, 0), (a, 1), (b, 1), (b, 2)]
    made = output_config({**a.config, **other}, [], layers, ties_head=None)
    assert made["n_layer"] == 4
    assert made["layer_types"] == ["x", "y", "q", "r"]
    assert made["mlp_only_layers"] == [1, 3]
    assert made["eos_token_id"] == [1, 2, 3]
    assert made["layer_scales"] == [1, 2]


def test_a_source_that_lists_nothing_is_like_the_donor(source: Any) -> None:
    """Older configurations leave lists out."""
    donor = source("a", num_hidden_layers=2, layer_types=["x", "y"]).config
    older = source("b", num_hidden_layers=2)
    made = output_config(donor, [], [(older, 1), (older, 0)], ties_head=None)
    assert made["layer_types"] == ["y", "x"]


def test_a_nested_configuration_is_corrected_where_it_is(source: Any) -> None:
    """Layers, rows and the tie of a language model inside of a larger one."""
    text = {"num_hidden_layers": 3, "vocab_size": 4, "tie_word_embeddings": True}
    donor = {"text_config": text, "tie_word_embeddings": True, "num_hidden_layers": 9}
    tensors = [NewTensor(EMBEDDING, "F32", (7, 2)), NewTensor(HEAD, "F32", (7, 2))]
    layer = (source("a", **donor), 0)
    made = output_config(donor, tensors, [layer], ties_head=False)
    assert made["text_config"] == {
        "num_hidden_layers": 1,
        "vocab_size": 7,
        "tie_word_embeddings": False,
    }
    assert made["tie_word_embeddings"] is False
    assert made["num_hidden_layers"] == 9


def test_without_a_stored_head_the_tie_stays() -> None:
    """Where every model ties its head, nothing is stored that could be untied."""
    made = output_config({}, [NewTensor(EMBEDDING, "F32", (7, 2))], [], ties_head=False)
    assert "tie_word_embeddings" not in made


SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
GPT2: dict[str, Any] = {"n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": 32}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
EXPERTS: dict[str, Any] = {"num_experts": 2, "moe_intermediate_size": 8, "mlp_only_layers": [3]}
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {**SIZES, "tie_word_embeddings": False},
    "Gemma2": {**SIZES, "head_dim": 8},
    "Qwen3Moe": {**SIZES, **EXPERTS, "num_experts_per_tok": 1, "head_dim": 8},
    "Cohere2": SIZES,
    "GPT2": GPT2,
}


def saved(kind: str, folder: Path, **changes: Any) -> Path:
    """Save a tiny random model of an architecture."""
    config = getattr(transformers, f"{kind}Config")(**{**MODELS[kind], **changes})
    head = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    torch.manual_seed(0)
    getattr(transformers, kind + head)(config).save_pretrained(folder)
    ids = {f"w{number}": number for number in range(32)}
    Tokenizer(WordLevel(ids, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder


def stacked(folder: Path, *ranges: tuple[int, int]) -> MergePlan:
    """Plan a model of some layers of another."""
    sources = [[{"model": str(folder), "layer_range": list(numbers)}] for numbers in ranges]
    slices = [{"sources": source} for source in sources]
    content = {"merge_method": "linear", "slices": slices, "parameters": {"weight": 1}}
    return plan_merge(read_recipe(content))


@pytest.mark.parametrize("kind", MODELS)
def test_stacked_layers_are_what_the_configuration_asks_for(kind: str, tmp_path: Path) -> None:
    """Tied heads, experts, and layers of different kinds included."""
    plan = stacked(saved(kind, tmp_path / "m"), (0, 3), (1, 4), (0, 1))
    assert check_architecture(plan.config, plan.outputs) is None
    kinds = plan.config.get("layer_types")
    if kinds is not None:
        config = getattr(transformers, f"{kind}Config")(**MODELS[kind])
        assert kinds == [config.layer_types[layer] for layer in (0, 1, 2, 1, 2, 3, 0)]


def test_a_tied_and_an_untied_model_make_an_untied_one(tmp_path: Path) -> None:
    """The head is stored, and transformers is told to look for it."""
    tied = saved("Llama", tmp_path / "tied", tie_word_embeddings=True)
    untied = saved("Llama", tmp_path / "untied")
    models = [{"model": str(folder)} for folder in (tied, untied)]
    content = {"merge_method": "linear", "models": models, "parameters": {"weight": 1}}
    plan = plan_merge(read_recipe(content))
    assert plan.config["tie_word_embeddings"] is False
    assert check_architecture(plan.config, plan.outputs) is None


def test_what_transformers_would_not_load_is_refused(tmp_path: Path) -> None:
    """Missing tensors, tensors without a use, and other shapes are named."""
    folder = saved("Llama", tmp_path / "m")
    plan = stacked(folder, (0, 4))
    for changes, message in (
        ({"num_hidden_layers": 5}, r"needs tensor model\.layers\.4.* \(8 more\)"),
        ({"num_hidden_layers": 3}, r"has no use for tensor model\.layers\.3"),
        ({"intermediate_size": 8}, r"down_proj.* has shape \[16, 32\], and .* needs \[16, 8\]"),
    ):
        wrong = MergePlan(plan.recipe, plan.checkpoints, plan.rows, {**plan.config, **changes})
        with pytest.raises(ModelError, match=message):
            check_architecture(wrong.config, wrong.outputs)


def test_an_unknown_architecture_cannot_be_checked(model: Any, weights: Any) -> None:
    """That is said, and is no error."""
    plan = stacked(model("toy", weights(1)), (0, 3))
    assert check_architecture(plan.config, plan.outputs) == "transformers does not know Toy"


def test_what_transformers_cannot_make_cannot_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is missing is no fault of the merge; a merge with --verify says so."""
    folder = saved("Llama", tmp_path / "m")

    def lacks(*_: Any, **__: Any) -> None:
        raise ImportError("\nLlama requires the timm library\nand it was not found.")

    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", lacks)
    plan = stacked(folder, (0, 4))
    found = "transformers could not build LlamaForCausalLM (Llama requires the timm library)"
    assert check_architecture(plan.config, plan.outputs) == found
    recipe = {
        "merge_method": "linear",
        "models": [{"model": str(folder), "parameters": {"weight": 1}}],
    }
    notes = merge(recipe, tmp_path / "out", verify=True)
    assert f"whether the model can be loaded was not checked: {found}" in notes
    assert found in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
@pytest.mark.parametrize("nested", [False, True])
def test_how_weights_were_quantised_goes_with_plain_weights(key: str, nested: bool) -> None:
    """Loaders would quantise them again, or refuse them; weights of whole numbers need it."""
    donor = {key: {"quant_method": "gptq"}}
    config: dict[str, Any] = {"text_config": donor} if nested else donor
    plain, whole = NewTensor("w.weight", "BF16", (2, 2)), NewTensor("w.qweight", "I32", (2, 2))
    counter = NewTensor("norm.num_batches_tracked", "I64", ())
    made = output_config(config, [plain, counter], [], ties_head=None)
    assert key not in made.get("text_config", made)
    assert key in config.get("text_config", config)
    for tensors in ([plain, whole], [plain, NewTensor("w.weight_scale", "F32", (2,))]):
        made = output_config(config, tensors, [], ties_head=None)
        assert key in made.get("text_config", made)
