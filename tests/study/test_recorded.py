"""Tests of mixmerge.study.recorded: which outputs belong to a study."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import mixmerge
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import write_json
from mixmerge.study.recorded import to_show
from mixmerge.study.run import RUN_FILE, prepare
from mixmerge.study.steps.report import STUDY_FILE

Pretend = Callable[[Path, Path], None]

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


def shown(study: Path, root: Path, *, newer: str = "", seed: int | None = None) -> set[str]:
    """The steps whose output is shown; those of the kind ``newer`` have a newer version."""
    steps = [
        replace(step, version=step.version + (step.kind == newer))
        for step in prepare(study, root, seed=seed).steps
    ]
    return set(to_show(plan(steps, Store(root)), Store(root)))


def everything(study: Path) -> set[str]:
    return {step.id for step in prepare(study).steps}


def test_a_finished_study_is_shown_whole(tmp_path: Path, pretend: Pretend) -> None:
    """Every step that is done is shown."""
    pretend(SMALL, tmp_path)
    assert shown(SMALL, tmp_path) == everything(SMALL)


def test_work_of_an_earlier_version_is_shown(tmp_path: Path, pretend: Pretend) -> None:
    """A newer version of a step hides nothing of what was asked the same; results are made anew."""
    pretend(SMALL, tmp_path)
    for kind in ("mix", "merge"):
        hidden = everything(SMALL) - shown(SMALL, tmp_path, newer=kind)
        assert hidden == {"results/study", "report/study"}


def test_work_of_another_seed_is_not_shown(tmp_path: Path, pretend: Pretend) -> None:
    """With another seed only steps without draws are those of the study."""
    pretend(SMALL, tmp_path)
    kinds = {name.split("/")[0] for name in shown(SMALL, tmp_path, seed=7)}
    assert kinds == {"base", "data", "prompts"}


def test_another_study_in_the_folder_is_not_shown(tmp_path: Path, pretend: Pretend) -> None:
    """Of a checkpoint that another study made otherwise under the same name nothing is shown."""
    pretend(SMALL, tmp_path / "run")
    study = tmp_path / "other.yaml"
    models = "models: {sft-0: 0.3, sft-100: 0.7}"
    study.write_text(SMALL.read_text().replace("models: [sft-0, sft-100]", models))
    hidden = everything(study) - shown(study, tmp_path / "run")
    made = {f"{kind}/sft-dare-ties" for kind in ("merge", "generate", "judge")}
    assert hidden == made | {"results/study", "report/study"}


def test_what_builds_on_deleted_rows_is_shown(tmp_path: Path, pretend: Pretend) -> None:
    """A mixture that was deleted takes nothing that was trained on it with it."""
    pretend(SMALL, tmp_path)
    shutil.rmtree(tmp_path / "mix")
    hidden = everything(SMALL) - shown(SMALL, tmp_path)
    assert {name.split("/")[0] for name in hidden} == {"mix", "results", "report"}


@pytest.fixture
def finished(tmp_path: Path, pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of a study with a file of its own, which `report` is asked to show."""
    here = tmp_path / "here"
    (here / "model").mkdir(parents=True)
    (here / "model" / "config.json").write_text("{}")
    (here / "rows.jsonl").write_text("{}")
    monkeypatch.chdir(here)
    study = here / "study.yaml"
    text = SMALL.read_text().replace("base: testbed", "base: model")
    study.write_text(text.replace("general: {testbed: general}", "general: {files: rows.jsonl}"))
    run = here / "run"
    pretend(study, run)
    shutil.copy(study, run / STUDY_FILE)
    write_json(run / RUN_FILE, {"seed": 1, "directory": str(here)})
    return run


def reported(run: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], list[str]]:
    """The steps that `mixmerge report` shows, and those that it calls unfinished."""
    asked: list[tuple[set[str], list[str]]] = []

    def gather(_: object, folders: dict[str, Path], *, unfinished: list[str], **__: object) -> None:
        asked.append((set(folders), unfinished))

    monkeypatch.setattr("mixmerge.study.steps.report.gather", gather)
    monkeypatch.setattr("mixmerge.reporting.write.write_report", lambda *_, **__: run)
    mixmerge.report(str(run))
    return asked[0]


@pytest.mark.parametrize("gone", [None, "rows.jsonl"])
def test_a_report_needs_no_file_of_the_study(
    finished: Path, gone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another directory, or when a training file is gone, all that was finished is shown."""
    if gone:
        (finished.parent / gone).unlink()
    monkeypatch.chdir(finished.parents[1])
    steps, unfinished = reported(finished, monkeypatch)
    assert "results/study" in steps
    assert unfinished == []
    assert Path.cwd() == finished.parents[1]


def test_a_changed_study_whose_file_is_gone_is_not_taken_for_the_old(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mixture that is asked otherwise than what was made is not shown."""
    (finished.parent / "rows.jsonl").unlink()
    study = finished / STUDY_FILE
    study.write_text(study.read_text().replace("general: 0.85", "general: 0.8"))
    steps, unfinished = reported(finished, monkeypatch)
    assert "mix/safety-15-chats" in unfinished
    assert "train/sft-15" not in steps
    assert "train/sft-0" in steps
