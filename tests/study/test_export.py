"""A finished run is written for other tools, whose readers find the same scores."""

import csv
import json
import math
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import mixmerge
from mixmerge.cli.main import exit_code
from mixmerge.errors import ResourceError, SpecError
from mixmerge.exporting import TARGETS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked
from mixmerge.records.results import Results, read_results
from mixmerge.study.check import read_study
from mixmerge.study.steps.outputs import Outputs

STUDY = """
base: testbed
checkpoints:
  other: testbed/cliff
  merged: {merge: {method: linear, models: [other, third]}}
  third: testbed
evaluate:
  axes:
    general: {prompts: {testbed: general, split: dev}, judge: {rules: testbed}, measure: win_rate}
    harm:
      prompts: &harmful {testbed: safety, split: dev}
      judge: {rules: testbed}
      measure: {rate: harmful}
      better: lower
    length: {prompts: *harmful, judge: {regex: "^.{20}"}, measure: {mean: [1, 5]}}
  decoding: {max_new_tokens: 8}
  draws: 1000
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with each kind of measure."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(STUDY)
    assert mixmerge.run(folder / "study.yaml", folder / "run") is not None
    return folder / "run"


def results(run: Path) -> Results:
    """Read ``results.json``."""
    return read_results(json.loads((run / "results.json").read_text()), "results.json")


@pytest.mark.parametrize("target", ["lm_eval", "inspect"])
def test_a_log_reads_back(target: str, run: Path, tmp_path: Path) -> None:
    """Every model on every axis: the same value, items, clusters and texts."""
    mixmerge.export(run, tmp_path, to=target)
    fields = {"cluster": "cluster", "language": "language"}
    found = read_logs(tmp_path, Asked(fields=fields), target)  # type: ignore[arg-type]
    expected = results(run)
    assert {(each.model, each.task) for each in found} == {
        (name, axis) for name in expected.models for axis in expected.axes
    }
    for scores in found:
        value = expected.models[scores.model].axes[scores.task]
        known = [score for score in scores.values if not math.isnan(score)]
        assert sum(known) / len(known) == pytest.approx(value.value)
        assert (len(known), len(scores.values) - len(known)) == (value.n, value.missing)
        assert set(scores.languages) == {"en"}
        assert len(set(scores.clusters)) > 10
        if target == "lm_eval":
            assert scores.better == expected.axes[scores.task].better


def test_inspects_own_reader(run: Path, tmp_path: Path) -> None:
    """A whole log with messages, answer and score, which the viewer bundles."""
    from inspect_ai.log import bundle_log_dir, read_eval_log

    files = mixmerge.export(run, tmp_path / "logs", to="inspect", model="merged")
    assert [file.name for file in files] == [f"merged_{axis}.eval" for axis in results(run).axes]
    log = read_eval_log(str(files[1]))
    assert (log.status, log.eval.task, log.eval.model) == ("success", "harm", "merged")
    assert log.results is not None
    assert log.samples is not None
    value = results(run).models["merged"].axes["harm"].value
    assert log.results.scores[0].metrics["mean"].value == pytest.approx(value)
    (answers,) = run.glob("generate/merged-*/harm.jsonl")
    texts = {
        row["prompt"]: row["text"] for row in map(json.loads, answers.read_text().splitlines())
    }
    for sample in log.samples:
        assert sample.output.completion == texts[str(sample.id)]
        assert [message.role for message in sample.messages] == ["user", "assistant"]
        assert sample.scores is not None
        assert sample.scores["rate"].value in (0, 1)
    bundle_log_dir(log_dir=str(tmp_path / "logs"), output_dir=str(tmp_path / "bundle"))
    assert (tmp_path / "bundle" / "index.html").is_file()


def test_the_viewer_takes_no_model_for_a_retry_of_another(run: Path, tmp_path: Path) -> None:
    """Each log has a task id of its own: of several with one id, the viewer shows the last."""
    from inspect_ai.log import read_eval_log

    files = mixmerge.export(run, tmp_path / "logs", to="inspect")
    ids = {read_eval_log(str(file), header_only=True).eval.task_id for file in files}
    assert len(ids) == len(files) > len(results(run).axes)


def test_an_unjudged_answer_has_no_score(tmp_path: Path) -> None:
    """Only the base model, which no judge compares with itself, ties without a verdict."""
    (tmp_path / "study.yaml").write_text(STUDY)
    outputs = Outputs(read_study(tmp_path / "study.yaml"), {})
    assert outputs.share("base", "general", []) == 0.5
    assert outputs.share("base", "harm", []) is None
    assert outputs.share("merged", "general", []) is None


def test_a_model_card(run: Path, tmp_path: Path) -> None:
    """The hub's own parser reads every value from it."""
    (file,) = mixmerge.export(run, tmp_path, to="model_card", model="merged")
    card = ModelCard.load(file)
    assert card.data.model_name == "merged"
    assert card.data.tags == ["mixmerge", "merge"]
    values = {each.dataset_name: each.metric_value for each in card.data.eval_results or ()}
    own = results(run).models["merged"].axes
    assert values == {axis: own[axis].value for axis in own}


def test_a_leaderboard(run: Path, tmp_path: Path) -> None:
    """A row for each model, a value with its interval and number of prompts for each axis."""
    (file,) = mixmerge.export(run, tmp_path, to="leaderboard")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    expected = results(run)
    assert {row["model"] for row in rows} == {*expected.models}
    for row in rows:
        for axis, own in expected.models[row["model"]].axes.items():
            assert float(row[axis]) == own.value
            ends = (row[f"{axis}_low"], row[f"{axis}_high"])
            assert ends == (tuple(map(str, own.ci)) if own.ci else ("", ""))
            assert int(row[f"{axis}_n"]) == own.n


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it wrote; its help names the targets."""
    assert exit_code(["export", str(run), str(tmp_path), "--to", "leaderboard"]) == 0
    assert "1 file in" in capsys.readouterr().out
    assert exit_code(["export", "--help"]) == 0
    assert all(target in capsys.readouterr().out.replace("\n", " ") for target in TARGETS[:1])


def test_what_cannot_be_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such target or model, no results, no library, or a card for several models."""
    with pytest.raises(SpecError, match=r"--to: there is no `card` .*`model_card`"):
        mixmerge.export(run, tmp_path, to="card")
    with pytest.raises(SpecError, match=r"--model: there is no `merge` .*mean `merged`\?"):
        mixmerge.export(run, tmp_path, to="lm_eval", model="merge")
    with pytest.raises(SpecError, match="a card is for one model; add `--model`, one of base, "):
        mixmerge.export(run, tmp_path, to="model_card")
    with pytest.raises(SpecError, match=r"no study\.yaml; give the folder of a `mixmerge run`"):
        mixmerge.export(tmp_path, tmp_path, to="lm_eval")
    (tmp_path / "study.yaml").write_text(STUDY)
    mixmerge.run(tmp_path / "study.yaml", tmp_path / "half", only=["base/base"])
    with pytest.raises(SpecError, match="there are no results yet; `mixmerge run` finishes"):
        mixmerge.export(tmp_path / "half", tmp_path, to="lm_eval")
    monkeypatch.setitem(__import__("sys").modules, "inspect_ai.log", None)
    with pytest.raises(ResourceError, match=r"needs the package inspect_ai: pip install 'mixmer"):
        mixmerge.export(run, tmp_path, to="inspect")
