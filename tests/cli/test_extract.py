"""Behaviour of `mixmerge extract`, and of `mixmerge merge --adapter`, on the command line."""

import json
from pathlib import Path

import pytest
from tests.merging.adapters.conftest import llama, randomise, save

from mixmerge.cli.main import exit_code


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Write a base and a model that differs from it everywhere."""
    folders = []
    for seed, name in enumerate(("base", "tuned")):
        model = llama()
        randomise(model.parameters(), seed)
        folders.append(str(save(model, tmp_path / name)))
    return folders


def test_an_extracted_adapter_is_merged_again(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both commands say what was lost, and name the folder."""
    one = str(tmp_path / "one")
    options = ["--rank", "4", "--module", "q_proj", "--module", "up_proj", "--dtype", "bfloat16"]
    assert exit_code(["extract", *pair, one, *options]) == 0
    said = capsys.readouterr()
    assert said.out == f"adapter: {one}\n"
    assert "4 modules of rank 4; relative Frobenius error 0." in said.err
    assert "changed tensors are left out" in said.err
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(
        f"merge_method: linear\nmodels: [{{model: {one}, parameters: {{weight: 2.0}}}}]\n"
    )
    out = tmp_path / "out"
    command = ["merge", str(recipe), str(out), "--adapter", "exact"]
    assert exit_code([*command, "--dry-run"]) == 0
    assert "adapter: 4 modules of rank 4" in capsys.readouterr().out
    assert exit_code(command) == 0
    said = capsys.readouterr()
    assert said.out == f"adapter: {out}\n"
    assert "4 modules of rank 4; relative Frobenius error" in said.err
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    assert config["target_modules"] == ["q_proj", "up_proj"]
    assert config["base_model_name_or_path"] == pair[0]


def test_wrong_ranks_are_the_users_mistake(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, exit code 2, and no folder."""
    out = tmp_path / "out"
    assert exit_code(["extract", *pair, str(out), "--rank", "500"]) == 2
    assert "rank 500: no changed matrix has more than rank" in capsys.readouterr().err
    (tmp_path / "r.yml").write_text(f"merge_method: linear\nmodels: [{{model: {pair[0]}}}]\n")
    for rank in ("none", "0"):
        assert exit_code(["merge", str(tmp_path / "r.yml"), str(out), "--adapter", rank]) == 2
    assert not out.exists()
