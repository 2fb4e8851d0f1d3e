"""Adapters merged into one adapter, against the merge of the whole models and against peft."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.merging.adapters.conftest import (
    WARNINGS,
    MakeAdapter,
    gpt2,
    llama,
    merged_by_peft,
    randomise,
    save,
)
from tests.merging.conftest import read_model

from mixmerge.errors import ModelError, SpecError
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array

pytestmark = WARNINGS

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"]},
    "rslora": {
        "r": 3,
        "lora_alpha": 2,
        "use_rslora": True,
        "target_modules": ["q_proj", "up_proj"],
    },
}


@pytest.fixture
def pair(base: Path, adapter: MakeAdapter) -> list[Path]:
    """Write two adapters of one base that overlap in some modules."""
    return [adapter(name, base, at, **own) for at, (name, own) in enumerate(SETTINGS.items())]


def recipe(models: list[Path], base: Path | None, **keys: Any) -> dict[str, Any]:
    """Return a mergekit recipe with weights 0.7 and 0.5."""
    weights = (0.7, 0.5)
    entries = [
        {"model": str(model), "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    return {"models": entries, **({"base_model": str(base)} if base else {}), **keys}


def relative(ours: Array, theirs: Array) -> float:
    """Return the relative distance of two tensors."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize(
    ("method", "weights"), [("task_arithmetic", (0.7, 0.5)), ("linear", (0.7 / 1.2, 0.5 / 1.2))]
)
def test_a_sum_is_that_of_the_changes_in_float64(
    method: str, weights: tuple[float, float], base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """Concatenated factors with folded scales give W + sum of weighted changes, to rounding."""
    own = base if method == "task_arithmetic" else None
    merge(recipe(pair, own, merge_method=method, adapter={"rank": "exact"}), tmp_path / "out")
    before = {
        name: value.double().numpy()
        for name, value in load_file(base / "model.safetensors").items()
    }
    parts = [merged_by_peft(base, each) for each in pair]
    ours = merged_by_peft(base, tmp_path / "out")
    for name, value in before.items():
        changes = [w * (part[name] - value) for w, part in zip(weights, parts, strict=True)]
        assert relative(ours[name], value + sum(changes)) < 1e-7, name
        if any(np.any(change) for change in changes):
            assert relative(ours[name] - value, np.asarray(sum(changes))) < 1e-7, name
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    ranks = {name.rpartition(".")[2]: rank for name, rank in config["rank_pattern"].items()}
    assert {config["r"], *ranks.values()} == {2, 3, 5}


@pytest.mark.parametrize("method", ["ties", "dare_ties", "slerp", "task_arithmetic"])
def test_it_is_the_merge_of_the_whole_models(
    method: str, base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """At full rank the adapter gives what merging whole models gives, with the same draws."""
    keys: dict[str, Any] = {"merge_method": method}
    if "dare" in method or method == "ties":
        keys |= {"parameters": {"density": 0.6}}
    if method == "slerp":
        keys |= {"parameters": {"t": 0.3}}
        made = recipe(pair, pair[0], **keys)
        for entry in made["models"]:
            del entry["parameters"]
    else:
        made = recipe(pair, base, **keys)
    merge(made, tmp_path / "whole", seed=3)
    notes = merge({**made, "adapter": {"rank": 16}}, tmp_path / "out", seed=3)
    assert "relative Frobenius error" in notes[-1]
    merge(
        {"merge_method": "passthrough", "models": [{"model": f"{base}+{tmp_path / 'out'}"}]},
        tmp_path / "again",
    )
    theirs, ours = read_model(tmp_path / "whole"), read_model(tmp_path / "again")
    for name, value in theirs.items():
        assert relative(ours[name], value) < 1e-6, name


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "whole modules": (
        {"r": 2, "target_modules": ["v_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        {"r": 2, "target_modules": ["k_proj", "lm_head"]},
    ),
    "biases": (
        {"r": 2, "target_modules": ["v_proj"], "bias": "all"},
        {"r": 3, "target_modules": ["k_proj", "v_proj"], "lora_bias": True},
    ),
    "patterns": (
        {"r": 2, "target_modules": "all-linear", "rank_pattern": {"q_proj": 4}},
        {"r": 3, "target_modules": ["up_proj"], "alpha_pattern": {"1.mlp.up_proj": 7}},
    ),
    "embeddings": (
        {"r": 2, "target_modules": ["embed_tokens", "lm_head"]},
        {"r": 3, "target_modules": ["embed_tokens"]},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_adapters_may_hold_is_merged(
    kind: str, base: Path, adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Modules trained whole in one adapter only, biases, patterns of ranks, embeddings."""
    pair = [adapter(f"adapter-{at}", base, at, **own) for at, own in enumerate(KINDS[kind])]
    made = recipe(pair, base, merge_method="task_arithmetic")
    merge(made, tmp_path / "whole")
    merge(made | {"adapter": {"rank": "exact"}}, tmp_path / "out")
    ours, theirs = merged_by_peft(base, tmp_path / "out"), read_model(tmp_path / "whole")
    for name, value in theirs.items():
        assert relative(ours[name], value) < 1e-6, name


@pytest.mark.parametrize("how", ["cat", "svd"])
def test_it_is_what_peft_makes_of_the_same_adapters(
    how: str, base: Path, adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Peft's weighted adapter, concatenated or cut to a rank, changes the model alike."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    own = [{"r": 3, "lora_alpha": 5}, {"r": 4, "lora_alpha": 2, "use_rslora": True}]
    names = [
        adapter(f"adapter-{at}", base, at, target_modules=["q_proj", "up_proj"], **each)
        for at, each in enumerate(own)
    ]
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), names[0], "a")
    model.load_adapter(names[1], "b")
    rank = {"svd_rank": 3} if how == "svd" else {}
    model.add_weighted_adapter(["a", "b"], [0.7, 0.5], "both", combination_type=how, **rank)
    model.set_adapter("both")
    theirs = model.merge_and_unload().state_dict()
    made = recipe(names, base, merge_method="task_arithmetic")
    notes = merge(made | {"adapter": {"rank": 3 if how == "svd" else "exact"}}, tmp_path / "out")
    for name, value in merged_by_peft(base, tmp_path / "out").items():
        assert relative(value, theirs[name].double().numpy()) < 2e-6, name
    error = json.loads((tmp_path / "out" / "mixmerge_adapter.json").read_text())["error"]
    assert f"relative Frobenius error {error:.3g}" in notes[-1]
    assert error < 1e-7 if how == "cat" else 0.01 < error < 0.9


def test_the_error_is_what_is_missing(base: Path, pair: list[Path], tmp_path: Path) -> None:
    """The error that is stated, in all and for a module, is the one measured on the matrices."""
    made = recipe(pair, base, merge_method="task_arithmetic")
    merge(made | {"adapter": {"rank": "exact"}}, tmp_path / "exact")
    merge(made | {"adapter": {"rank": 3}}, tmp_path / "cut")
    exact, cut = (merged_by_peft(base, tmp_path / name) for name in ("exact", "cut"))
    before = {n: t.double().numpy() for n, t in load_file(base / "model.safetensors").items()}
    stated = json.loads((tmp_path / "cut" / "mixmerge_adapter.json").read_text())
    squares = np.zeros(2)
    for module, own in stated["modules"].items():
        name = f"{module}.weight"
        change, rest = exact[name] - before[name], exact[name] - cut[name]
        error = np.linalg.norm(rest) / np.linalg.norm(change)
        assert own["error"] == pytest.approx(error, rel=1e-4, abs=1e-6)
        assert own["norm"] == pytest.approx(np.linalg.norm(change), rel=1e-6)
        squares += [np.sum(rest**2), np.sum(change**2)]
    assert stated["error"] == pytest.approx(np.sqrt(squares[0] / squares[1]), rel=1e-4)
    assert {own["rank"] for own in stated["modules"].values()} == {2, 3}


def test_peft_runs_it_on_the_base(base: Path, pair: list[Path], tmp_path: Path) -> None:
    """Loaded by peft without merging, the logits are those of the merged whole models."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    made = recipe(pair, None, merge_method="linear")
    merge(made, tmp_path / "whole")
    merge(made | {"adapter": {"rank": "exact"}}, tmp_path / "out")
    tokens = torch.arange(12)[None]
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base), tmp_path / "out"
    )
    with torch.no_grad():
        torch.testing.assert_close(
            adapted(tokens).logits, whole(tokens).logits, rtol=1e-4, atol=1e-5
        )
    card = (tmp_path / "out" / "README.md").read_text()
    assert "library_name: peft" in card
    assert str(pair[0]) in card


def test_dora_is_merged_by_its_whole_change(
    base: Path, adapter: MakeAdapter, tmp_path: Path
) -> None:
    """DoRA is not linear: without a rank it is refused, and at full rank nothing is lost."""
    own = {"r": 2, "target_modules": ["q_proj", "up_proj"]}
    pair = [adapter("dora", base, 1, use_dora=True, **own), adapter("lora", base, 2, **own)]
    made = recipe(pair, base, merge_method="task_arithmetic")
    with pytest.raises(SpecError, match=r"\w+_proj is trained with DoRA, which is not linear"):
        merge(made | {"adapter": {}}, tmp_path / "out")
    merge(made, tmp_path / "whole")
    merge(made | {"adapter": {"rank": 16}}, tmp_path / "out")
    ours, theirs = merged_by_peft(base, tmp_path / "out"), read_model(tmp_path / "whole")
    for name, value in theirs.items():
        assert relative(ours[name], value) < 1e-6, name


def test_matrices_stored_as_in_out_and_tied_heads(adapter: MakeAdapter, tmp_path: Path) -> None:
    """GPT-2's matrices keep their orientation, and so does LoRA on a tied embedding."""
    model = gpt2()
    randomise(model.parameters(), 1)
    base = save(model, tmp_path / "base")
    own = {"r": 2, "target_modules": ["c_attn", "c_proj", "wte"], "fan_in_fan_out": True}
    pair = [adapter("a", base, 1, **own), adapter("b", base, 2, **own)]
    made = recipe(pair, base, merge_method="task_arithmetic")
    merge(made, tmp_path / "whole")
    theirs = read_model(tmp_path / "whole")
    for name, rank in (("exact", "exact"), ("full", 16)):
        merge(made | {"adapter": {"rank": rank}}, tmp_path / name)
        ours = merged_by_peft(base, tmp_path / name)
        for tensor, value in theirs.items():
            assert relative(ours[tensor], value) < 1e-6, tensor


def test_a_tied_embedding_that_was_trained_stays_tied(adapter: MakeAdapter, tmp_path: Path) -> None:
    """Where embedding and head are one trained weight, both are written, and stay equal."""
    model = llama(tied=True)
    randomise(model.parameters(), 1)
    base = save(model, tmp_path / "base")
    own = {"r": 2, "target_modules": ["v_proj"], "modules_to_save": ["embed_tokens"]}
    pair = [adapter(n, base, at, ensure_weight_tying=True, **own) for at, n in enumerate("ab")]
    made = recipe(pair, base, merge_method="task_arithmetic")
    merge(made, tmp_path / "whole")
    merge(made | {"adapter": {}}, tmp_path / "out")
    ours, theirs = merged_by_peft(base, tmp_path / "out"), read_model(tmp_path / "whole")
    for name, value in theirs.items():
        assert relative(ours[name], value) < 1e-6, name
    assert relative(ours["lm_head.weight"], theirs["model.embed_tokens.weight"]) < 1e-6


def test_what_an_adapter_lacks_is_said_once(
    base: Path, adapter: MakeAdapter, tmp_path: Path
) -> None:
    """A module that one adapter leaves alone, and one that only another trained whole."""
    one = adapter("one", base, 1, r=2, target_modules=["q_proj", "v_proj"])
    saved = {"modules_to_save": ["lm_head"]}
    two = adapter("two", base, 2, r=2, target_modules=["q_proj"], **saved)
    made = recipe([one, two], base, merge_method="task_arithmetic", adapter={"rank": "exact"})
    notes = merge(made, tmp_path / "out")
    assert [note.partition(": ")[0] for note in notes[:2]] == [
        f"{one} does not train lm_head.weight whole; the base's counts for it",
        f"{two} does not change 2 of the modules",
    ]
    assert "vLLM does not load this adapter, since it has whole tensors" in notes[2]
    assert len(notes) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": {"rank": 0}}, "must be `exact` or a whole number above 0, not 0"),
        ({"adapter": {"rank": "all"}}, "must be `exact` or a whole number above 0, not 'all'"),
        ({"adapter": {"rank": 40}}, "rank 40: no changed matrix has more than rank 16"),
        ({"merge_method": "ties"}, "ties is not a weighted sum of the adapters. Give a rank"),
        ({"tokenizer": {"source": "union"}}, "remove `tokenizer` or `adapter`"),
        (
            {"merge_method": "linear", "base_model": None, "parameters": {"normalize": False}},
            r"the weights of \S+ do not sum to one, so the base changes as well",
        ),
    ],
)
def test_recipes_that_make_no_adapter_are_refused(
    changes: dict[str, Any], message: str, base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """Ranks that are none, methods that are no sum, and what changes more than an adapter can."""
    made = recipe(pair, base, merge_method="task_arithmetic", adapter={"rank": "exact"})
    with pytest.raises((SpecError, ModelError), match=message):
        merge({key: value for key, value in (made | changes).items() if value}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_that_make_no_adapter_are_refused(
    base: Path, pair: list[Path], adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Whole models, adapters of another base, a folder that is both, and broken factors."""
    out = tmp_path / "out"
    other = llama()
    randomise(other.parameters(), 9)
    elsewhere = save(other, tmp_path / "elsewhere")
    stranger = adapter("stranger", elsewhere, 3, r=2, target_modules=["q_proj"])
    keys: dict[str, Any] = {"merge_method": "task_arithmetic", "adapter": {"rank": "exact"}}
    with pytest.raises(ModelError, match="elsewhere, whose weights are others: only adapters of"):
        merge(recipe([pair[0], stranger], base, **keys), out)
    with pytest.raises(ModelError, match="elsewhere: is a whole model, and `adapter` merges"):
        merge(recipe([pair[0], elsewhere], base, **keys), out)
    with pytest.raises(ModelError, match="is a whole model, and `adapter` merges adapters into"):
        merge(recipe([elsewhere, base], None, **keys | {"merge_method": "linear"}), out)
    small = save(llama(hidden_size=8), tmp_path / "small")
    with pytest.raises(ModelError, match=r"shape \[\d+, \d+\].*: the adapter is for another model"):
        merge(recipe([pair[0], Path(f"{small}+{pair[1]}")], base, **keys), out)
    config = json.loads((small / "config.json").read_text())
    quantized = config | {"quantization_config": {"load_in_4bit": True}}
    (small / "config.json").write_text(json.dumps(quantized))
    with pytest.raises(ModelError, match="its weights are quantized; write `MODEL"):
        merge(recipe([pair[0], Path(f"{small}+{pair[1]}")], base, **keys), out)
    content = load_file(pair[1] / "adapter_model.safetensors")
    next(iter(content.values()))[0, 0] = float("nan")
    save_file(content, pair[1] / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="contains NaN or infinity"):
        merge(recipe(pair, base, **keys), out)
    (base / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="has the weights of a model and an adapter"):
        merge(recipe(pair, base, **keys), out)
    assert not out.exists()


def test_a_rank_above_that_of_a_small_matrix_is_that_of_the_matrix(
    base: Path, adapter: MakeAdapter, tmp_path: Path
) -> None:
    """Keys have 8 rows here: their cut has rank 8, and loses nothing but rounding."""
    own = {"r": 6, "target_modules": ["k_proj", "q_proj"]}
    pair = [adapter(name, base, at, **own) for at, name in enumerate("ab")]
    made = recipe(pair, base, merge_method="task_arithmetic")
    merge(made | {"adapter": {"rank": "exact"}}, tmp_path / "exact")
    merge(made | {"adapter": {"rank": 10}}, tmp_path / "cut")
    stated = json.loads((tmp_path / "cut" / "mixmerge_adapter.json").read_text())["modules"]
    assert {own["rank"] for name, own in stated.items() if "k_proj" in name} == {8}
    assert {own["rank"] for name, own in stated.items() if "q_proj" in name} == {10}
    exact, cut = (merged_by_peft(base, tmp_path / name) for name in ("exact", "cut"))
    for name in (each for each in exact if "k_proj.weight" in each):
        assert relative(cut[name], exact[name]) < 1e-6, name


def test_an_older_result_is_replaced_and_an_input_is_not(
    base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """The same command twice gives the same folder; an adapter is no place for a result."""
    made = recipe(pair, base, merge_method="task_arithmetic", adapter={"rank": 2})
    merge(made, tmp_path / "out")
    before = folder_fingerprint(tmp_path / "out")
    merge(made, tmp_path / "out", threads=1)
    assert folder_fingerprint(tmp_path / "out") == before
    merge(tmp_path / "out" / "mixmerge_recipe.yml", tmp_path / "again", verify=True)
    again = load_file(tmp_path / "again" / "adapter_model.safetensors")
    for name, value in load_file(tmp_path / "out" / "adapter_model.safetensors").items():
        assert torch.equal(again[name], value)
    with pytest.raises(SpecError, match="is, contains or lies inside the input"):
        merge(made, pair[0])
