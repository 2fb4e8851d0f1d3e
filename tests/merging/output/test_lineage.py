"""What a merged model says of itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixmerge.merging.output.lineage import (
    RECIPE_FILE,
    _from_anywhere,
    copy_donor_files,
    write_lineage,
)
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe


def linear(*models: str, **more: Any) -> dict[str, Any]:
    """Return a linear merge of models."""
    entries = [{"model": model, "parameters": {"weight": 1}} for model in models]
    return {"merge_method": "linear", "models": entries, **more}


def test_the_card_names_every_input_of_every_stage(
    model: Any, weights: Any, tmp_path: Path
) -> None:
    """With place and fingerprint; a stage is named, since its folder is gone by then."""
    a, b = (str(model(name, weights(seed))) for seed, name in enumerate("ab"))
    (tmp_path / "r.yml").write_text(
        yaml.safe_dump_all([linear(a, name="one"), linear("one", b, chat_template="chatml")])
    )
    recipe = read_recipe(tmp_path / "r.yml")
    first = plan_merge(recipe.stages["one"])
    made = model("made", weights(2))
    plan = plan_merge(recipe, stages={"one": made})
    out = tmp_path / "out"
    out.mkdir()
    copy_donor_files(plan, out)
    write_lineage(plan, out, 7, {"one": first})
    card = (out / "README.md").read_text()
    for place, checkpoint in (
        ("stage `one`", plan.checkpoints[0]),
        (f"`{b}`", plan.checkpoints[1]),
        (f"`{a}`", first.checkpoints[0]),
    ):
        assert f"| {checkpoint.name} | {place} | `{checkpoint.fingerprint}` |" in card
    assert str(made) not in card
    assert "seed 7" in card
    assert "chat template: the recipe's" in card
    assert "<|im_start|>" in (out / "chat_template.jinja").read_text()
    assert read_recipe(out / RECIPE_FILE) == recipe


def test_the_card_says_what_was_left_out(model: Any, weights: Any, tmp_path: Path) -> None:
    """Nothing is dropped without a word."""
    buffer = {"model.layers.0.rotary_emb.inv_freq": np.ones(2, np.float32)}
    plan = plan_merge(read_recipe(linear(str(model("a", {**weights(1), **buffer})))))
    write_lineage(plan, tmp_path, 0)
    card = (tmp_path / "README.md").read_text()
    assert "Note: tensor model.layers.0.rotary_emb.inv_freq: left out" in card


def test_folders_in_the_recipe_are_found_from_anywhere(
    model: Any, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders become absolute, also below stages and under adapters; other names stay."""
    model("a", weights(1))
    (tmp_path / "lora").mkdir()
    monkeypatch.chdir(tmp_path)
    final = linear("one+lora", "org/b", tokenizer_source="./a")
    (tmp_path / "r.yml").write_text(yaml.safe_dump_all([linear("a", name="one"), final]))
    moved = _from_anywhere(read_recipe(tmp_path / "r.yml"))
    assert [item.path for item in moved.inputs] == [f"one+{tmp_path}/lora", "org/b"]
    assert [item.path for item in moved.stages["one"].inputs] == [f"{tmp_path}/a"]
    assert moved.tokenizer is not None
    assert moved.tokenizer.source == f"{tmp_path}/a"
