"""Tests of mixmerge.study.explain: what a study would do and cost."""

import errno
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import mixmerge
from mixmerge.errors import SpecError
from mixmerge.execution.store import RECORD
from mixmerge.files import read_json, write_json
from mixmerge.study.check import parse_study
from mixmerge.study.graph import mermaid, tree
from mixmerge.study.judge_calls import judge_calls

Pretend = Callable[[Path, Path], None]

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "data" / "small.yaml"
CALIBRATE = "{rules: testbed, probes: 20}"
# The folders of given_models.yaml are made by its script; test_example_runs.py runs both.
EXAMPLES = sorted(set((ROOT / "examples").glob("*.yaml")) - {ROOT / "examples/given_models.yaml"})


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


def test_the_study_and_its_folder_may_be_text(tmp_path: Path) -> None:
    """Functions take paths as text, as the documentation writes them."""
    plan = mixmerge.plan(str(SMALL), str(tmp_path / "run"))
    again = mixmerge.plan(SMALL, tmp_path / "run")
    assert replace(plan, free_bytes=0) == replace(again, free_bytes=0)  # others write files, too
    assert mixmerge.run(str(SMALL), str(tmp_path / "run"), only=["prompts/safety"]) is None
    with pytest.raises(SpecError, match="there is no such checkpoint"):
        mixmerge.adopt(str(SMALL), "sft", str(tmp_path), str(tmp_path / "run"))
    with pytest.raises(SpecError, match=r"no study\.yaml"):
        mixmerge.report(str(tmp_path))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int, tmp_path: Path) -> None:
    """A seed that the study file could not have is refused, wherever it comes from."""
    with pytest.raises(SpecError, match=f"seed {seed}: a seed is a whole number from 0"):
        mixmerge.plan(SMALL, tmp_path / "run", seed=seed)


def test_judge_calls_are_unknown_before_the_prompts(tmp_path: Path) -> None:
    """A judge model is named; its calls are counted when the prompts are there."""
    plan = mixmerge.plan(ROOT / "examples" / "aya23_8b.yaml", tmp_path / "run")
    assert plan.calls.models == ["gpt-4-turbo"]
    assert plan.calls.count is None


def test_judge_calls_are_counted(tmp_path: Path) -> None:
    """Comparisons are asked in both orders, harm once, the base not with itself; probes on top."""
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
    trial = tmp_path / "trial.yaml"
    trial.write_text(text.replace("evaluate:\n", f"evaluate:\n  calibrate: {CALIBRATE}\n"))
    plan, on_trial = (mixmerge.plan(each, tmp_path / "run") for each in (study, trial))
    models = 5
    expected = counts["general"] * 2 * models
    expected += (counts["safety"] + counts["over_refusal"]) * (models + 1)
    assert plan.calls.count == expected
    assert on_trial.calls.count == expected + 5 * 20 * (2 + 1 + 1)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    """A file that the study names and that is not there is said before anything runs."""
    study = tmp_path / "files.yaml"
    text = SMALL.read_text()
    study.write_text(text.replace("general: {testbed: general}", "general: {files: none.jsonl}"))
    with pytest.raises(
        SpecError, match=r"line \d+: data\.general\.files: none\.jsonl does not exist"
    ):
        mixmerge.plan(study, tmp_path / "run")


def todo(study: Path, root: Path) -> dict[str, str]:
    """The steps that would run, with the reason."""
    return {row.step: row.reason for row in mixmerge.plan(study, root).rows if row.state != "done"}


def test_order_and_format_of_the_file_do_not_count(tmp_path: Path, pretend: Pretend) -> None:
    """A study file with its sections and names in another order and style reruns nothing."""
    pretend(SMALL, tmp_path / "run")
    read = yaml.safe_load(SMALL.read_text())
    for section in ("data", "mixtures", "training", "checkpoints"):
        read[section] = dict(reversed(read[section].items()))
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(dict(reversed(read.items())), sort_keys=False))
    assert todo(other, tmp_path / "run") == {}


def test_a_changed_weight_says_what_runs_again_and_why(tmp_path: Path, pretend: Pretend) -> None:
    """That merge, its answers and verdicts, the results and the report; each with its reason."""
    pretend(SMALL, tmp_path / "run")
    study = tmp_path / "changed.yaml"
    models = "models: {sft-0: 0.3, sft-100: 0.7}"
    study.write_text(SMALL.read_text().replace("models: [sft-0, sft-100]", models))
    assert todo(study, tmp_path / "run") == {
        "merge/sft-dare-ties": "models.sft-0.weight changed 0.5 → 0.3",
        "generate/sft-dare-ties": "merge/sft-dare-ties changed",
        "judge/sft-dare-ties": "generate/sft-dare-ties changed",
        "results/study": "judge/sft-dare-ties changed",
        "report/study": "study.checkpoints.sft-dare-ties.merge.models.sft-0.weight "
        "changed 0.5 → 0.3",
    }


def test_studies_share_one_folder(tmp_path: Path, pretend: Pretend) -> None:
    """A second study in the same folder makes only what the first has not made."""
    pretend(SMALL, tmp_path / "run")
    study = tmp_path / "second.yaml"
    merge = "  sft-mean: {merge: {method: linear, models: [sft-0, sft-100]}}\n"
    text = SMALL.read_text().replace("study: small", "study: second")
    study.write_text(text.replace("\nevaluate:", merge + "\nevaluate:"))
    assert set(todo(study, tmp_path / "run")) == {
        "merge/sft-mean",
        "generate/sft-mean",
        "judge/sft-mean",
        "results/study",
        "report/study",
    }


def test_a_moved_folder_stays_valid(tmp_path: Path, pretend: Pretend) -> None:
    """Copied elsewhere, every step is still done."""
    pretend(SMALL, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "else" / "where")
    assert todo(SMALL, tmp_path / "else" / "where") == {}


def test_a_run_folder_that_cannot_be_written_can_be_planned(
    tmp_path: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning only reads: a full or read-only disk is no obstacle."""
    pretend(SMALL, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "cache")

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert todo(SMALL, tmp_path / "run") == {}
    assert not (tmp_path / "run" / "cache").exists()


def test_tokens_follow_finished_trainings(tmp_path: Path, pretend: Pretend) -> None:
    """Before anything ran a rule of thumb is said; afterwards the measured rate is used."""
    before = mixmerge.plan(SMALL, tmp_path / "run").training_tokens
    assert before.count == (3 * 160 + 4 * 16) * 1000 / 4
    assert "until the mixtures are made" in before.rule
    pretend(SMALL, tmp_path / "run")
    for folder in (tmp_path / "run" / "train").glob("sft-0-*"):
        shutil.rmtree(folder)
    again = mixmerge.plan(SMALL, tmp_path / "run")
    # 200 characters a row in every mixture; 8,000 tokens in each of sft-15, sft-100 and dpo-15.
    rate = 200 * (160 + 160 + 64) / (3 * 8000)
    assert again.training_tokens.count == round(160 * 200 / rate)
    assert "as in finished trainings" in again.training_tokens.rule
    assert again.seconds is not None


def test_sizes_in_tokens_are_not_taken_for_rows(tmp_path: Path) -> None:
    """A mixture of 40,000 tokens is planned with 250 tokens a row, and the rule is said."""
    study = tmp_path / "tokens.yaml"
    old, new = (
        "{size: 160, shares: {general: 1}}",
        "{size: 40000, unit: tokens, shares: {general: 1}}",
    )
    study.write_text(SMALL.read_text().replace(old, new))
    plan = mixmerge.plan(study, tmp_path / "run")
    costs = {row.step: row.cost for row in plan.rows}
    assert costs["mix/safety-0-chats"] == "40,000 tokens"
    assert costs["train/sft-0"] == costs["train/sft-100"] == "SFT, 10 steps, all weights"
    assert plan.training_rows == 3 * 160 + 4 * 16
    assert plan.training_tokens.count == 40000 + (2 * 160 + 4 * 16) * 250
    assert "250 tokens a row where a mixture's size is in tokens" in plan.training_tokens.rule


def test_adopted_checkpoints_say_nothing_of_time(tmp_path: Path, pretend: Pretend) -> None:
    """The other trainings take as long as those that were done here."""
    pretend(SMALL, tmp_path)
    before = mixmerge.plan(SMALL, tmp_path)
    for folder in (tmp_path / "train").glob("*"):
        if folder.name.startswith("sft-100"):
            shutil.rmtree(folder)
        elif folder.name.startswith("sft-0"):
            record = read_json(folder / RECORD)
            write_json(folder / RECORD, record | {"adopted": "elsewhere", "seconds": 0.0})
    seconds = mixmerge.plan(SMALL, tmp_path).seconds
    assert before.seconds == 0
    assert seconds is not None
    # sft-15 and dpo-15 took a second each; they were expected to take as long as their rows.
    assert seconds == pytest.approx(2 * 160 * 0.01 / (160 * 0.01 + 64 * 0.03))


def test_the_price_of_judging_is_bounded(tmp_path: Path, pretend: Pretend) -> None:
    """Calls times the longest question and answer times the prices of the study file."""
    study = tmp_path / "priced.yaml"
    judge = (
        "{endpoint: 'http://127.0.0.1:9/v1', model: some-judge, max_tokens: 100, "
        "price: {input: 2, output: 10}}"
    )
    study.write_text(SMALL.read_text().replace("{rules: testbed}", judge))
    pretend(study, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "judge")
    calls = mixmerge.plan(study, tmp_path / "run").calls
    comparisons, single = 160 * 2 * 5, 160 * 2 * 6
    assert calls.count == comparisons + single
    sent = comparisons * (800 + 2 * 24) + single * (800 + 24)
    assert calls.dollars == pytest.approx((sent * 2 + calls.count * 100 * 10) / 1e6)


def test_the_graph_has_every_step_and_edge(tmp_path: Path, pretend: Pretend) -> None:
    """Tree and Mermaid name every step once, with its state; Mermaid draws the edges."""
    pretend(SMALL, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "merge")
    plan = mixmerge.plan(SMALL, tmp_path / "run")
    lines = tree(plan).splitlines()
    drawn = [re.sub(r"^[│├└─ ]*", "", line).split("  (")[0] for line in lines]
    marks = {"done": "✓", "to do": "○", "out of date": "↻"}
    assert sorted(drawn) == sorted(f"{marks[row.state]} {row.step}" for row in plan.rows)
    chart = mermaid(plan)
    names = {step: name for name, step in re.findall(r'(s\d+)\["([^"]+)"\]', chart)}
    assert set(names) == {row.step for row in plan.rows}
    edges = set(re.findall(r"(s\d+) --> (s\d+)", chart))
    for row in plan.rows:
        if row.step != "report/study":
            assert {(names[p], names[row.step]) for p in row.parents} <= edges
    assert (names["results/study"], names["report/study"]) in edges
    assert f'{names["merge/sft-dare-ties"]}["merge/sft-dare-ties"]:::to_do' in chart


def test_endpoints_on_a_panel_are_counted_too() -> None:
    """Every judge model behind an endpoint costs calls, alone or beside others."""
    endpoint = '{endpoint: "http://localhost:8000/v1", model: %s}'
    panel = f"{{panel: [{{rules: testbed}}, {endpoint % 'one'}, {endpoint % 'two'}]}}"
    old = "{testbed: over_refusal, split: dev}, judge: {rules: testbed}"
    small = SMALL.read_text()
    assert old in small
    text = small.replace(old, f"{{testbed: over_refusal, split: dev}}, judge: {panel}")
    assert judge_calls(parse_study(text, "small.yaml"), [], {}, {}).models == ["one", "two"]
    assert judge_calls(parse_study(small, "small.yaml"), [], {}, {}).models == []
