"""Axes whose scores are in logs that exist already: results, directions, names, and mistakes."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import mixmerge
from mixmerge.cli.main import exit_code
from mixmerge.errors import SpecError, StepFailedError
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked
from mixmerge.study.check import parse_study
from mixmerge.study.run import prepare

STUDY = """
base: testbed
checkpoints:
  one: testbed/cliff
  two: testbed
evaluate:
  axes:
    old: {{log: {{lm_eval: {logs}{more}}}{axis}}}
  draws: 1000
"""
ITEMS = 40
DATE = "2026-01-02T03-04-05.678901"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes lm-eval's files for a model, its scores repeated."""

    def write(model: str, scores: Sequence[float], task: str = "sums", **changes: Any) -> Path:
        folder = tmp_path / "logs" / model.replace("/", "__")
        folder.mkdir(parents=True, exist_ok=True)
        values = [scores[n % len(scores)] for n in range(changes.get("items", ITEMS))]
        metric, higher = changes.get("metric", "acc"), changes.get("higher", True)
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if known else "N/A"
        results = {
            "results": {task: {f"{metric},none": mean, f"{metric}_stderr,none": 0.0}},
            "configs": {task: {}},
            "versions": {task: changes.get("version", 1)},
            "higher_is_better": {task: {metric: higher}},
            "n-samples": {task: {"effective": len(values)}},
            "model_name": model,
        }
        (folder / f"results_{DATE}.json").write_text(json.dumps(results))
        rows = [
            {
                "doc_id": n,
                "doc": {"question": f"Q{n}", "set": n // 2},
                "target": "A",
                "arguments": {"gen_args_0": {"arg_0": f"Q{n}"}},
                "resps": [[f"answer {value}"]],
                "filter": "none",
                "metrics": [metric],
                "doc_hash": f"{changes.get('content', '')}{n}",
                metric: value,
            }
            for n, value in enumerate(values)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"samples_{task}_{DATE}.jsonl").write_text(text)
        return tmp_path / "logs"

    return write


def study(logs: Path, more: str = "", axis: str = "") -> Path:
    """Write the study beside the logs."""
    file = logs.parent / "study.yaml"
    file.write_text(STUDY.format(logs=logs, more=more, axis=axis))
    return file


def test_existing_logs_are_an_axis(write: Write, tmp_path: Path) -> None:
    """Values, differences and decisions follow; the page of samples has the log's texts."""
    write("base", [0, 1])
    write("one", [1, 1, 1, 0])
    logs = write("two", [0, 0, 0, 0, 1])
    finished = mixmerge.run(study(logs, more=", fields: {cluster: set}"), tmp_path / "run")
    assert finished is not None
    models = finished.results.models
    values = {name: models[name].axes["old"].value for name in models}
    assert values == pytest.approx({"base": 0.5, "one": 0.75, "two": 0.2})
    assert finished.results.axes["old"].better == "higher"
    contrasts = {each.a: each for each in finished.results.contrasts}
    assert contrasts["one"].difference == pytest.approx(0.25)
    assert contrasts["one"].n == ITEMS / 2
    kinds = {path.parents[1].name for path in (tmp_path / "run").glob("*/*/record.json")}
    assert kinds == {"base", "given", "score", "results", "report"}
    (texts,) = (tmp_path / "run").glob("score/one@old-*/texts/answers.jsonl")
    assert json.loads(texts.read_text().splitlines()[0])["text"] == "answer 1"
    assert (tmp_path / "run" / "samples.html").is_file()
    # As `mixmerge compare` reads the run.
    read = {scores.model: scores for scores in read_logs(tmp_path / "run", Asked())}
    assert {name: scores.array.mean() for name, scores in read.items()} == pytest.approx(values)
    told = FORMATS["mixmerge"].texts(read["one"], frozenset({"0"}), Asked())
    assert told["0"].answer == "answer 1"


def test_the_direction_is_the_metrics(write: Write, tmp_path: Path) -> None:
    """A metric of which less is better needs no `better`, and one in other units its bounds."""
    for model, score in (("base", 30.0), ("one", 5.0), ("two", 31.0)):
        logs = write(model, [score, score + 1], metric="ter", higher=False)
    finished = mixmerge.run(study(logs, axis=", measure: {mean: [0, 100]}"), tmp_path / "run")
    assert finished is not None
    assert finished.results.axes["old"].better == "lower"
    won = {each.a: each.better for each in finished.results.decisions}
    assert won["one"] == ("old",)
    stated = study(logs, axis=", measure: {mean: [0, 100]}, better: higher")
    again = mixmerge.run(stated, tmp_path / "run")
    assert again is not None
    assert again.results.axes["old"].better == "higher"


def test_a_log_may_have_other_names(write: Write, tmp_path: Path) -> None:
    """Where they differ from the checkpoints', the study says so; models left over are noted."""
    for model in ("org/base-7b", "one", "two-final", "spare"):
        logs = write(model, [0, 1])
    file = study(logs, more=", models: {base: org/base-7b, two: two-final}")
    plan = mixmerge.plan(file, tmp_path / "run")
    assert not plan.errors
    assert "old: no checkpoint is called `spare`; not used." in plan.notes
    assert mixmerge.run(file, tmp_path / "run", only=["score/two@old"]) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", r"line 8: evaluate.axes.old.log: .*no scores of 'two'; its models are `base`, `one`"),
        (", models: {tow: tow}", "tow is not a checkpoint"),
        (", models: {two: tow}, metric: f1", "there is no metric `f1`"),
        (", models: {two: tow}, task: times", "no scores of the task times"),
        (", models: {two: tow}, fields: {cluster: sett}", "has no field `sett`"),
    ],
)  # fmt: skip
def test_what_a_log_lacks_stops_the_run_at_once(
    more: str, message: str, write: Write, tmp_path: Path
) -> None:
    """Before anything is trained or merged for it; the message names what was found."""
    for model in ("base", "one", "tow"):
        logs = write(model, [0, 1])
    with pytest.raises(SpecError, match=message):
        mixmerge.run(study(logs, more=more), tmp_path / "run")
    assert not list((tmp_path / "run").glob("*/*/record.json"))


@pytest.mark.parametrize(
    ("scores", "changes", "message"),
    [
        ([0, 1], {"version": 2}, "sums: one and the base model .* the version is '2', of the base"),
        ([0, 1], {"content": "new "}, "40 of 40 items have another question"),
        ([0, 1], {"items": 38}, "it has 38 items, the base 40, 38 in common"),
        ([0, 3], {}, r"a grade on old is within 0 and 1 \(seen: 3.0\); give its bounds"),
        ([0, 1], {"task": "times"}, "one was scored on `times`, the base model on `sums`"),
    ],
)
def test_scores_that_cannot_be_compared(
    scores: list[float], changes: dict[str, Any], message: str, write: Write, tmp_path: Path
) -> None:
    """Another version, other questions or fewer of them: the message says what differs."""
    write("base", [0, 1])
    write("two", [0, 1])
    logs = write("one", scores, **changes)
    with pytest.raises(StepFailedError, match=message):
        mixmerge.run(study(logs), tmp_path / "run", only=["score/one@old"])


@pytest.mark.parametrize("scores", [[None], []])
def test_a_log_without_scores(scores: list[Any], write: Write, tmp_path: Path) -> None:
    """Only gaps, or no item at all: the message names the log."""
    write("base", [0, 1])
    write("two", [0, 1])
    logs = write("one", scores or [0], items=ITEMS if scores else 0)
    with pytest.raises(SpecError, match=r"one on sums: no item has a score|no row|no metric"):
        mixmerge.run(study(logs), tmp_path / "run")


def test_a_gap_is_counted(write: Write, tmp_path: Path) -> None:
    """An item without a score is missing for that model, and never guessed."""
    write("base", [0, 1])
    write("two", [0, 1])
    logs = write("one", [1, 1, None, 1, 0])
    finished = mixmerge.run(study(logs), tmp_path / "run")
    assert finished is not None
    own = finished.results.models["one"].axes["old"]
    assert (own.missing, own.n) == (8, 32)
    assert own.value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("key", "task", "extra", "package"),
    [
        ("lm_eval", "mmlu", "lm-eval", "lm_eval"),
        ("inspect", "inspect_evals/gsm8k", "inspect", "inspect_ai"),
    ],
)
def test_a_harness_that_is_not_installed(
    key: str, task: str, extra: str, package: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The run does not start, and doctor says it once: which axis, which extra."""
    text = (
        STUDY.split("    old:", maxsplit=1)[0].format() + f"    new: {{{key}: {{task: {task}}}}}\n"
    )
    (tmp_path / "study.yaml").write_text(text)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == package else find(n))
    required = ["lm-eval>=0.4; extra == 'lm-eval'", "inspect_ai>=0.3; extra == 'inspect'"]
    monkeypatch.setattr("mixmerge.study.packages.metadata.requires", lambda _: required)
    said = rf"needs the package {package}: pip install 'mixmerge\[{extra}\]'"
    with pytest.raises(SpecError, match=rf"line 8: evaluate.axes.new.{key}: {said}"):
        mixmerge.run(tmp_path / "study.yaml", tmp_path / "run")
    assert exit_code(["doctor", str(tmp_path / "study.yaml")]) == 2
    assert capsys.readouterr().out.count(f"needs the package {package}") == 1


HARNESS = STUDY.split("    old:", maxsplit=1)[0].format() + "    new: {lm_eval: {task: mmlu}}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "two: testbed",
            "two: {generate: {endpoint: 'http://localhost:1/v1', model: two}}",
            "evaluate.axes.new: runs lm_eval on the weights of `two`, of which only an endpoint",
        ),
        (
            "evaluate:",
            "selection: {prompts: {new: {testbed: general, split: dev}}}\nevaluate:",
            "selection.prompts.new: `new` is scored by a harness or a log: it has no prompts",
        ),
        ("evaluate:", "evaluate:\n  calibrate: {rules: testbed}", "there is no axis with a judge"),
    ],
)
def test_what_a_harness_cannot_do(old: str, new: str, message: str) -> None:
    """It needs weights, and gives no prompts to choose or to calibrate on."""
    with pytest.raises(SpecError, match=message):
        parse_study(HARNESS.replace(old, new), "study.yaml")


def test_another_metric_does_not_run_the_harness_again(tmp_path: Path) -> None:
    """Only what is read from its log changes."""

    def keys(text: str) -> dict[str, str]:
        (tmp_path / "study.yaml").write_text(text)
        steps = prepare(tmp_path / "study.yaml", tmp_path / "run").steps
        return {item.step.id: str(item.key) for item in plan(steps, Store(tmp_path / "run"))}

    before, after = keys(HARNESS), keys(HARNESS.replace("mmlu}", "mmlu, metric: acc_norm}"))
    assert before.keys() == after.keys()
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert "harness" not in changed
    assert "score" in changed
