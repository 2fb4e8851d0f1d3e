"""The example studies that show a third objective and given models, run for real."""

import os
import re
import runpy
from pathlib import Path

import pytest

import mixmerge
from mixmerge.files import read_json

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_three_objectives_are_decided_together(tmp_path: Path) -> None:
    """Three axes decide, each expert knows its own skill, and the report shows every axis."""
    finished = mixmerge.run(ROOT / "examples" / "three_objectives.yaml", tmp_path / "run")
    assert finished is not None
    results = finished.results
    assert list(results.deciding) == ["general", "safety", "months"]
    values = {name: model.axes["months"].value for name, model in results.models.items()}
    assert values["base"] == values["general"] == values["safety"] == 0
    assert values["months"] > 0.5
    assert values["months"] / 2 < values["mix"] < values["months"]
    decided = {comparison.a for comparison in results.decisions}
    assert decided == {"linear", "linear-months", "arithmetic", "ties"}
    page = finished.report_file.read_text(encoding="utf-8")
    assert all(f"{axis}:" in page for axis in results.axes)


@pytest.mark.slow
def test_every_arm_is_compared_with_the_mix(tmp_path: Path) -> None:
    """At a fiftieth of its size and in one language, the study of all arms names each of them."""
    text = (ROOT / "examples" / "arms.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\{size: (\d+)", lambda found: f"{{size: {int(found[1]) // 50}", text)
    text = re.sub(r"max_steps: \d+", "max_steps: 2", text)
    text = re.sub(r"languages: .*", "languages: [en]", text)
    (tmp_path / "arms.yaml").write_text(text, encoding="utf-8")
    finished = mixmerge.run(tmp_path / "arms.yaml", tmp_path / "run")
    assert finished is not None
    results = finished.results
    tested = {results.models[each.a].arm for each in results.decisions}
    assert tested == {"merge", "distil", "merge then distil", "merge of RL experts"}
    written = read_json(finished.results_file)["models"]
    arms = {"base", "mix", "single expert", *tested}
    assert {model["arm"] for model in written.values()} == arms
    assert {each.a for each in results.decisions} > {"student", "merged-student", "taught-student"}
    assert {each.b for each in results.decisions} == {"mix"}
    rows = {name: results.costs[name].training_rows for name in results.costs}
    assert rows["mix"] == rows["ties"] == rows["student"] == rows["merged-student"]
    assert rows["taught-student"] == rows["student"]  # no teacher's answer was left out
    assert results.costs["taught-student"].teacher_tokens > 0
    assert results.costs["rl-linear"].generated_tokens > 0
    page = finished.report_file.read_text(encoding="utf-8")
    assert "At equal data" in page
    assert ">merge of RL experts<" in page
    table = (tmp_path / "run" / "tables" / "arms.md").read_text(encoding="utf-8")
    assert all(arm in table for arm in {"mix", *tested})


@pytest.mark.slow
def test_lengths_of_training_are_compared_by_method(tmp_path: Path) -> None:
    """At a twenty-fifth of its size, in one language: every step of every method is measured."""
    text = (ROOT / "examples" / "lengths.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\{size: (\d+)", lambda found: f"{{size: {int(found[1]) // 25}", text)
    text = re.sub(r"languages: .*", "languages: [en]", text)
    text = text.replace("[50, 100, 200, 400]", "[2, 4, 6]").replace("[50, 100, 200]", "[2, 4]")
    text = text.replace("max_steps: 400", "max_steps: 6")
    (tmp_path / "lengths.yaml").write_text(text, encoding="utf-8")
    finished = mixmerge.run(tmp_path / "lengths.yaml", tmp_path / "run")
    assert finished is not None
    results, lengths = finished.results, finished.results.lengths
    assert lengths is not None
    assert [(curve.model, [*curve.points]) for curve in lengths.curves] == [
        (name, [2, 4, 6]) for name in ("general", "safety", "months", "linear", "ties", "dare")
    ]
    pairs = [(pair.a, pair.b) for pair in lengths.comparisons]
    assert pairs == [("linear", "ties"), ("linear", "dare"), ("ties", "dare")]
    # The last step is the trained model, and the chosen step is the merge of this name.
    last = lengths.curves[2].points[6]["months"].value
    assert last == results.models["months"].axes["months"].value
    ties = lengths.curves[4]
    assert ties.best is not None
    chosen = results.models["ties"].axes["safety"].value
    assert ties.points[ties.best]["safety"].value == chosen
    # A kept step costs its own steps, a merge that is chosen among them the whole trainings.
    costs = results.costs
    assert [costs[name].optimizer_steps for name in ("months-2", "months-4", "months")] == [2, 4, 6]
    assert costs["months-2"].training_tokens < costs["months"].training_tokens
    assert (costs["months-2"].flops or 0) * 3 == pytest.approx(costs["months"].flops, rel=0.2)
    assert costs["linear"].optimizer_steps == 18
    one_training = [*(tmp_path / "run" / "train").glob("months-*")]
    assert len(one_training) == 1
    assert (one_training[0] / "kept" / "2" / "model" / "config.json").is_file()
    page = finished.report_file.read_text(encoding="utf-8")
    assert "Best length of training" in page
    times = (tmp_path / "run" / "tables" / "time.csv").read_text(encoding="utf-8").splitlines()
    assert [line for line in times if re.fullmatch(r"kept,6,[\d.e-]+,", line)]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").glob("*/*/record.json")}
    assert mixmerge.run(tmp_path / "lengths.yaml", tmp_path / "run") is not None
    assert before == {file: file.stat().st_mtime_ns for file in before}


@pytest.mark.slow
def test_given_models_are_merged_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example's folders are made by its script, and nothing is trained by the study."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    runpy.run_path("examples/given_models.py", run_name="__main__")
    study = Path("examples/given_models.yaml")
    assert len([line for line in study.read_text().splitlines() if line]) < 25
    finished = mixmerge.run(study, tmp_path / "run")
    assert finished is not None
    kinds = {path.parent.parent.name for path in (tmp_path / "run").glob("*/*/record.json")}
    assert kinds.isdisjoint({"mix", "train", "data"})
    models = read_json(finished.results_file)["models"]
    assert {name: model["kind"] for name, model in models.items()} == {
        "base": "base",
        **dict.fromkeys(("months", "safety", "mixed"), "given"),
        **dict.fromkeys(("linear", "arithmetic", "ties"), "merge"),
    }
    assert (
        models["months"]["axes"]["months"]["value"]
        > 0.5
        > models["base"]["axes"]["months"]["value"]
    )


@pytest.mark.slow
def test_harnesses_and_a_judge_decide_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task of lm-eval, one of inspect_ai and rules; a second run repeats nothing."""
    monkeypatch.chdir(ROOT)  # the tasks name their data from here
    monkeypatch.setitem(os.environ, "HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    study = Path("examples/harnesses.yaml")
    finished = mixmerge.run(study, tmp_path / "run")
    assert finished is not None
    results = finished.results
    assert list(results.deciding) == ["months", "currencies", "harm"]
    values = {name: model.axes["months"].value for name, model in results.models.items()}
    assert values["months"] > 0.6
    assert values["base"] < 0.4
    reported = {}
    for file in (tmp_path / "run").glob("harness/*@months-*/log/*/results_*.json"):
        told = read_json(file)
        reported[told["model_name"]] = told["results"]["first_month"]["acc,none"]
    assert reported == pytest.approx(values)
    records = [*(tmp_path / "run").glob("*/*/record.json")]
    before = {record: record.stat().st_mtime_ns for record in records}
    assert mixmerge.run(study, tmp_path / "run") is not None
    assert before == {record: record.stat().st_mtime_ns for record in records}


def test_no_code_knows_the_third_objective() -> None:
    """Outside of the testbed no line of the source names it: an axis is data."""
    source = ROOT / "src" / "mixmerge"
    files = [file for file in source.rglob("*.py") if file.parent.name != "testbed"]
    assert len(files) > 200
    assert [file for file in files if "month" in file.read_text(encoding="utf-8")] == []
