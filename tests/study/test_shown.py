"""Tests of mixmerge.study.shown: which outputs belong to a study."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mixmerge.execute.plan import plan
from mixmerge.execute.store import Store
from mixmerge.study.run import prepare
from mixmerge.study.shown import to_show

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
