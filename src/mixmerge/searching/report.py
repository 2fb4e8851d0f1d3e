"""What a search reports: every candidate, and the front on items that chose nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mixmerge.evaluation.results import results
from mixmerge.records import Axis, Prompt, Results, Verdict, by_prompt, score_of
from mixmerge.records.results import Front, ModelInfo
from mixmerge.searching.experts import Experts
from mixmerge.searching.front import nearest, on_front, simultaneous
from mixmerge.searching.loop import Spent, volumes
from mixmerge.searching.models import StudyObjective, mean_of, variance_of
from mixmerge.searching.objective import Trial, constant_goals, kept_trials, measured_trials
from mixmerge.searching.result import Estimated, Member, OnAxis, SearchResult, Tried, Used
from mixmerge.searching.slices import slices_of
from mixmerge.searching.space import Space
from mixmerge.stats.intervals import ClusterMean
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.results import results_settings

T = TypeVar("T")
Judged = Mapping[Axis, Sequence[Verdict]]


@dataclass(frozen=True)
class Ended:
    """A search that has spent its budget."""

    trials: Sequence[Trial]
    members: Sequence[Trial]
    spent: Spent
    notes: Sequence[str]
    objective: StudyObjective


@dataclass(frozen=True)
class Fresh:
    """The members and the models alone on the prompts that the study reports."""

    experts: Experts
    prompts: Mapping[Axis, Sequence[Prompt]]
    verdicts: Sequence[Judged]
    """By member."""
    answers: int
    """Answers of the members."""


def result_of(study: Study, space: Space, ended: Ended, fresh: Fresh) -> SearchResult:
    """Return the outcome of a search."""
    spec = space.spec
    found = _estimated(study, ended, fresh)
    (front,) = found.fronts.values()
    objective, spent = ended.objective, ended.spent
    names = {trial.number: name_of(trial) for trial in ended.trials}
    models = front_names(fresh.verdicts)
    models |= {name: fresh.experts.verdicts[name] for name in spec.models}
    members = front_names(ended.members)
    # Members and models alone: any of them may be the one that is quoted.
    looks = len(models) * len(objective.goals)
    shown = [
        _member(name, own, members.get(name), front, fresh, objective, looks)
        for name, own in models.items()
    ]
    return SearchResult(
        study=study.study,
        seed=study.seed,
        strategy=spec.strategy,
        models=list(spec.models),
        methods=list(spec.methods),
        goals=list(objective.goals),
        constraints=list(objective.constraints),
        axes=found.axes,
        reference=list(objective.reference),
        used=Used(
            candidates=spent.candidates,
            answers=spent.answers,
            judge_calls=spent.judge_calls,
            dollars=round(spent.dollars, 6),
            answers_of_front=fresh.answers,
        ),
        notes=[*ended.notes, *_notes(ended, names)],
        front=[each for each in shown if each.candidate],
        alone=[each for each in shown if not each.candidate],
        volume=front.volumes.get("merges"),
        volume_alone=front.volumes.get("trained"),
        candidates=_tried(ended, study.seed),
        slices=slices_of(space, objective, ended.trials, names),
    )


def name_of(trial: Trial) -> str:
    """Return a candidate's name in the results."""
    return f"{trial.number}-{trial.candidate.key}"


def recipe_of(trial: Trial) -> dict[str, Any]:
    """Return the `merge` section of a study file for a candidate."""
    return trial.candidate.merge.model_dump(mode="json", exclude_defaults=True)


def front_names(members: Sequence[T]) -> dict[str, T]:
    """Return the members of a front, or what belongs to each, by their names in the results."""
    return {f"front-{number}": member for number, member in enumerate(members, 1)}


def _estimated(study: Study, ended: Ended, fresh: Fresh) -> Results:
    """Estimate the members and the models alone as `mixmerge run` would."""
    part = fresh.experts.study
    assert study.search is not None
    stage = part.stage(study.search.models[0])
    models = {BASE: ModelInfo(kind="base")}
    verdicts: dict[str, Judged] = {BASE: fresh.experts.verdicts[BASE]}
    for name in study.search.models:
        # Not by what they are in the study, where one may be a merge: these are not merged here.
        models[name] = ModelInfo(kind="expert", stage=stage)
        verdicts[name] = fresh.experts.verdicts[name]
    for name, trial in front_names(ended.members).items():
        method = trial.candidate.merge.method
        models[name] = ModelInfo(kind="merge", stage=stage, method=method)
    verdicts |= front_names(fresh.verdicts)
    settings = results_settings(part).model_copy(update={"lengths": {}, "sweeps": {}})
    return results(settings, BASE, models, verdicts)


def _member(
    name: str,
    judged: Judged,
    trial: Trial | None,
    front: Front,
    fresh: Fresh,
    objective: StudyObjective,
    looks: int,
) -> Member:
    means = {axis: _mean(axis, rows, fresh) for axis, rows in judged.items()}
    axes = {}
    for axis, mean in means.items():
        measure = fresh.experts.study.evaluate.axes[axis].measure
        low, high = simultaneous(mean, variance_of(mean), looks)
        ci = (measure.of_share(low), measure.of_share(high))
        axes[axis] = OnAxis(value=measure.of_share(mean.value), ci=ci)
    slacks = {}
    for text, limit in zip(objective.constraints, objective.limits, strict=False):
        low, high = objective.axes[limit.axis].measure.range
        over = (axes[limit.axis].value - limit.value) / (high - low)
        slacks[text] = -over if limit.at_most else over
    return Member(
        name=name,
        candidate=name_of(trial) if trial else "",
        merge=recipe_of(trial) if trial else None,
        axes=axes,
        p_non_dominated=front.p_non_dominated[name],
        slacks=slacks,
    )


def _mean(axis: Axis, verdicts: Sequence[Verdict], fresh: Fresh) -> ClusterMean:
    worth = fresh.experts.study.evaluate.axes[axis].measure.worth
    scores = {prompt: score_of(rows, worth) for prompt, rows in by_prompt(verdicts).items()}
    rows = fresh.prompts[axis]
    return mean_of(np.array([scores[row.id] for row in rows]), rows)


def _tried(ended: Ended, seed: int) -> list[Tried]:
    share = on_front(ended.trials, seed)
    growing = volumes(ended.trials, ended.objective.reference)
    found = []
    for trial, volume in zip(ended.trials, growing, strict=True):
        shown = ended.objective.shown(trial.evidence) if trial.measured else {}
        slacks = trial.measured.slacks if trial.measured else ()
        found.append(
            Tried(
                name=name_of(trial),
                merge=recipe_of(trial),
                looks=len(trial.evidence),
                axes={a: Estimated(value=v, standard_error=e) for a, (v, e) in shown.items()},
                slacks=dict(zip(ended.objective.constraints, slacks, strict=False)),
                p_on_front=share.get(trial.number, 0.0),
                failed=trial.failed,
                hypervolume=volume,
            )
        )
    return found


def _notes(ended: Ended, names: Mapping[int, str]) -> list[str]:
    told, goals = measured_trials(ended.trials), ended.objective.goals
    notes = [
        f"{goals[place]} has the same value for all {len(told)} candidates, so it decided "
        "nothing. Ask about it otherwise, or leave it out of `decide_on`."
        for place in constant_goals(told)
    ]
    failed = [trial for trial in ended.trials if trial.failed]
    if failed:
        notes.append(
            f"{len(failed)} of {len(ended.trials)} candidates have no estimate, the first "
            f"{names[failed[0].number]}: {failed[0].failed}"
        )
    if not kept_trials(ended.trials):
        trial = nearest(ended.trials)
        assert trial.measured is not None
        missed = {
            text: slack
            for text, slack in zip(ended.objective.constraints, trial.measured.slacks, strict=True)
            if slack < 0
        }
        said = "; ".join(f"`{text}` by {-100 * slack:.1f} points" for text, slack in missed.items())
        notes.append(
            f"No candidate keeps all constraints. The nearest is {names[trial.number]}, which "
            f"misses {said}."
        )
    return notes
