"""``select/CHECKPOINT``: choose the candidate that scores best on the prompts of ``selection``.

Steps named ``CANDIDATE@selection`` generate and judge each candidate's answers to those prompts.
This step compares the scores and points to the winner, which becomes the checkpoint.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from mixmerge.errors import SampleError
from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_rows, write_json
from mixmerge.progress import Progress
from mixmerge.records import Axis, RowModel, Verdict
from mixmerge.spec_model import SpecModel
from mixmerge.study.rounds import SELECTION, rounds
from mixmerge.study.spec import Study, model_step
from mixmerge.study.steps.kind import POINTER, StepKind, model_path

CHOICE = "selection.json"


class WeightedAxis(MeasuredAxis):
    """An axis with its measure, weight and limit."""

    weight: float
    limit: float | None = None
    """The worst acceptable value, in the measure's units."""

    def excess(self, share: float) -> float:
        """Return how far a value is beyond the limit, both as shares of the measure's range."""
        if self.limit is None:
            return 0.0
        low, high = self.measure.range
        beyond = share - (self.limit - low) / (high - low)
        return max(0.0, beyond if self.better == "lower" else -beyond)


class SelectSettings(SpecModel):
    """The candidates, and the axes they are compared on."""

    candidates: list[str]
    axes: dict[Axis, WeightedAxis]


class SelectFacts(RowModel):
    """The winner."""

    winner: str


class Select(StepKind[SelectSettings, SelectFacts], kind="select"):
    """Compares the candidates and points to the best; the first wins a tie.

    Writes ``selection.json`` with every candidate's values and score, and ``model.json`` with the
    winner's relative path, so that a run can be moved.
    """

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each chosen checkpoint."""
        chosen = study.chosen()
        if not chosen:
            return
        asked = rounds(study)[-1]
        axes = {
            axis: {
                "measure": spec.measure.model_dump(mode="json"),
                "better": spec.better,
                "weight": asked.weights[axis],
            }
            | ({"limit": asked.limits[axis]} if axis in asked.limits else {})
            for axis, spec in asked.evaluate.axes.items()
        }
        for name, candidates in chosen.items():
            inputs = {f"model:{each}": model_step(study, each) for each in candidates}
            inputs |= {f"verdicts:{each}": f"judge/{each}{SELECTION}" for each in candidates}
            yield Step(self.kind, name, {"candidates": candidates, "axes": axes}, inputs)

    def run(self, task: Task, settings: SelectSettings, progress: Progress) -> SelectFacts:
        """Choose.

        Raises:
            SampleError: a candidate has no verdict at all on an axis.
        """
        progress(0, 1, "scores")
        values = {
            name: {
                axis: _share(name, axis, spec, task.inputs[f"verdicts:{name}"])
                for axis, spec in settings.axes.items()
            }
            for name in settings.candidates
        }
        scores = {name: _score(settings, own) for name, own in values.items()}
        excess = {
            name: sum(spec.excess(own[axis]) for axis, spec in settings.axes.items())
            for name, own in values.items()
        }
        # Limits are constraints: the score only ranks candidates that exceed them equally.
        winner = min(settings.candidates, key=lambda name: (excess[name], -scores[name]))
        found = {
            "winner": winner,
            "weights": {axis: spec.weight for axis, spec in settings.axes.items()},
            "limits": {a: s.limit for a, s in settings.axes.items() if s.limit is not None},
            "candidates": {
                name: {
                    **{a: settings.axes[a].measure.of_share(share) for a, share in own.items()},
                    "score": scores[name],
                    "within_limits": excess[name] == 0,
                }
                for name, own in values.items()
            },
        }
        write_json(task.folder / CHOICE, found)
        model = model_path(task.inputs[f"model:{winner}"])
        write_json(task.folder / POINTER, {"path": os.path.relpath(model, task.folder)})
        return SelectFacts(winner=winner)


def _score(settings: SelectSettings, shares: dict[Axis, float]) -> float:
    return sum(
        spec.weight * (shares[axis] if spec.better == "higher" else -shares[axis])
        for axis, spec in settings.axes.items()
    )


def _share(name: str, axis: Axis, spec: WeightedAxis, folder: Path) -> float:
    import numpy as np

    from mixmerge.evaluation.scores import score_table

    file = folder / f"{axis}.jsonl"
    table = score_table(axis, {"model": read_rows(file, Verdict)}, spec.measure.worth)
    scores = table.scores["model"]
    if np.isnan(scores).all():
        raise SampleError(
            f"{name}: none of {len(scores)} prompts has a verdict on `{axis}`, so it cannot be "
            f"compared with other candidates. Look at {file} for what the judge replied."
        )
    return float(np.nanmean(scores))


KINDS = (Select(),)
