"""What is decided before a weight is read."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe

Load = Callable[[Path], dict[str, Array]]
EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


def layers(model: Path, low: int, high: int, **parameters: Any) -> dict[str, Any]:
    """Return a source of a slice."""
    return {"model": str(model), "layer_range": [low, high], "parameters": parameters}


def linear(models: list[Path], weights: tuple[float, ...] = (0.5, 0.5), **more: Any) -> Any:
    """Return a linear merge of whole models."""
    entries = [
        {"model": str(model), "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    return {"merge_method": "linear", "models": entries, **more}


def plan(content: dict[str, Any]) -> MergePlan:
    """Return the plan of a recipe."""
    return plan_merge(read_recipe(content))


def config_of(folder: Path) -> dict[str, Any]:
    """Return a model's configuration."""
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def test_slices_are_stacked(model: Any, weights: Any, load: Load, tmp_path: Path) -> None:
    """Every tensor comes from its own layers; the configuration counts the new ones."""
    config = {"num_hidden_layers": 3, "layer_types": ["full", "sliding", "full"], "vocab_size": 5}
    a, b = (model(name, weights(seed), config=config) for seed, name in enumerate("ab"))
    content = {
        "merge_method": "linear",
        "slices": [
            {"sources": [layers(a, 0, 2)]},
            {"sources": [layers(a, 1, 3, weight=3), layers(b, 0, 2)]},
        ],
        "parameters": {"weight": 1},
    }
    merge(content, tmp_path / "out")
    x, y, got = load(a), load(b), load(tmp_path / "out")
    expected: dict[str, Any] = {EMBEDDING: x[EMBEDDING]}
    for name in (NORM, HEAD):
        expected[name] = 0.75 * x[name] + 0.25 * y[name]
    for kind in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm"):
        n0, n1, n2, n3 = (f"model.layers.{layer}.{kind}.weight" for layer in range(4))
        expected |= {n0: x[n0], n1: x[n1]}
        expected |= {n2: 0.75 * x[n1] + 0.25 * y[n0], n3: 0.75 * x[n2] + 0.25 * y[n1]}
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-6)
    made = config_of(tmp_path / "out")
    assert made["num_hidden_layers"] == 4
    assert made["layer_types"] == ["full", "sliding", "sliding", "full"]


def test_a_merge_can_be_made_again_from_its_folder(
    model: Any, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe that a merge leaves is whole, and its folders are found from anywhere."""
    model("a", weights(1))
    model("b", weights(2))
    monkeypatch.chdir(tmp_path)
    rules = [{"filter": "mlp", "value": [0, 1]}, {"value": 0.5}]
    content = {
        "merge_method": "linear",
        "slices": [{"sources": [layers(Path("a"), 0, 2, weight=rules), layers(Path("b"), 1, 3)]}],
        "parameters": {"weight": 1},
    }
    merge(content, tmp_path / "out")
    monkeypatch.chdir("/")
    merge(tmp_path / "out" / "mixmerge_recipe.yml", tmp_path / "again")
    first, again = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "again")
    )
    assert first == again


def test_a_gradient_runs_within_each_slice(model: Any, weights: Any) -> None:
    """From its first layer to its last; embeddings, norm and head take the first value."""
    a, b = (model(name, weights(seed)) for seed, name in enumerate("ab"))
    parts = [
        {"sources": [layers(a, 0, 3, weight=[0, 1]), layers(b, 0, 3, weight=1)]},
        {"sources": [layers(a, 0, 1, weight=[3, 4]), layers(b, 2, 3, weight=1)]},
    ]
    made = plan({"merge_method": "linear", "slices": parts})
    weight = {
        row.output.name: row.arguments["weight"] for row in made.rows if row.arguments is not None
    }
    name = "model.layers.{}.mlp.up_proj.weight".format
    assert [weight[name(layer)] for layer in range(4)] == [(0, 1), (0.5, 1), (1, 1), (4, 1)]
    assert weight[EMBEDDING] == (0, 1)
    assert weight[NORM] == weight[HEAD] == (3, 1)


def test_a_tied_head_is_the_embedding(model: Any, weights: Any, load: Load, tmp_path: Path) -> None:
    """Where one model stores a head, the embedding of one that ties it is merged with it."""
    tensors = weights(1)
    del tensors[HEAD]
    tied = model("tied", tensors, config={"tie_word_embeddings": True})
    untied = model("untied", weights(2), config={"tie_word_embeddings": False})
    for number, models in enumerate(([tied, untied], [untied, tied])):
        out = tmp_path / str(number)
        merge(linear(models), out)
        got, x, y = load(out), load(tied), load(untied)
        np.testing.assert_allclose(got[HEAD], (x[EMBEDDING] + y[HEAD]) / 2, rtol=1e-6)
        assert config_of(out)["tie_word_embeddings"] is False
    merge(linear([tied, tied.rename(tmp_path / "t")][1:], (1,)), tmp_path / "alone")
    assert HEAD not in load(tmp_path / "alone")
    assert config_of(tmp_path / "alone")["tie_word_embeddings"] is True
    (note,) = plan(linear([untied, tmp_path / "t"])).notes
    assert "ties its head to model.embed_tokens.weight" in note


def test_the_head_of_several_slices_is_the_last_ones(model: Any, weights: Any) -> None:
    """A tied last slice gives its embedding; where no slice stores a head, the plan says which."""
    tensors = weights(1)
    del tensors[HEAD]
    tied, other = (model(name, tensors) for name in ("tied", "other"))
    full = model("full", weights(2))
    one = {"weight": 1}

    def sliced(first: Path, *last: Path) -> MergePlan:
        parts = [{"sources": [layers(first, 0, 1)]}, {"sources": [layers(m, 1, 3) for m in last]}]
        return plan({"merge_method": "linear", "slices": parts, "parameters": one})

    head = sliced(tied, tied, full).rows[-1]
    assert head.output.name == HEAD
    assert [source.name.split()[0] for source in head.inputs] == [EMBEDDING, HEAD]
    notes = sliced(tied, other).notes
    assert any("the head is tied to the embedding, so it comes from" in n for n in notes)


def test_strange_tensors_outside_of_the_layers_are_said_to_come_from_the_first_slice(
    model: Any, weights: Any
) -> None:
    """Nobody can know where else they would belong."""
    strange = {"rotary.table": np.ones(2, np.float32), "vision.proj": np.ones(2, np.float32)}
    a, b = (model(name, {**weights(seed), **strange}) for seed, name in enumerate("ab"))
    parts = [{"sources": [layers(a, 0, 1)]}, {"sources": [layers(b, 1, 3)]}]
    made = plan({"merge_method": "linear", "slices": parts, "parameters": {"weight": 1}})
    (note,) = made.notes
    assert "tensor rotary.table and 1 more: outside the layers" in note
    (row,) = [row for row in made.rows if row.output.name == "rotary.table"]
    assert f"{a}/" in row.inputs[0].name


def test_every_model_draws_at_random_by_its_place_in_the_recipe(model: Any, weights: Any) -> None:
    """A model draws the same numbers in each slice; a base that is merged elsewhere comes last."""
    a, b, c = (model(name, weights(seed)) for seed, name in enumerate("abc"))
    parts = [
        {"sources": [layers(c, 0, 1), layers(a, 0, 1), layers(b, 0, 1)]},
        {"sources": [layers(b, 1, 2), layers(c, 1, 2)], "base_model": str(b)},
    ]
    content = {"merge_method": "dare_linear", "slices": parts, "base_model": str(c)}
    made = plan({**content, "parameters": {"weight": 1, "density": 0.5}})
    name = "model.layers.{}.mlp.up_proj.weight".format
    positions = {row.output.name: row.positions for row in made.rows}
    assert positions[name(0)] == (0, 1)
    assert positions[name(1)] == (2,)
    bases = {row.output.name: row.base.name for row in made.rows if row.base is not None}
    assert f"{c}/" in bases[name(0)]
    assert f"{b}/" in bases[name(1)]


@pytest.mark.parametrize("part", [[], [1]])
def test_tensors_that_do_not_fit_in_a_slice_are_refused(
    part: list[int], model: Any, weights: Any
) -> None:
    """Other shapes and missing tensors are named as in the output."""
    tensors = weights(1)
    name = "model.layers.1.mlp.up_proj.weight"
    a = model("a", weights(2))
    b = model("b", {**tensors, name: tensors[name][:3]} if part else _without(tensors, name))
    parts = [{"sources": [layers(a, 0, 1), layers(b, 1, 2)]}]
    message = r"\[8, 4\] in .*a and \[3, 4\] in .*b" if part else r"is in .*a and not in .*b"
    with pytest.raises(ModelError, match=rf"tensor model\.layers\.0\.mlp\.up_proj.* {message}"):
        plan({"merge_method": "linear", "slices": parts, "parameters": {"weight": 1}})


def _without(tensors: dict[str, Array], name: str) -> dict[str, Array]:
    return {key: values for key, values in tensors.items() if key != name}


def test_buffers_that_loaders_compute_are_left_out(model: Any, weights: Any) -> None:
    """Older checkpoints store them and newer ones do not; the plan says what was left out."""
    old = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32),
        "model.layers.0.attn.bias": np.ones((1, 1, 2, 2), np.float32),
    }
    a, b = model("a", {**weights(1), **old}), model("b", weights(2))
    made = plan(linear([a, b]))
    assert not {row.output.name for row in made.rows} & {*old}
    (note,) = made.notes
    assert note.startswith("tensor model.layers.0.attn.bias and 1 more: left out, since loaders")
    real = {"model.layers.0.attn.bias": np.ones(4, np.float32)}
    with pytest.raises(ModelError, match=r"tensor model\.layers\.0\.attn\.bias is in .*c and not"):
        plan(linear([model("c", {**weights(1), **real}), b]))


def test_counters_are_the_donors(model: Any, weights: Any, tmp_path: Path, load: Any) -> None:
    """No two fine-tunes have made the same number of steps, and nothing uses it later."""
    name, late = "encoder.batch_norm.num_batches_tracked", "late.num_batches_tracked"
    types = dict.fromkeys((name, late), "I64")
    a = model("a", {**weights(1), name: np.array(3)}, dtypes=types)
    b = model("b", {**weights(2), name: np.array(8), late: np.array(5)}, dtypes=types)
    notes = merge(linear([a, b]), tmp_path / "out")
    got = load(tmp_path / "out")
    assert (got[name], got[late]) == (3, 5)
    assert [note for note in notes if "not a weight" in note] == [
        f"tensor {name} and 1 more: is not a weight; copied from {a} if it has it"
    ]


def test_sines_of_positions_may_be_missing(model: Any, weights: Any) -> None:
    """Pegasus computes them, and only some versions store them; learned positions are weights."""
    name = "model.encoder.embed_positions.weight"
    for kind, refused in (("pegasus", False), ("bart", True)):
        config = {"model_type": kind}
        a = model("a", weights(1), config=config)
        b = model("b", {**weights(2), name: np.ones((4, 4), np.float32)}, config=config)
        if refused:
            with pytest.raises(ModelError, match=rf"tensor {name} is in .*b and not in"):
                plan(linear([a, b]))
        else:
            assert name in {row.output.name for row in plan(linear([a, b])).rows}


def test_layers_that_predict_further_tokens_follow_the_last_slice(model: Any, weights: Any) -> None:
    """They are numbered behind the layers, however many the output has."""
    config = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    a, b = model("a", weights(1), config=config), model("b", weights(2), config=config)
    parts = [{"sources": [layers(a, 0, 2)]}, {"sources": [layers(b, 1, 2)]}]
    made = plan({"merge_method": "passthrough", "slices": parts})
    name = "model.layers.{}.mlp.up_proj.weight"
    found = {row.output.name: row.inputs[0].name for row in made.rows}
    assert found[name.format(3)].startswith(f"{name.format(2)} of {b}")
    assert found[name.format(2)].startswith(f"{name.format(1)} of {b}")
    assert made.config["num_hidden_layers"] == 3
    with pytest.raises(SpecError, match="has 2 layers, but the recipe asks for layers 0 to 3"):
        plan({"merge_method": "passthrough", "slices": [{"sources": [layers(a, 0, 3)]}]})


def test_the_configuration_has_the_rows_of_the_embedding(model: Any, weights: Any) -> None:
    """Also where the inputs' configurations are wrong about it, nested or not."""
    nested = {"vocab_size": 7, "text_config": {"vocab_size": 7}}
    folder = model("a", weights(1), config=nested)
    made = plan(linear([folder], (1,))).config
    assert (made["vocab_size"], made["text_config"]["vocab_size"]) == (5, 5)
    assert config_of(folder)["vocab_size"] == 7


def test_vocabularies_are_brought_together(
    model: Any, weights: Any, load: Load, tmp_path: Path
) -> None:
    """Rows follow their tokens; the configuration, the tokenizer and the template are true."""
    folders = []
    for seed, tokens in enumerate((["a", "b", "c", "d", "e"], ["c", "a", "x", "b", "d"])):
        folder = model(str(seed), weights(seed), config={"vocab_size": 5, "eos_token_id": 2})
        write_tokenizer(folder, tokens)
        folders.append(folder)
    content = linear(folders, tokenizer_source="union", chat_template="{{ messages }}")
    merge(content, tmp_path / "out")
    x, y, got = load(folders[0]), load(folders[1]), load(tmp_path / "out")
    for name in (EMBEDDING, HEAD):
        rows = [(x[name][i] + y[name][j]) / 2 for i, j in ((0, 1), (1, 3), (2, 0), (3, 4))]
        expected = [*rows, x[name][4], y[name][2]]
        np.testing.assert_allclose(got[name], expected, rtol=1e-6)
    made = config_of(tmp_path / "out")
    assert (made["vocab_size"], made["eos_token_id"]) == (6, 2)
    tokenizer = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    known = {**tokenizer["model"]["vocab"]}
    known |= {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert known == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "x": 5}
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ messages }}"


def write_tokenizer(folder: Path, tokens: list[str]) -> None:
    """Write a word-level tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    vocabulary = {token: number for number, token in enumerate(tokens)}
    Tokenizer(WordLevel(vocabulary, unk_token=tokens[0])).save(str(folder / "tokenizer.json"))


def test_stages_that_are_not_merged_yet_are_named(model: Any, weights: Any, tmp_path: Path) -> None:
    """Their folders are taken from the caller, by name."""
    folder = model("a", weights(1))
    first = {**linear([folder], (1,)), "name": "first"}
    (tmp_path / "r.yml").write_text(yaml.safe_dump_all([first, linear([Path("first")], (1,))]))
    recipe = read_recipe(tmp_path / "r.yml")
    with pytest.raises(SpecError, match="stage `first` must be merged first"):
        plan_merge(recipe)
    assert plan_merge(recipe, stages={"first": folder}).checkpoints[0].path == folder


def test_planning_takes_time_linear_in_the_number_of_tensors(tmp_path: Path) -> None:
    """20,000 tensors with filters and gradients are planned in seconds, not minutes."""
    names = [
        f"model.layers.{i}.mlp.experts.{j}.w{k}"
        for i in range(20)
        for j in range(333)
        for k in range(3)
    ]
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        save_file(
            {tensor: np.zeros(1, np.float32) for tensor in names}, folder / "model.safetensors"
        )
        (folder / "config.json").write_text('{"model_type": "toy"}')
        (folder / "tokenizer.json").write_text('{"model": {"vocab": {}}}')
    rules = [
        {"filter": "w1", "value": [1, 2, 0.5]},
        {"filter": "experts.7", "value": 3},
        {"value": 1},
    ]
    entries = [{"model": str(tmp_path / name), "parameters": {"weight": rules}} for name in "ab"]
    begin = time.process_time()
    made = plan({"merge_method": "linear", "models": entries})
    assert len(made.rows) == 19_980
    assert time.process_time() - begin < 10
