"""Hostile inputs by name: each was, or could have been, a crash, a hang or a flood of memory."""

import contextlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tests.merging.fuzz_mutations import BOMB, HUGE, STRANGE
from tests.merging.fuzz_worlds import RECIPE, worlds
from tests.merging.test_fuzz import limits

from mixmerge.cli.main import exit_code
from mixmerge.errors import ModelError, SpecError, UserError
from mixmerge.merging.engine import merge
from mixmerge.merging.inspection.inspect import inspect

guarded = pytest.mark.usefixtures(limits.__name__)
pytestmark = guarded

World = Callable[[str], Path]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Write one of the fuzzer's worlds and go there."""

    def write(name: str) -> Path:
        for path, content in worlds()[name].items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return write


def change(file: Path, **values: Any) -> None:
    """Set keys of a JSON object."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def change_recipe(folder: Path, **values: Any) -> None:
    """Set keys of a recipe of one document."""
    recipe = yaml.safe_load((folder / RECIPE).read_text())
    (folder / RECIPE).write_text(yaml.safe_dump({**recipe, **values}))


def change_tensors(folder: Path, **values: torch.Tensor) -> None:
    """Replace tensors of a model of one file; ``__`` stands for a point."""
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name.replace("__", "."): value for name, value in values.items()}
    save_file(tensors, folder / "model.safetensors")


def refused(match: str, **settings: Any) -> None:
    """Check that the merge fails with one line and leaves nothing."""
    with pytest.raises(UserError, match=match) as error:
        merge(Path(RECIPE), Path("out"), threads=1, **settings)
    assert "\n" not in str(error.value)
    assert not [path.name for path in Path().iterdir() if path.name.startswith("out")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB + "\nmodels: *x9", r"line \d: stands for .* values; at most"),
        ("models: &a [*a]", "line 1: contains itself"),
        ("base_model: &a {path: *a}", "contains itself"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!timestamp 2020-13-45", "not valid YAML: line 1: could not determine a constructor"),
        ("a: !!map x", "not valid YAML: line 1: expected a mapping node"),
        ("a: " + HUGE, "not valid YAML: line 1: the number 99999999999999999999… is too large"),
        ('name: "\\ud800"', "invalid Unicode character escape"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a\nb", "is `key: value` lines, not 'a b'"),
        ('merge_method: linear\n"x\\ny": 1', r"unknown key `x\\ny`"),
        ("merge_method: linear\nmodels: []\nbase_model: ~nobody-at-all", "at least one entry"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value)[:20],
)
def test_recipes_that_are_traps(world: World, text: str, message: str) -> None:
    """Few lines can stand for billions of values, for themselves, or for what Python cannot say."""
    (world("linear") / RECIPE).write_text(text)
    refused(message)


def test_merge_keys_of_yaml_are_read(world: World) -> None:
    """A mapping may take over another's pairs, and its own pairs come first."""
    folder = world("linear")
    text = """
merge_method: linear
models:
  - &first {model: a, parameters: {weight: 1}}
  - {<<: *first, model: b}
"""
    (folder / RECIPE).write_text(text)
    merge(Path(RECIPE), Path("out"), threads=1)
    merged = load_file("out/model.safetensors")["model.norm.weight"]
    a = load_file("a/model.safetensors")["model.norm.weight"]
    files = sorted(Path("b").glob("*.safetensors"))
    b = next(t["model.norm.weight"] for t in map(load_file, files) if "model.norm.weight" in t)
    assert torch.equal(merged, (a + b.float()) / 2)


@pytest.mark.parametrize("reference", ["~nobody-at-all/x", "x\0y", "y" * 5000, "y/" * 3000, "a\nb"])
def test_references_that_no_system_knows(world: World, reference: str) -> None:
    """A user who does not exist, a byte that no path has, a name that no disk holds."""
    folder = world("linear")
    models = [{"model": reference, "parameters": {"weight": 1}}]
    change_recipe(folder, models=models)
    refused("no such folder")


@pytest.mark.parametrize(
    ("world_name", "changes", "message"),
    [
        ("linear", {"models": [("a", 1e308), ("b", 1e308)]}, "sum|fit"),
        ("linear", {"models": [("a", 1e300), ("b", -1e300)]}, "sum to zero"),
        (
            "linear",
            {"models": [("a", 10**400), ("b", 1)]},
            "line 7: the number 1000.* is too large",
        ),
        ("slerp", {"parameters": {"t": 10**400}}, "the number 1000.* is too large"),
        ("slerp", {"parameters": {"t": float("nan")}}, "finite number"),
        ("slerp", {"parameters": {"t": 1e308}}, "fit|sum"),
        ("ties", {"parameters": {"density": 1, "lambda": 1e308}}, "do not fit BF16"),
        ("union", {"tokenizer": {"pad_to_multiple_of": 10**12}}, "pad_to_multiple_of"),
        ("union", {"tokenizer": {"pad_to_multiple_of": HUGE}}, "pad_to_multiple_of"),
    ],
)
def test_numbers_beyond_all_measure(
    world: World, world_name: str, changes: dict[str, Any], message: str
) -> None:
    """Weights, positions, factors and multiples that no arithmetic holds."""
    if "models" in changes:
        models = [{"model": m, "parameters": {"weight": w}} for m, w in changes["models"]]
        changes = {**changes, "models": models}
    change_recipe(world(world_name), **changes)
    refused(message)


@pytest.mark.parametrize("name", ["..", "x.partial", "x.stage-key", "x" * 300, "a/b", ""])
def test_names_of_stages_are_names_of_folders(world: World, name: str) -> None:
    """A stage's folder lies where stages are made, and is no other stage's note or workplace."""
    folder = world("stages")
    text = (folder / RECIPE).read_text()
    (folder / RECIPE).write_text(
        text.replace("name: first", f"name: {name!r}").replace("model: first", f"model: {name!r}")
    )
    refused("name|reference|must be a folder")


@pytest.mark.parametrize("strange", sorted(set(STRANGE) - {"missing"}))
@pytest.mark.parametrize(
    "file",
    [
        "a/config.json",
        "a/tokenizer.json",
        "a/model.safetensors",
        "a/chat_template.jinja",
        "b/model-00001-of-00002.safetensors",
        "b/model.safetensors.index.json",
        RECIPE,
    ],
)
def test_files_that_are_no_files(world: World, file: str, strange: str) -> None:
    """Pipes, endless devices, circles of links, two terabytes of nothing."""
    folder = world("linear")
    if file == RECIPE and strange in ("pipe", "endless device", "huge and sparse"):
        pytest.skip("a recipe may come from a pipe; whoever gives it is at the keyboard")
    (folder / file).unlink()
    STRANGE[strange](folder / file)
    if file.endswith("jinja") and strange not in ("huge and sparse", "unreadable"):
        merge(Path(RECIPE), Path("out"), threads=1)
        return
    refused(r"recipe\.yml|a/|b/|a:|b:|a and b")


@pytest.mark.parametrize(
    "place", ["../b.safetensors", "/etc/passwd", "x\0y", "..", "", "\ud800", "x" * 300, 7, None]
)
def test_shards_outside_of_the_folder(world: World, place: Any) -> None:
    """An index may only name files of its own folder."""
    index = world("linear") / "b" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["positions"] = place
    index.write_text(json.dumps(content))
    refused("index.json: .*not (a file name|valid JSON)|cannot be read")


def test_a_layer_number_is_no_number_of_layers(world: World) -> None:
    """One tensor of layer 999,999,999 does not make a thousand million layers."""
    folder = world("slices")
    change_tensors(folder / "a", model__layers__999999999__w=torch.zeros(1))
    change(folder / "a" / "config.json", num_hidden_layers=10**9)
    part = {"sources": [{"model": "a", "layer_range": [0, 10**9], "parameters": {"weight": 1}}]}
    change_recipe(folder, slices=[part])
    refused("a: .*layers")


@pytest.mark.parametrize("number", ["007", "\u0663", "1e3"])
def test_numbers_in_other_spellings_are_no_layers(world: World, number: str) -> None:
    """What Python reads as a number need not be the number of a layer."""
    folder = world("slices")
    for name in "ab":
        file = min((folder / name).glob("*.safetensors"))
        tensors = load_file(file)
        tensors[f"model.layers.{number}.w"] = torch.ones(2)
        save_file(tensors, file)
        if name == "b":
            index = folder / "b" / "model.safetensors.index.json"
            content = json.loads(index.read_text())
            content["weight_map"][f"model.layers.{number}.w"] = file.name
            index.write_text(json.dumps(content))
    merge(Path(RECIPE), Path("out"), threads=1)
    merged = load_file("out/model.safetensors")
    assert merged[f"model.layers.{number}.w"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "settings",
    [
        {"num_hidden_layers": 0, "layer_types": []},
        {"num_hidden_layers": 2, "mlp_only_layers": 5},
        {"mlp_only_layers": [[]], "layer_types": [{}, None]},
        {"num_hidden_layers": "two", "architectures": {"a": 1}},
        {"architectures": 3, "vocab_size": [], "tie_word_embeddings": "no"},
        {"text_config": {"text_config": []}, "architectures": [None]},
        {"eos_token_id": [[1], {"a": 2}, None, "x"], "model_type": ["toy"]},
    ],
)
@pytest.mark.parametrize("recipe", ["slices", "union", "linear"])
def test_configurations_with_anything_in_them(
    world: World, recipe: str, settings: dict[str, Any]
) -> None:
    """What a configuration says is a guide, and never a reason to crash."""
    folder = world(recipe)
    models = [path.parent for path in sorted(folder.glob("*/config.json"))]
    for model in models:
        change(model / "config.json", **settings)
    with contextlib.suppress(UserError):
        merge(Path(RECIPE), Path("out"), threads=1)
        assert load_file("out/model.safetensors")
    for more in ([], ["--json"]):
        assert exit_code(["inspect", *map(str, models), *more]) in (0, 2)


@pytest.mark.parametrize("depth", [101, 400, 900, 100_000])
def test_configurations_of_any_depth(world: World, depth: int) -> None:
    """What Python reads and cannot copy or write is refused."""
    folder = world("linear")
    text = (folder / "a" / "config.json").read_text()
    deep = '{"a":' * depth + "1" + "}" * depth
    (folder / "a" / "config.json").write_text(text[:-1] + f', "deep": {deep}}}')
    refused("config.json: not valid JSON: nested too deeply")


@pytest.mark.parametrize("identity", [4_000_000_000, 10**12, -1, "1", True, 1.5, None])
def test_ids_of_tokens_are_no_numbers_of_rows(world: World, identity: Any) -> None:
    """An id of four thousand millions does not make as many rows."""
    folder = world("union")
    for place in ("vocab", "added"):
        content = json.loads((folder / "c" / "tokenizer.json").read_text())
        if place == "vocab":
            content["model"]["vocab"]["far"] = identity
        else:
            content["added_tokens"][0]["id"] = identity
        (folder / "far").mkdir(exist_ok=True)
        (folder / "far" / "tokenizer.json").write_text(json.dumps(content))
        change_recipe(folder, tokenizer={"source": "./far"})
        with contextlib.suppress(UserError):
            merge(Path(RECIPE), Path("out"), threads=1)
        (folder / "c" / "tokenizer.json").write_text(json.dumps(content))
        assert exit_code(["inspect", "a", "c"]) in (0, 2)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lm_head__weight": torch.tensor(1.0)}, "lm_head"),
        ({"lm_head__weight": torch.ones(5)}, "lm_head|rows"),
        ({"lm_head__weight": torch.ones(7, 4, dtype=torch.int64)}, "lm_head"),
        ({"model__embed_tokens__weight": torch.ones(7, 4, dtype=torch.int64)}, "embed_tokens"),
        ({"model__embed_tokens__weight": torch.ones(0, 4)}, "row|token"),
        ({"lm_head__bias": torch.tensor(1.0)}, "lm_head.bias"),
    ],
)
def test_embeddings_that_are_none(
    world: World, tensors: dict[str, torch.Tensor], message: str
) -> None:
    """Rows of tokens need rows, and numbers that can be averaged."""
    folder = world("union")
    for model in ("a", "c"):
        change_tensors(folder / model, **tensors)
    refused(message)


@pytest.mark.parametrize(
    ("change_of_config", "message"),
    [
        ({"lora_alpha": 10**400}, "lora_alpha"),
        ({"lora_alpha": 1e308, "r": 2}, "lora_alpha"),
        ({"rank_pattern": {"(a|a)*" * 20 + "$": 2, "(.*)*(.*)*(.*)*!": 2}}, "rank_pattern"),
        ({"rank_pattern": {"a{99999999999}": 2}}, "rank_pattern"),
        ({"rank_pattern": {"(": 2}}, "rank_pattern"),
        ({"rank_pattern": [1]}, "rank_pattern"),
        ({"fan_in_fan_out": 2}, "fan_in_fan_out"),
    ],
)
def test_adapters_that_are_traps(
    world: World, change_of_config: dict[str, Any], message: str
) -> None:
    """Scales without a number, and patterns that take longer than the sun will shine."""
    change(world("lora") / "adapter" / "adapter_config.json", **change_of_config)
    refused(message)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.float8_e4m3fn, torch.bool])
def test_adapters_of_other_types(world: World, dtype: torch.dtype) -> None:
    """Factors are of a type that can be merged."""
    file = world("lora") / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(file).items()}, file)
    refused("adapter_model")


def test_an_adapter_on_whole_numbers(world: World) -> None:
    """A tensor that would be copied cannot be adapted, and is not copied without its change."""
    folder = world("lora")
    name = "model__layers__1__mlp__up_proj__weight"
    change_tensors(folder / "a", **{name: torch.ones(8, 4, dtype=torch.int64)})
    change_recipe(folder, models=[{"model": "a+adapter", "parameters": {"weight": 1}}])
    refused("up_proj")


def test_headers_with_numbers_of_thousands_of_digits(world: World) -> None:
    """A shape whose product Python would not print."""
    folder = world("linear")
    big = int("9" * 4000)
    entry = {"dtype": "F32", "shape": [big, big], "data_offsets": [0, 8]}
    text = json.dumps({"x": entry}).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(8)
    (folder / "a" / "model.safetensors").write_bytes(content)
    refused("must be a list of integers")


def test_a_model_without_tensors(world: World) -> None:
    """Nothing is not a model."""
    folder = world("linear")
    save_file({}, folder / "a" / "model.safetensors")
    refused("contains no tensors")


@pytest.mark.parametrize("text", ["{{ " + "(" * 3000, "{% if %}", "{{ '\0' }", "{" * 100])
def test_chat_templates_that_are_none(world: World, text: str) -> None:
    """Jinja is checked and never run."""
    change_recipe(world("linear"), chat_template=text)
    refused("chat_template: not valid Jinja")


@pytest.mark.parametrize("content", ["[]", "3", "NaN", '{"eos_token_id": NaN}', "{", ""])
@pytest.mark.parametrize("file", ["generation_config.json", "tokenizer_config.json"])
def test_settings_that_are_no_settings(world: World, file: str, content: str) -> None:
    """What is corrected at the end of a merge is read before it begins."""
    (world("union") / "a" / file).write_text(content)
    refused(file)


@pytest.mark.parametrize("out", ["recipe.yml/x", "x" * 300, "loop/x", "a/config.json"])
def test_places_that_are_none(world: World, out: str) -> None:
    """A folder cannot lie in a file, in a circle of links, or have any name."""
    folder = world("linear")
    (folder / "loop").symlink_to("loop")
    assert exit_code(["merge", RECIPE, out]) == 2
    assert exit_code(["merge", RECIPE, "/"]) == 2


@pytest.mark.parametrize("recipe", ["linear", "stages"])
@pytest.mark.parametrize("neighbour", ["out.partial", "out.stages"])
def test_what_lies_beside_the_output_is_not_touched(
    world: World, recipe: str, neighbour: str
) -> None:
    """A neighbour with the name of the workplace may be somebody's, or an input."""
    folder = world(recipe)
    (folder / neighbour).mkdir()
    (folder / neighbour / "thesis.tex").write_text("years")
    if (recipe, neighbour) == ("linear", "out.stages"):
        merge(Path(RECIPE), Path("out"), threads=1)
    else:
        with pytest.raises(SpecError, match="move it away"):
            merge(Path(RECIPE), Path("out"), threads=1)
    assert (folder / neighbour / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("recipe", ["linear", "stages"])
@pytest.mark.parametrize("neighbour", ["out.partial", "out.stages/first", "out.stages"])
def test_an_input_beside_the_output_is_not_touched(
    world: World, recipe: str, neighbour: str
) -> None:
    """A model that lies where the workplace would be stays, and so does what it leads to."""
    folder = world(recipe)
    (folder / neighbour).parent.mkdir(exist_ok=True)
    (folder / "a").rename(folder / neighbour)
    (folder / "a").symlink_to(neighbour)
    before = {path: path.read_bytes() for path in (folder / neighbour).iterdir()}
    if recipe == "linear" and "stages" in neighbour:
        merge(Path(RECIPE), Path("out"), threads=1)
    else:
        with pytest.raises(SpecError, match=r"choose another folder|move it away"):
            merge(Path(RECIPE), Path("out"), threads=1)
    assert {path: path.read_bytes() for path in (folder / neighbour).iterdir()} == before


def test_a_stage_that_fails_leaves_nothing(world: World) -> None:
    """The stage before it is removed as well."""
    folder = world("stages")
    tensors = load_file(folder / "base" / "model.safetensors")
    tensors["model.norm.weight"][0] = torch.nan
    save_file(tensors, folder / "base" / "model.safetensors")
    refused("NaN")


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 10**30])
def test_any_whole_number_is_a_seed(world: World, seed: int) -> None:
    """Random methods take what a command line can say."""
    folder = world("ties")
    change_recipe(folder, merge_method="dare_ties")
    merge(Path(RECIPE), Path("out"), threads=1, seed=seed)
    assert np.isfinite(
        load_file("out/model.safetensors")["model.norm.weight"].float().numpy()
    ).all()


@pytest.mark.parametrize(
    "options", [["--shard-size", "9" * 400 + "GB"], ["--seed", "x"], ["--threads", "-1"]]
)
def test_options_beyond_all_measure(world: World, options: list[str]) -> None:
    """Every option is checked."""
    world("linear")
    code = exit_code(["merge", RECIPE, "out", *options])
    assert code == (0 if options[0] == "--shard-size" and Path("out").exists() else 2)


def test_inspect_survives_names_of_all_kinds(world: World) -> None:
    """Names that look like markup are shown as they are."""
    folder = world("linear")
    change_tensors(folder / "a", **{"[red]": torch.ones(2), "[bold]x": torch.ones(2)})
    assert exit_code(["inspect", "a", "b"]) == 2
    assert exit_code(["inspect", "a"]) == 0
    with pytest.raises(ModelError, match="no such folder"):
        inspect([folder / "nowhere"])
