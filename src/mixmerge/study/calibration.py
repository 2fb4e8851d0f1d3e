"""The judges' trial as a step of a study: ``calibrate/study``, between results and report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_json, read_rows, write_json
from mixmerge.progress import Progress
from mixmerge.records import Axis, Judge, Prompt, Response, Results, Verdict
from mixmerge.study.spec import Study

STEP = "calibrate/study"
CARD = "judge_card.json"
_ROWS = "rows.jsonl"


def calibrate_step(study: Study, models: list[str]) -> Step | None:
    """Return the step that puts a study's judges on trial; None where the study asks for none.

    Args:
        study: the study.
        models: all models, the base model included.
    """
    spec = study.evaluate.calibrate
    if spec is None:
        return None
    axes = study.evaluate.axes()
    asked = spec.model_dump(mode="json", exclude={"labels"}, exclude_none=True)
    files = {"labels": str(spec.labels)} if spec.labels is not None else {}
    for axis, axis_spec in axes.items():
        files |= {f"{axis}:{role}": str(p) for role, p in axis_spec.judge.paths().items()}
    settings = {
        "calibrate": asked,
        "judges": {axis: axis_spec.judge.meaning() for axis, axis_spec in axes.items()},
        "models": models,
        "seed": study.seed,
        "draws": study.evaluate.draws,
    }
    inputs = {f"prompts:{axis}": f"prompts/{axis}" for axis in axes}
    inputs |= {f"answers:{name}": f"generate/{name}" for name in models}
    inputs |= {f"verdicts:{name}": f"judge/{name}" for name in models}
    inputs |= {"results": "results/study"}
    placement: dict[str, Any] = {
        axis: axis_spec.judge.model_dump(mode="json") for axis, axis_spec in axes.items()
    }
    kind, name = STEP.split("/")
    return Step(kind, name, settings, inputs, files, placement, needs=Needs(seconds=5))


def put_on_trial(task: Task, judges: Mapping[Axis, Judge], progress: Progress) -> dict[str, Any]:
    """Write ``judge_card.json``: the work of the step.

    Args:
        task: the step.
        judges: the judge of each axis, for the probes.
        progress: hears of labels and probes.
    """
    from mixmerge.evaluation.calibration.calibrate import calibrate
    from mixmerge.evaluation.calibration.material import Material
    from mixmerge.evaluation.calibration.spec import CalibrateSpec
    from mixmerge.testbed.judge import RuleJudge

    models: list[str] = task.settings["models"]
    asked = dict(task.settings["calibrate"])
    if "labels" in task.files:
        asked["labels"] = task.files["labels"]
    materials = [
        Material(
            axis,
            judge,
            read_rows(task.inputs[f"prompts:{axis}"] / _ROWS, Prompt),
            {name: _rows(task, "answers", name, axis, Response) for name in models},
            models[0],
            {
                name: _rows(task, "verdicts", name, axis, Verdict)
                for name in models
                if _file(task, "verdicts", name, axis).is_file()
            },
        )
        for axis, judge in judges.items()
    ]
    found = Results.model_validate(read_json(task.inputs["results"] / "results.json"))
    card = calibrate(
        CalibrateSpec(**asked),
        materials,
        rules=RuleJudge(),
        contrasts=found.contrasts,
        seed=task.settings["seed"],
        draws=task.settings["draws"],
        progress=progress,
    )
    write_json(task.folder / CARD, card.model_dump(mode="json"))
    return {"standing": {axis: trial.standing for axis, trial in card.axes.items()}}


def axes_of(task: Task) -> list[Axis]:
    """Return the axes of the step, in the order of the study."""
    return [cast("Axis", axis) for axis in task.settings["judges"]]


def _rows(task: Task, role: str, name: str, axis: Axis, kind: Any) -> list[Any]:
    return read_rows(_file(task, role, name, axis), kind)


def _file(task: Task, role: str, name: str, axis: Axis) -> Path:
    return task.inputs[f"{role}:{name}"] / f"{axis}.jsonl"
