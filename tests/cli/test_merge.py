"""Behaviour of `mixmerge merge` on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mixmerge.cli.main import exit_code


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A gradient over two layers of two models that transformers does not know."""
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        values = np.random.default_rng(seed).normal(size=(3, 4, 4)).astype(np.float32)
        names = ("model.embed_tokens", "model.layers.0.mlp", "model.layers.1.mlp")
        tensors = {f"{key}.weight": value for key, value in zip(names, values, strict=True)}
        save_file(tensors, tmp_path / name / "model.safetensors")
        config = {"model_type": "toy", "architectures": ["Toy"], "num_hidden_layers": 2}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    (tmp_path / "recipe.yml").write_text(
        "merge_method: linear\n"
        "models:\n"
        f"- {{model: {tmp_path}/a, parameters: {{weight: [1, 0]}}}}\n"
        f"- {{model: {tmp_path}/b, parameters: {{weight: [0, 1]}}}}\n"
    )
    return tmp_path / "recipe.yml"


def test_a_dry_run_shows_every_tensor_and_writes_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row for each tensor with its own settings; what is common stands above."""
    before = sorted(tmp_path.rglob("*"))
    assert exit_code(["merge", str(recipe), str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "normalize: true" in said
    rows = {line.split()[1]: line for line in said.splitlines() if "model." in line and "│" in line}
    assert "weight: [0, 1]" in rows["model.layers.1.mlp.weight"]
    assert "weight: [1, 0]" in rows["model.embed_tokens.weight"]
    assert (
        "3 tensors, 0.00 GB; not checked: transformers does not know Toy; nothing was written."
        in said
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_the_options_reach_the_merge(recipe: Path, tmp_path: Path) -> None:
    """Small shards, one thread and verification give the model that they should."""
    options = ["--shard-size", "0.1KB", "--threads", "1", "--verify", "--seed", "7"]
    assert exit_code(["merge", str(recipe), str(tmp_path / "out"), *options]) == 0
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert [file.name for file in files] == [
        f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)
    ]
    merged = {name: value for file in files for name, value in load_file(file).items()}
    first = load_file(tmp_path / "a" / "model.safetensors")
    second = load_file(tmp_path / "b" / "model.safetensors")
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.weight"):
        assert np.array_equal(merged[name], first[name])
    assert np.array_equal(merged["model.layers.1.mlp.weight"], second["model.layers.1.mlp.weight"])
    assert "seed 7" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("size", ["five", "5TB", "-1", "1e9"])
def test_a_senseless_size_is_refused(
    recipe: Path, tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message shows what was written and what a size looks like."""
    arguments = ["merge", str(recipe), str(tmp_path / "out"), f"--shard-size={size}"]
    assert exit_code(arguments) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert f"'{size}' is not a size; write for example 500MB or 5GB." in said
    assert not (tmp_path / "out").exists()


def test_what_a_recipe_says_without_effect_is_a_note_or_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the error stream, beside the plan, and with `--strict` in place of the merge."""
    recipe.write_text(recipe.read_text() + "random_seed: 3\n")
    note = "the recipe: `random_seed` has no effect here; it is an option of the command line"
    arguments = ["merge", str(recipe), str(tmp_path / "out")]
    assert exit_code([*arguments, "--strict"]) == 2
    assert f"recipe.yml: {note}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert exit_code([*arguments, "--dry-run"]) == 0
    assert f"note: {note}" in capsys.readouterr().out
    assert exit_code(arguments) == 0
    assert capsys.readouterr().err.splitlines() == [f"note: {note}"]


def test_rows_of_embeddings_are_cut_on_request(recipe: Path, tmp_path: Path) -> None:
    """Both for the merge and for its plan."""
    file = tmp_path / "b" / "model.safetensors"
    tensors = load_file(file)
    name = "model.embed_tokens.weight"
    save_file({**tensors, name: tensors[name][:3].copy()}, file)
    arguments = ["merge", str(recipe), str(tmp_path / "out")]
    assert exit_code([*arguments, "--dry-run"]) == 2
    for options in (["--dry-run"], []):
        assert exit_code([*arguments, "--unsafe-truncate-embeddings", *options]) == 0
    assert load_file(tmp_path / "out" / "model.safetensors")[name].shape == (3, 4)
