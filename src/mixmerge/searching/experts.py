"""The models that a search merges, made and asked by the ordinary steps of their study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixmerge.evaluation.generate_spec import TransformersSpec
from mixmerge.evaluation.measures import Measure, MeasuredAxis
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.execution.events import Listener
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import read_rows
from mixmerge.records import Axis, Response, Verdict, by_prompt, score_of
from mixmerge.study.run import Prepared
from mixmerge.study.spec import BASE, Study, model_step
from mixmerge.study.steps import steps
from mixmerge.study.steps.kind import model_path
from mixmerge.study.steps.results import read_verdicts


@dataclass(frozen=True)
class Experts:
    """The models to merge and the base model, on the prompts of one evaluation."""

    study: Study
    """The part of the study that they need, with this evaluation."""
    models: Mapping[str, Path]
    """Folders of the models to merge."""
    base: Path
    keys: Mapping[str, str]
    """Identities of the steps that made the models, by name; of the base model, too."""
    answers: Mapping[str, Mapping[Axis, list[Response]]]
    """By model, the base model first."""
    verdicts: Mapping[str, Mapping[Axis, list[Verdict]]]
    """By model; the base model has none where its value is fixed."""

    def known(self, name: str) -> dict[Axis, dict[str, float | None]]:
        """Return a model's scores by axis and prompt."""
        axes = self.study.evaluate.judged
        return {axis: self._scores(axis, spec, name) for axis, spec in axes.items()}

    def _scores(self, axis: Axis, spec: MeasuredAxis, name: str) -> dict[str, float | None]:
        measure = spec.measure
        if name == BASE and measure.of_base is not None:
            return {answer.prompt: measure.of_base for answer in self.base_answers(axis)}
        return known_scores(self.verdicts[name][axis], measure)

    def base_answers(self, axis: Axis) -> list[Response]:
        """Return the base model's answers of an axis."""
        return self.answers[BASE][self.study.evaluate.answered(axis)]


def known_scores(verdicts: Sequence[Verdict], measure: Measure) -> dict[str, float | None]:
    """Return the score of every prompt, in the order of the verdicts; None without one."""
    scores = {prompt: score_of(own, measure.worth) for prompt, own in by_prompt(verdicts).items()}
    return {prompt: None if math.isnan(score) else score for prompt, score in scores.items()}


def part_of(study: Study, evaluate: EvaluateSpec) -> Study:
    """Return the part of a study that makes its models to merge and asks them these prompts."""
    assert study.search is not None
    needed = {each for name in study.search.models for each in study.ancestors(name)}
    deciding = study.evaluate.deciding
    asked = evaluate.model_copy(
        update={
            "axes": evaluate.judged,
            "decide_on": tuple(axis for axis in deciding if axis in evaluate.judged),
            "baseline": (),
            "match_on": None,
            "calibrate": None,
            # Merges in memory are answered for by transformers, so the others are, too.
            "generate": TransformersSpec(),
        }
    )
    return study.model_copy(
        update={
            "checkpoints": {n: c for n, c in study.checkpoints.items() if n in needed},
            "arms": {},
            "evaluate": asked,
        }
    )


def make(
    prepared: Prepared, evaluate: EvaluateSpec, listener: Listener, workers: int | None
) -> Experts:
    """Run the steps that make the models to merge, and that ask them and the base model.

    Raises:
        StepFailedError: steps failed; what does not depend on them was finished.
        SpecError: something that the steps need is missing.
    """
    study = part_of(prepared.study, evaluate)
    assert study.search is not None
    own = replace(prepared, study=study, steps=steps(study))
    names = [BASE, *study.search.models]
    made = {name: model_step(study, name) for name in names}
    wanted = [*made.values(), *(f"{kind}/{n}" for kind in ("generate", "judge") for n in names)]
    own.run(listener, workers=workers, only=list(dict.fromkeys(wanted)))
    done = {item.step.id: item for item in plan(own.steps, Store(own.root))}
    folders = {id_: item.folder for id_, item in done.items() if item.folder is not None}
    sources = dict.fromkeys(map(study.evaluate.answered, study.evaluate.judged))
    return Experts(
        study=study,
        models={name: model_path(folders[made[name]]) for name in study.search.models},
        base=model_path(folders[made[BASE]]),
        keys={name: str(done[step].key) for name, step in made.items()},
        answers={
            name: {
                axis: read_rows(folders[f"generate/{name}"] / f"{axis}.jsonl", Response)
                for axis in sources
            }
            for name in names
        },
        verdicts={name: read_verdicts(folders[f"judge/{name}"]) for name in names},
    )
