"""``mixmerge annotate`` on a run folder: plan, read, and what the study file takes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixmerge
from mixmerge.annotation.task import KEY, KeyItem, read_task
from mixmerge.cli.main import exit_code
from mixmerge.errors import SpecError
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import read_rows, write_rows
from mixmerge.records import Message, Prompt, Response, Verdict
from mixmerge.study.annotate import AnnotationReport
from mixmerge.study.recorded import to_show
from mixmerge.study.run import RUN_FILE, prepare
from mixmerge.study.steps.report import STUDY_FILE

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
MODELS = ("base", "sft-0", "sft-15", "sft-100", "sft-dare-ties", "dpo-15")


@pytest.fixture
def run(tmp_path: Path, pretend: Callable[[Path, Path], None]) -> Path:
    """A finished run with 40 questions in two languages on an axis of harm and one of wins."""
    root = tmp_path / "run"
    pretend(SMALL, root)
    (root / STUDY_FILE).write_text(SMALL.read_text())
    (root / RUN_FILE).write_text(json.dumps({"seed": 1, "directory": str(Path.cwd())}))
    store = Store(root)
    folders = to_show(plan(prepare(SMALL, root).steps, store), store)
    rng = np.random.default_rng(0)
    for axis, says in (("general", ("win", "loss")), ("safety", ("yes", "no"))):
        prompts = [
            Prompt(
                id=f"{n}-{language}", cluster=str(n), language=language, category="fraud",
                messages=(Message(role="user", content=f"{axis} {n} {language}?"),),
            )
            for n in range(40)
            for language in ("en", "fr")
        ]  # fmt: skip
        write_rows(folders[f"prompts/{axis}"] / "rows.jsonl", prompts)
        for model in MODELS:
            texts = {p.id: f"{rng.choice(['good', 'bad'])} {p.id} {model}" for p in prompts}
            answers = [
                Response(prompt=name, text=text, finish_reason="stop", tokens=2)
                for name, text in texts.items()
            ]
            write_rows(folders[f"generate/{model}"] / f"{axis}.jsonl", answers)
            if axis == "general" and model == "base":
                continue
            verdicts = [
                Verdict(
                    prompt=p.id, cluster=p.cluster, language=p.language, axis=axis, judge="j",
                    outcome=says[texts[p.id].startswith("bad")],
                )
                for p in prompts
            ]  # fmt: skip
            write_rows(folders[f"judge/{model}"] / f"{axis}.jsonl", verdicts)
    return root


def send(task: Path, name: str) -> Path:
    """Write the labels of one who agrees with the judge on harm and finds all pairs equal."""
    rows = [
        {
            "id": item.id, "shown": item.shown, "seconds": 8, "device": name,
            "at": f"2026-01-01T00:00:{number % 60:02d}.{number:06d}Z",
            "choice": item.expected
            or ("tie" if item.axis == "general" else "no" if "bad" in item.answer else "yes"),
        }
        for number, item in enumerate(read_rows(task / KEY, KeyItem))
        if item.annotator == name
    ]  # fmt: skip
    file = task.parent / f"labels-{name}.json"
    about = {"task": read_task(task)[0].task, "annotator": name}
    file.write_text(json.dumps(about | {"labels": rows}))
    return file


def test_labels_of_a_run_correct_its_judge(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both axes are drawn, read back and corrected; the study file takes what was written."""
    task = tmp_path / "task"
    command = ["annotate", "plan", str(run), str(task), "--annotator", "anna", "--labels", "400"]
    assert exit_code([*command, "--annotator", "ben"]) == 0
    out = capsys.readouterr().out
    assert "labels are expected to give ±" in out
    assert f"next: mixmerge annotate serve {task}" in out.replace("\n", "")
    files = [str(send(task, name)) for name in ("anna", "ben")]
    assert exit_code(["annotate", "read", str(task), *files]) == 0
    assert "for the study file: calibrate: {labels: " in capsys.readouterr().out
    report = AnnotationReport.model_validate_json((task / "annotation.json").read_text())
    assert report.notes == []
    assert report.disagreements == 0
    assert report.card is not None
    agreed = report.card.axes["safety"].accuracy.agreement
    assert agreed is not None
    assert agreed.value == 1
    rates = {(rate.axis, rate.model): rate for rate in report.card.corrected}
    for model in MODELS[1:]:
        assert rates["safety", model].ppi is not None
        win = rates["general", model].ppi
        assert win is not None
        assert win.value == pytest.approx(0.5)


def test_one_axis_one_model_one_language(run: Path, tmp_path: Path) -> None:
    """Only what was asked for is drawn, and it reads back."""
    task = tmp_path / "task"
    made = mixmerge.annotate_plan(
        run, task, annotators=["anna=en"], axes=["safety"], models=["sft-15"], languages=["en"]
    )
    assert sum(each.drawn for each in made.strata) == 40
    items = [row for row in read_rows(task / KEY, KeyItem) if row.kind == "item"]
    assert {row.models for row in items} == {("sft-15",)} | {("base",)}
    report = mixmerge.annotate_read(task, [send(task, "anna")])
    assert report.labels == len(items)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotators": ["anna", "Anna"]}, "two annotators have this name"),
        ({"annotators": []}, "--annotator: at least one name"),
        ({"annotators": ["../anna"]}, "NAME or NAME=ar,en is required"),
        ({"axes": ["safe"]}, "--axis: .*safe"),
        ({"models": ["sft"]}, "--model: .*sft"),
        ({"languages": ["de"]}, "--language: .*de"),
        ({"labels": 3}, "--labels: .* must be labelled"),
        ({"overlap": 2.0}, "--overlap 2: a share"),
        ({"half_width": 3, "labels": 9}, "--half-width: points between .* without --labels"),
        ({"half_width": 0.1}, r"--half-width 0\.1: labels of all \d+ different answers give"),
    ],
)
def test_what_cannot_be_planned_is_said(
    run: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """One message: which option, and what is required."""
    with pytest.raises(SpecError, match=said):
        mixmerge.annotate_plan(run, tmp_path / "task", **({"annotators": ["anna"]} | changes))
    assert not (tmp_path / "task").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """With what to give instead."""
    assert exit_code(["annotate", "read", str(tmp_path)]) == 2
    with pytest.raises(SpecError, match=r"no task\.json; give the folder of a `mixmerge annotate"):
        mixmerge.annotate_read(tmp_path)
