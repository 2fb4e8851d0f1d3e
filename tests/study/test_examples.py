"""The pages about the example studies say what the studies say."""

from collections import Counter
from pathlib import Path

import mixmerge
from mixmerge.study.check import read_study
from mixmerge.study.steps import steps

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def page(name: str) -> str:
    """A page of the documentation, on one line."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def test_the_page_about_8b_agrees_with_the_plan(tmp_path: Path) -> None:
    """Rows, tokens, steps and models on the page are those of `mixmerge plan`."""
    plan = mixmerge.plan(EXAMPLES / "aya23_8b.yaml", tmp_path)
    kinds = Counter(row.step.split("/")[0] for row in plan.rows)
    trained = {row.cost for row in plan.rows if row.step.startswith("train/")}
    assert trained == {"SFT, 313 steps, all weights", "DPO, 157 steps, all weights"}
    said = page("aya23_8b.md")
    rows, tokens = f"{plan.training_rows:,}", f"{plan.training_tokens.count:,}"
    assert f"Training: {rows} rows over all epochs, about {tokens} tokens" in said
    assert f"{kinds['train']} trainings of 313 or 157 steps" in said
    assert f"{kinds['merge']} merges, {kinds['generate']} models to evaluate" in said
    general, safety = (kinds["judge"] - 1) * 1200 * 2, kinds["judge"] * 5404
    assert f"= {general:,}; safety: 15 × 5,404 = {safety:,}" in said
    assert f"{general + safety:,} calls" in said


def test_the_page_about_the_grid_counts_it_right() -> None:
    """Trainings, merges and evaluated models on the page are those of the whole grid."""
    made = steps(read_study(EXAMPLES / "paper" / "all.yaml"))
    chosen_on = sum(step.kind == "generate" and "@" in step.name for step in made)
    kinds = Counter(step.kind for step in made)
    said = page("paper.md")
    assert f"{kinds['train']} trainings, {kinds['merge']} merges" in said
    assert f"{kinds['generate'] - chosen_on} models on test items and {chosen_on}" in said


OF_THEIR_OWN = {"real_model.yaml", "families.yaml", "sizes.yaml"}
"""Studies with another base model."""


def test_every_experiment_is_in_the_whole_grid() -> None:
    """`all.yaml` has every checkpoint of every study on the shipped base, said in the same way."""
    whole = read_study(EXAMPLES / "paper" / "all.yaml")
    for path in sorted((EXAMPLES / "paper").glob("*.yaml")):
        if path.name in OF_THEIR_OWN or path.name.startswith("size-"):
            continue
        study = read_study(path)
        for name, checkpoint in study.checkpoints.items():
            assert whole.checkpoints[name] == checkpoint, f"{path.name}: {name}"
        for section in ("data", "mixtures", "training", "evaluate", "selection", "baselines"):
            own, all_of_it = getattr(study, section), getattr(whole, section)
            if isinstance(own, dict):
                assert own.items() <= all_of_it.items(), f"{path.name}: {section}"
            else:
                assert own == all_of_it, f"{path.name}: {section}"
