"""LoRA adapters, applied while reading, against peft's own merge."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.merging.conftest import open_files

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.checkpoint import Checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:You have requested `ensure_weight_tying`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:.*LoRA tensor\(s\) have invalid shape"),  # of a bias
    # peft calls what transformers renamed
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


def llama(tied: bool = False) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=24, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attention_bias=True, mlp_bias=True,
        tie_word_embeddings=tied,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=24, n_embd=16, n_layer=2, n_head=4, n_positions=8))


def randomise(module: Any, seed: int = 1) -> None:
    """Fill everything with random numbers: a fresh adapter's B is zero and would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3, generator=generator)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., tuple[AdaptedCheckpoint, dict[str, Array]]]:
    """Make a model and an adapter; return them as one, and the tensors of peft's merge."""
    from peft import LoraConfig, PeftModel, get_peft_model

    def make(
        build: Callable[[], Any], **settings: Any
    ) -> tuple[AdaptedCheckpoint, dict[str, Array]]:
        base = build()
        randomise(base)
        base.save_pretrained(tmp_path / "base")
        (tmp_path / "base" / "tokenizer_config.json").write_text("{}")
        adapted = get_peft_model(base, LoraConfig(**settings))
        with torch.no_grad():
            generator = torch.Generator().manual_seed(2)
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    parameter.normal_(0, 0.3, generator=generator)
        adapted.save_pretrained(tmp_path / "adapter")
        fresh = type(base).from_pretrained(tmp_path / "base")
        merged = PeftModel.from_pretrained(fresh, tmp_path / "adapter").merge_and_unload()
        expected = {name: value.numpy() for name, value in merged.state_dict().items()}
        model = Checkpoint("base", tmp_path / "base")
        return AdaptedCheckpoint(model, tmp_path / "adapter"), expected

    return make


def values(model: Checkpoint, name: str, pieces: int = 2) -> Array:
    """Read a tensor row by row in several pieces."""
    source = model.source(name)
    shape = source.shape
    out = np.empty(int(np.prod(shape)), np.float32)
    width = shape[-1] if len(shape) > 1 else 1
    cut = (out.size // width // pieces) * width
    source.read(0, out[:cut])
    source.read(cut, out[cut:])
    return out.reshape(shape)


def assert_same(model: Checkpoint, expected: Mapping[str, Array]) -> set[str]:
    """Compare all tensors, to a few units in the last place; return those of the model."""
    for name in model.tensors:
        theirs = expected[name]
        np.testing.assert_allclose(values(model, name), theirs, rtol=2e-6, atol=2e-6, err_msg=name)
    return set(model.tensors)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 6},
        {"target_modules": "all-linear", "use_rslora": True, "lora_alpha": 3},
        {
            "target_modules": "all-linear",
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5},
            "alpha_pattern": {"0.self_attn.q_proj": 9, "model.layers.1.self_attn.q_proj": 5},
        },
        {"target_modules": ["q_proj"], "bias": "all"},
        {"target_modules": ["o_proj"], "bias": "lora_only", "lora_bias": True, "lora_alpha": 5},
        {"target_modules": ["k_proj", "embed_tokens", "lm_head"]},
        {"target_modules": ["v_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["q_proj", "up_proj", "lm_head"], "use_dora": True, "use_rslora": True},
    ],
    ids=["plain", "rslora", "patterns", "all biases", "lora bias", "embeddings", "saved", "dora"],
)
def test_llama_is_as_peft_merges_it(settings: dict[str, Any], trained: Any) -> None:
    """Scales, patterns, biases, embeddings and whole modules: every tensor is peft's."""
    model, expected = trained(llama, r=3, **settings)
    assert assert_same(model, expected) == set(expected)


@pytest.mark.parametrize("targets", [["c_attn", "c_proj", "c_fc"], ["c_attn", "wte"]])
def test_gpt2_is_as_peft_merges_it(targets: list[str], trained: Any) -> None:
    """Matrices stored as (in, out), square ones among them, and a tied embedding."""
    model, expected = trained(gpt2, r=3, target_modules=targets, fan_in_fan_out=True)
    assert assert_same(model, expected) == set(expected) - {"lm_head.weight"}


def test_names_without_their_first_word_are_found(trained: Any, tmp_path: Path) -> None:
    """The original GPT-2 is stored without the word `transformer` that adapters put first."""
    _, expected = trained(gpt2, r=3, target_modules=["c_attn"], fan_in_fan_out=True)
    file = tmp_path / "base" / "model.safetensors"
    bare = {name.removeprefix("transformer."): value for name, value in load_file(file).items()}
    save_file(bare, file)
    model = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")
    assert_same(model, {name.removeprefix("transformer."): v for name, v in expected.items()})


def test_a_head_trained_apart_unties_the_model(trained: Any) -> None:
    """A saved head of a model with a tied one is a new tensor, and the configuration says so."""
    settings = {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    model, expected = trained(lambda: llama(tied=True), r=2, **settings)
    assert "lm_head.weight" in assert_same(model, expected)
    assert model.config["tie_word_embeddings"] is False
    assert not np.array_equal(
        values(model, "lm_head.weight"), expected["model.embed_tokens.weight"]
    )


BOTH = ["embed_tokens", "lm_head"]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    "settings",
    [
        {"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj"]},
        {"modules_to_save": BOTH, "target_modules": ["q_proj"]},
        {"modules_to_save": BOTH, "target_modules": ["q_proj"], "ensure_weight_tying": True},
        {"target_modules": ["lm_head"]},
        {"target_modules": BOTH},
        {"target_modules": ["lm_head"], "modules_to_save": ["embed_tokens"]},
    ],
    ids=["embedding", "both", "both as one", "on the head", "on both", "on the head alone"],
)
def test_embeddings_and_heads_are_as_peft_has_them(
    settings: dict[str, Any], tied: bool, trained: Any
) -> None:
    """A head stays behind where the embedding alone was trained, and is tied where neither was."""
    model, expected = trained(lambda: llama(tied=tied), r=2, **settings)
    names = assert_same(model, expected)
    apart = not np.array_equal(expected["model.embed_tokens.weight"], expected["lm_head.weight"])
    assert ("lm_head.weight" in names) == apart
    assert (model.config["tie_word_embeddings"] is False) == apart


def test_a_head_stored_beside_its_equal_is_still_tied(trained: Any, tmp_path: Path) -> None:
    """What an adapter adds to the embedding is then added to the head, too."""
    _, expected = trained(lambda: llama(tied=True), r=2, target_modules=["embed_tokens"])
    file = tmp_path / "base" / "model.safetensors"
    stored = load_file(file)
    save_file({**stored, "lm_head.weight": stored["model.embed_tokens.weight"].clone()}, file)
    model = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")
    assert "lm_head.weight" not in assert_same(model, expected)


def test_what_peft_stores_of_a_module_besides_is_not_used(trained: Any, tmp_path: Path) -> None:
    """A module that was grown and trained is stored three times, one of them as it was before."""
    settings = {"modules_to_save": ["embed_tokens"], "target_modules": ["q_proj"]}
    _, expected = trained(llama, r=2, **settings)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    stored = load_file(file)
    module = "base_model.model.model.embed_tokens"
    new = stored[f"{module}.weight"]
    stored |= {f"{module}.modules_to_save.weight": new.clone()}
    stored |= {f"{module}.original_module.weight": torch.zeros_like(new)}
    save_file(stored, file)
    model = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")
    assert_same(model, expected)


def test_other_spellings_of_the_models_names_are_found(trained: Any, tmp_path: Path) -> None:
    """An adapter was trained when its model's names had other words in front."""
    _, expected = trained(llama, r=2, target_modules=["q_proj"])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    old, new = "base_model.model.model.", "base_model.model.model.language_model."
    save_file({name.replace(old, new): value for name, value in load_file(file).items()}, file)
    assert_same(
        AdaptedCheckpoint(Checkpoint("b", tmp_path / "base"), tmp_path / "adapter"), expected
    )


def test_single_experts_of_a_packed_model_are_changed(model: Any, tmp_path: Path) -> None:
    """Adapters of transformers 4 name each expert; the model may hold them in one tensor."""
    before = "model.layers.0.mlp.experts"
    packed = np.zeros((3, 8, 2), np.float32)
    base = model("base", {f"{before}.gate_up_proj": packed, "model.norm.weight": np.ones(2)})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    module = f"base_model.model.{before}.1.up_proj"
    factors = {"lora_A": torch.ones(1, 2), "lora_B": torch.ones(4, 1)}
    content = {f"{module}.{name}.weight": factor for name, factor in factors.items()}
    save_file(content, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    opened = AdaptedCheckpoint(Checkpoint("base", base), adapter)
    changed = {name for name in opened.tensors if values(opened, name, 1).any()}
    assert changed == {f"{before}.1.up_proj.weight", "model.norm.weight"}


def test_low_precision_is_widened_before_it_is_added(trained: Any, tmp_path: Path) -> None:
    """A bfloat16 model and adapter give the float32 sum, not one rounded on the way."""
    model, _ = trained(llama, r=3, target_modules=["q_proj"])
    for file in (tmp_path / "base" / "model.safetensors", model.adapter.file):
        save_file({name: v.bfloat16() for name, v in load_file(file).items()}, file)
    model = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")
    stored = load_file(tmp_path / "base" / "model.safetensors")
    factors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    module = "base_model.model.model.layers.1.self_attn.q_proj"
    a, b = (factors[f"{module}.lora_{letter}.weight"].double() for letter in "AB")
    exact = stored[name].double() + 8 / 3 * (b @ a)
    assert model.tensors[name].dtype == "BF16"
    np.testing.assert_allclose(values(model, name), exact.numpy(), rtol=1e-6, atol=1e-6)


def test_pieces_do_not_change_a_bit(trained: Any) -> None:
    """A tensor has the same bytes however it is cut into pieces."""
    model, _ = trained(llama, r=3, target_modules="all-linear")
    name = "model.layers.0.mlp.down_proj.weight"
    source = model.source(name)
    assert source.by_row
    rows = [np.empty(20, np.float32) for _ in range(16)]
    for number, row in enumerate(rows):
        source.read(number * 20, row)
    assert np.array_equal(values(model, name), np.stack(rows))


def test_an_adapter_changes_the_fingerprint(trained: Any, tmp_path: Path) -> None:
    """The same model with another adapter is another input."""
    model, _ = trained(llama, r=3, target_modules=["q_proj"])
    seen = {model.fingerprint, Checkpoint("base", tmp_path / "base").fingerprint}
    config = tmp_path / "adapter" / "adapter_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "lora_alpha": 99}))
    other = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")
    assert len({*seen, other.fingerprint}) == 3


def test_closing_closes_the_files_of_model_and_adapter(trained: Any) -> None:
    """A process that merges many adapters does not run out of files."""
    before = open_files()
    model, _ = trained(llama, r=3, target_modules=["q_proj"])
    assert model.fingerprint
    values(model, "model.layers.0.self_attn.q_proj.weight")
    assert len(open_files() - before) > 1
    model.close()
    assert open_files() == before


def test_an_adapter_that_changes_during_a_merge_is_noticed(trained: Any, tmp_path: Path) -> None:
    """The adapter's file is watched like the model's."""
    model, _ = trained(llama, r=3, target_modules=["q_proj"])
    model.check_unchanged()
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelError, match="changed while it was merged"):
        model.check_unchanged()


EMBEDDING = {"A": (2, 7), "B": (4, 2)}


@pytest.fixture
def small(model: Any, tmp_path: Path) -> Callable[..., AdaptedCheckpoint]:
    """Open an adapter of given tensors and settings on a model of a few matrices."""
    shapes = {
        "model.embed_tokens.weight": (6, 4), "model.layers.0.q.weight": (4, 4),
        "model.layers.0.up.weight": (8, 4), "model.layers.0.up.bias": (8,),
    }  # fmt: skip
    base = model("base", {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    lora = {"model.layers.0.up.lora_A.weight": (2, 4), "model.layers.0.up.lora_B.weight": (8, 2)}

    def build(
        tensors: Mapping[str, tuple[int, ...]] | None = None,
        drop: str | None = None,
        **settings: Any,
    ) -> AdaptedCheckpoint:
        adapter = tmp_path / "adapter"
        shutil.rmtree(adapter, ignore_errors=True)
        adapter.mkdir()
        given = {**lora, **(tensors or {})}
        content = {
            f"base_model.model.{name}": torch.ones(shape)
            for name, shape in given.items()
            if name != drop
        }
        save_file(content, adapter / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, **settings}
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        return AdaptedCheckpoint(Checkpoint("base", base), adapter)

    return build


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "the adapter type is 'IA3'; only LORA"),
        ({"peft_type": "LOHA"}, "the adapter type is 'LOHA'"),
        ({"peft_type": None}, "the adapter type is None"),
        ({"use_dora": True}, "`use_dora` is True, but module model.layers.0.up lacks the norms"),
        ({"use_dora": "yes"}, "`use_dora` must be true or false, not 'yes'"),
        ({"layer_replication": [[0, 1]]}, "`layer_replication`"),
        ({"alora_invocation_tokens": [1]}, "`alora_invocation_tokens`"),
        ({"megatron_config": {"a": 1}}, "`megatron_config`"),
        ({"target_parameters": ["experts.up"]}, "`target_parameters`"),
        ({"trainable_token_indices": [1]}, "`trainable_token_indices`"),
        ({"use_qalora": True}, "`use_qalora`"),
        ({"from_the_future": 1}, "`from_the_future` is 1"),
        ({"init_lora_weights": "pissa"}, "`init_lora_weights` is 'pissa', which changes"),
        ({"r": "two"}, "`r` of model.layers.0.up must be a number, not 'two'"),
        ({"r": 0}, "must be above 0"),
        ({"r": 10**400}, "`r` of model.layers.0.up must be a number, not 1000"),
        ({"rank_pattern": ["up"]}, "`rank_pattern` is wrong"),
        ({"lora_alpha": None}, "`lora_alpha` of model.layers.0.up must be a number"),
        ({"rank_pattern": {"(": 2}}, "`rank_pattern` is wrong"),
        ({"rank_pattern": {"up": 3}}, r"needs A of shape \[3, in\] .*, not \[2, 4\], \[8, 2\]"),
    ],
)
def test_adapters_of_other_kinds_are_refused(
    settings: dict[str, Any], message: str, small: Any
) -> None:
    """What cannot be applied exactly is named, known to us or not."""
    with pytest.raises(ModelError, match=message):
        small(**settings)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"model.layers.0.up.lora_magnitude_vector": (8,)}, "`use_dora` is False, but"),
        ({"model.layers.0.up.lora_other": (8,)}, "only LoRA on matrices and"),
        (
            {"model.embed_tokens.token_adapter.trainable_tokens_delta": (2, 4)},
            "only LoRA on matrices",
        ),
        (
            {"layers.0.up.lora_A.weight": (2, 4), "layers.0.up.lora_B.weight": (8, 2)},
            "up.weight twice",
        ),
        (
            {"model.layers.0.up.bias": (8,), "model.layers.0.up.base_layer.bias": (4,)},
            "stored twice, with different values",
        ),
        ({"model.layers.0.down.weight": (4, 4)}, "changes model.layers.0.down.weight, which base"),
        ({"model.layers.0.up.weight": (9, 4)}, r"shape \[9, 4\], the tensor of base has \[8, 4\]"),
        ({"model.layers.0.up.lora_B.bias": (7,)}, r"up.bias has shape \[7\]"),
        ({"model.layers.0.up.lora_A.weight": (2, 5)}, r"up.weight has shape \[8, 5\]"),
        (
            {f"model.embed_tokens.lora_embedding_{key}": shape for key, shape in EMBEDDING.items()},
            r"embed_tokens.weight has shape \[7, 4\]",
        ),
    ],
)
def test_tensors_that_fit_nowhere_are_refused(
    tensors: dict[str, tuple[int, ...]], message: str, small: Any
) -> None:
    """Nothing of an adapter's file is left over in silence."""
    with pytest.raises(ModelError, match=message):
        small(tensors)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("model.layers.0.up.lora_magnitude_vector", (7,), r"shape \[7\]; DoRA needs one norm .* 8"),
        ("model.embed_tokens.lora_magnitude_vector", (5,), "DoRA on an embedding cannot"),
    ],
)
def test_norms_of_dora_that_fit_nothing_are_refused(
    name: str, shape: tuple[int, ...], message: str, small: Any
) -> None:
    """DoRA has one norm for each row of a matrix; another number is another adapter's."""
    more = {f"model.embed_tokens.lora_embedding_{key}": size for key, size in EMBEDDING.items()}
    tensors = {"model.layers.0.up.lora_magnitude_vector": (8,)} | {name: shape}
    with pytest.raises(ModelError, match=message):
        small(tensors | (more if "embed" in name else {}), use_dora=True)


def test_dora_on_matrices_stored_by_column_is_refused(trained: Any) -> None:
    """Its norms run across the rows that are read one by one."""
    with pytest.raises(ModelError, match=r"DoRA on a matrix that is stored as \(in, out\)"):
        trained(gpt2, target_modules=["c_fc"], fan_in_fan_out=True, use_dora=True)


def test_half_of_a_pair_is_refused(small: Any) -> None:
    """A without B is a broken file."""
    with pytest.raises(ModelError, match=r"needs A of shape \[2, in\] and B"):
        small(drop="model.layers.0.up.lora_B.weight")


def test_square_matrices_of_unknown_orientation_are_refused(small: Any) -> None:
    """A setting that other matrices contradict decides nothing."""
    square = {"model.layers.0.q.lora_A.weight": (2, 4), "model.layers.0.q.lora_B.weight": (4, 2)}
    small(square)
    with pytest.raises(ModelError, match="`fan_in_fan_out` is True, which the shape of"):
        small(square, fan_in_fan_out=True)


def test_a_grown_vocabulary_brings_its_tokenizer(small: Any, tmp_path: Path) -> None:
    """An adapter that stores a larger embedding also says which tokens its rows are."""
    model = small({"model.embed_tokens.weight": (7, 4)})
    assert model.tensors["model.embed_tokens.weight"].shape == (7, 4)
    assert model.tokenizer_folder == tmp_path / "base"
    tokens = {"model": {"vocab": {"z": 0}}}
    (tmp_path / "adapter" / "tokenizer.json").write_text(json.dumps(tokens))
    assert model.tokenizer_folder == tmp_path / "adapter"
    assert model.vocabulary == {"z": 0}
    same = small({"model.embed_tokens.weight": (6, 4)})
    (tmp_path / "adapter" / "tokenizer.json").write_text(json.dumps(tokens))
    assert same.tokenizer_folder == tmp_path / "base"


def test_an_adapter_without_safetensors_is_refused(small: Any, tmp_path: Path) -> None:
    """Older adapters are pickled; the message says what to do."""
    small()
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors; save the adapter"):
        AdaptedCheckpoint(Checkpoint("base", tmp_path / "base"), tmp_path / "adapter")


def test_a_pickled_adapter_is_read_on_request(trained: Any, tmp_path: Path) -> None:
    """As pickled models are: peft wrote `adapter_model.bin` before it had safetensors."""
    _, expected = trained(llama, r=2, target_modules=["q_proj"])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    model = Checkpoint("base", tmp_path / "base")
    with pytest.raises(ModelError, match=r"its weights are pickled \(adapter_model\.bin\)"):
        AdaptedCheckpoint(model, tmp_path / "adapter")
    assert_same(AdaptedCheckpoint(model, tmp_path / "adapter", allow_pickle=True), expected)


def test_factors_of_other_types_are_refused(small: Any) -> None:
    """A factor of whole numbers is no LoRA; the message says which types can be read."""
    adapter = small().adapter.folder
    file = adapter / "adapter_model.safetensors"
    save_file({name: value.long() for name, value in load_file(file).items()}, file)
    with pytest.raises(ModelError, match=r"lora_A.weight' is I64; convert it to one of BF16"):
        AdaptedCheckpoint(Checkpoint("base", adapter.parent / "base"), adapter)


def test_a_recipe_merges_models_with_their_adapters(trained: Any, tmp_path: Path) -> None:
    """`MODEL+ADAPTER` in a recipe gives what a model that peft merged gives."""
    model, expected = trained(llama, r=3, target_modules="all-linear")
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    stored = {name: torch.tensor(expected[name]) for name in model.tensors}
    save_file(stored, tmp_path / "whole" / "model.safetensors")
    for out, reference in (
        ("a", f"{tmp_path}/base+{tmp_path}/adapter"),
        ("b", f"{tmp_path}/whole"),
    ):
        models = [{"model": reference, "parameters": {"weight": 0.7}}]
        recipe = {
            "merge_method": "task_arithmetic",
            "base_model": f"{tmp_path}/base",
            "models": models,
        }
        merge(recipe, tmp_path / out, threads=2)
    ours, theirs = (load_file(tmp_path / out / "model.safetensors") for out in "ab")
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=2e-6, atol=2e-6)
