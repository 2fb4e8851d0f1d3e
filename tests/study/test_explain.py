"""Tests of mixmerge.study.explain: what a study would do and cost."""

from pathlib import Path

import pytest

import mixmerge
from mixmerge.errors import SpecError

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "data" / "small.yaml"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_planned(path: Path, tmp_path: Path) -> None:
    """Planning needs no network, no GPU and no model, also for the study at 8B."""
    plan = mixmerge.plan(path, tmp_path / "run")
    assert {row.state for row in plan.rows} == {"to do"}
    assert plan.training_rows > 0


def test_costs_of_the_small_study(tmp_path: Path) -> None:
    """Rows times epochs are counted over all trainings: 3 × 160 by SFT, 4 × 16 by DPO."""
    plan = mixmerge.plan(SMALL, tmp_path / "run")
    assert plan.training_rows == 3 * 160 + 4 * 16
    assert plan.calls.models == []
    assert plan.calls.count == 0
    assert plan.seconds is None


def test_judge_calls_are_unknown_before_the_prompts(tmp_path: Path) -> None:
    """A judge model is named; its calls are counted when the prompts are there."""
    plan = mixmerge.plan(ROOT / "examples" / "aya23_8b.yaml", tmp_path / "run")
    assert plan.calls.models == ["gpt-4-turbo"]
    assert plan.calls.count is None


def test_judge_calls_are_counted(tmp_path: Path) -> None:
    """Comparisons are asked in both orders, harm once; the base is not compared with itself."""
    study = tmp_path / "judged.yaml"
    judge = "{endpoint: 'http://127.0.0.1:9/v1', model: some-judge}"
    text = SMALL.read_text().replace("{rules: testbed}", judge)
    study.write_text(text)
    wanted = [f"prompts/{axis}" for axis in ("general", "safety", "over_refusal")]
    mixmerge.run(study, tmp_path / "run", only=wanted)
    counts = {
        axis: len(
            (next((tmp_path / "run").glob(f"prompts/{axis}-*")) / "rows.jsonl")
            .read_text()
            .splitlines()
        )
        for axis in ("general", "safety", "over_refusal")
    }
    plan = mixmerge.plan(study, tmp_path / "run")
    models = 5
    expected = counts["general"] * 2 * models
    expected += (counts["safety"] + counts["over_refusal"]) * (models + 1)
    assert plan.calls.count == expected


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    """A file that the study names and that is not there is said before anything runs."""
    study = tmp_path / "files.yaml"
    text = SMALL.read_text()
    study.write_text(text.replace("general: {testbed: general}", "general: {files: none.jsonl}"))
    with pytest.raises(SpecError, match=r"mix/safety-0-chats: none\.jsonl does not exist"):
        mixmerge.plan(study, tmp_path / "run")
