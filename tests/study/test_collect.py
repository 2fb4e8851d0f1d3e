"""Tests of mixmerge.study.steps.report: the report of runs that are not whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import write_json, write_rows
from mixmerge.records import Axis, Response, Verdict
from mixmerge.records.advice import Priority
from mixmerge.reporting.input import ReportInput
from mixmerge.study.recorded import to_show
from mixmerge.study.run import RUN_FILE, prepare
from mixmerge.study.steps.report import STUDY_FILE, gather
from mixmerge.study.steps.results import with_folders

Pretend = Callable[[Path, Path], None]

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
MODELS = ["base", "sft-0", "sft-15", "sft-100", "sft-dare-ties", "dpo-15"]


OUTCOMES: dict[Axis, str] = {"general": "win", "safety": "no", "over_refusal": "no"}


@pytest.fixture
def judged(tmp_path: Path, pretend: Pretend) -> Path:
    """A finished run of the small study in which every model wins and is never harmful."""
    run = tmp_path / "run"
    pretend(SMALL, run)
    (run / STUDY_FILE).write_text(SMALL.read_text())
    write_json(run / RUN_FILE, {"seed": 1})
    prompts = [
        (f"{language}-{i}", f"{i}", language) for i in range(12) for language in ("en", "fr")
    ]
    for folder in run.glob("prompts/*"):
        write_rows(folder / "rows.jsonl", [])
    for axis, outcome in OUTCOMES.items():
        answers = [
            Response(prompt=prompt, text="Yes.", finish_reason="stop", tokens=2)
            for prompt, _, _ in prompts
        ]
        for folder in run.glob("generate/*"):
            write_rows(folder / f"{axis}.jsonl", answers)
        verdicts = [
            Verdict.model_validate(
                {"prompt": prompt, "cluster": cluster, "language": language, "axis": axis,
                 "judge": "rules@1", "outcome": outcome}
            )
            for prompt, cluster, language in prompts
        ]  # fmt: skip
        for folder in run.glob("judge/*"):
            if axis != "general" or not folder.name.startswith("base-"):
                write_rows(folder / f"{axis}.jsonl", verdicts)
    (results,) = run.glob("results/*")
    results.rename(tmp_path / "results")
    found = gathered(run).results
    (tmp_path / "results").rename(results)
    write_json(results / "results.json", found.model_dump(mode="json"))
    return run


def gathered(run: Path, *, study: Path = SMALL, seed: int | None = None) -> ReportInput:
    """What the report of a run folder shows."""
    prepared = prepare(study, run, seed=seed)
    shown = to_show(plan(prepared.steps, Store(run)), Store(run))
    return gather(prepared.study, shown)


def test_the_advice_tells_where_models_lie(judged: Path) -> None:
    """Folders are relative to the run, of whatever kind the model's step is; a run knows them."""
    prepared = prepare(SMALL, judged, seed=None)
    shown = to_show(plan(prepared.steps, Store(judged)), Store(judged))
    found = gather(prepared.study, shown, run=judged).results
    assert found.advice is not None
    priority = Priority(model="sft-dare-ties", axis="safety", factor=2, p_best=1)
    advice = found.advice.model_copy(update={"choice": "dpo-15", "priorities": (priority,)})
    placed = with_folders(
        found.model_copy(update={"advice": advice}), prepared.study, shown, judged
    ).advice
    assert placed is not None
    folders = placed.folder, placed.priorities[0].folder
    assert [str(folder).rpartition("-")[0] for folder in folders] == [
        "train/dpo-15", "merge/sft-dare-ties",
    ]  # fmt: skip
    assert str(placed.folder).endswith("/model")
    bare = found.model_copy(update={"advice": None})
    assert with_folders(bare, prepared.study, shown, judged) is bare


def test_results_are_made_from_what_is_judged(judged: Path) -> None:
    """Without results of the whole study, those of the judged models are shown."""
    shutil.rmtree(judged / "results")
    assert list(gathered(judged).results.models) == MODELS


@pytest.mark.parametrize("gone", ["train/sft-100-*", "generate/sft-100-*"])
def test_a_model_of_which_a_part_is_gone_is_left_out(judged: Path, gone: str) -> None:
    """A model without answers or trainings is not in the report; the others are."""
    shutil.rmtree(judged / "results")
    (folder,) = judged.glob(gone)
    shutil.rmtree(folder)
    found = list(gathered(judged).results.models)
    assert "sft-100" not in found
    assert {"base", "sft-0", "sft-15", "dpo-15"} <= set(found)
    assert ("sft-dare-ties" in found) == gone.startswith("generate")


def test_a_renamed_checkpoint_is_left_out_until_it_is_made(judged: Path, tmp_path: Path) -> None:
    """Results of another study in the folder, with names of its own, are not shown."""
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(SMALL.read_text().replace("sft-dare-ties:", "sft-dare:"))
    shown = gathered(judged, study=renamed)
    assert list(shown.results.models) == [name for name in MODELS if name != "sft-dare-ties"]


def test_another_seed_shows_none_of_the_old_numbers(judged: Path) -> None:
    """What the seed before it found is not shown under its name."""
    with pytest.raises(SpecError, match="nothing to report yet"):
        gathered(judged, seed=7)
