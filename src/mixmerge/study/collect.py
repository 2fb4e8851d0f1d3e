"""From step folders to results, and from results to what the report shows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mixmerge.errors import SpecError
from mixmerge.evaluation.results import ModelInfo, Pair
from mixmerge.evaluation.results import results as estimate
from mixmerge.execution.store import RECORD
from mixmerge.files import read_json, read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Prompt, Response, Results, Verdict
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Costs, Stage
from mixmerge.reporting.input import Answer, ReportInput, Sample, StepCost
from mixmerge.study.calibration import CARD, STEP
from mixmerge.study.spec import Study
from mixmerge.study.steps import BASE, results_settings

Folders = Mapping[str, Path]


def compute_results(
    settings: Mapping[str, Any],
    verdicts: Folders,
    trained: Folders,
    answers: Folders,
    *,
    progress: Progress = silent,
) -> Results:
    """Estimate all that a study reports.

    Args:
        settings: Of the step ``results/study``.
        verdicts: Folder of each model's verdicts; models without one are left out.
        trained: Folder of each training, for its tokens and rows.
        answers: Folder of each model's answers, for their lengths.
        progress: Hears that the estimation begins.
    """
    progress(0, 1, "bootstrap")
    described = {name: info for name, info in settings["models"].items() if name in verdicts}
    models = {BASE: ModelInfo(kind="base")}
    for name, info in described.items():
        kept = {key: value for key, value in info.items() if key != "trainings"}
        models[name] = ModelInfo.model_validate(kept)
    facts = {name: read_json(folder / RECORD)["facts"] for name, folder in trained.items()}
    return estimate(
        settings["study"],
        BASE,
        models,
        {name: read_verdicts(verdicts[name]) for name in models},
        contrasts(models, settings["baselines"]),
        answers={name: read_rows(answers[name] / "general.jsonl", Response) for name in models},
        costs={
            name: Costs(
                training_tokens=sum(facts[training]["tokens"] for training in info["trainings"]),
                training_rows=sum(facts[training]["rows"] for training in info["trainings"]),
            )
            for name, info in described.items()
        },
        seed=settings["seed"],
        draws=settings["draws"],
    )


def contrasts(models: Mapping[str, ModelInfo], baselines: Sequence[str]) -> list[Pair]:
    """Return what is tested: first of all, each merge against the mix of its stage.

    The secondary family: each trained model against the base model, and each expert against the
    mix of its stage.
    """
    mix_of = {models[name].stage: name for name in baselines if name in models}
    primary: list[Pair] = []
    secondary: list[Pair] = []
    for name, info in models.items():
        mix = mix_of.get(info.stage)
        against = mix if mix != name else None  # nothing is tested against itself
        if info.kind == "merge" and against:
            primary.append((name, against, "primary"))
        elif info.kind in ("mixture", "expert"):
            secondary.append((name, BASE, "secondary"))
            if info.kind == "expert" and against:
                secondary.append((name, against, "secondary"))
    return [*primary, *secondary]


def read_verdicts(folder: Path) -> dict[Axis, list[Verdict]]:
    """Read the verdicts of one model by axis."""
    return {
        cast("Axis", file.stem): read_rows(file, Verdict) for file in sorted(folder.glob("*.jsonl"))
    }


def gather(
    study: Study,
    folders: Folders,
    *,
    unfinished: Sequence[str] = (),
    study_file: str = "",
) -> ReportInput:
    """Collect what the report of a finished or unfinished study shows.

    Args:
        study: The study.
        folders: Folder of each finished step, by step id.
        unfinished: Ids of the steps that are not done.
        study_file: Text of the study file.

    Raises:
        SpecError: no model has been judged yet, so there is nothing to report.
    """
    found = _results(study, folders)
    records = {
        name: read_json(folder / RECORD)
        for name, folder in folders.items()
        if (folder / RECORD).is_file()
    }
    return ReportInput(
        results=found,
        judge_card=_judge_card(folders),
        title=study.report.title or study.study,
        languages=study.languages,
        baselines=_baselines(study, found),
        parents={name: study.parents(name) for name in found.models if name != BASE},
        samples=list(_samples(study, folders, list(found.models))),
        steps=[_cost(record) for record in records.values()],
        unfinished=list(unfinished),
        versions=next((record["versions"] for record in records.values()), {}),
        study_file=study_file,
        command=f"mixmerge run {study.study}.yaml --seed {study.seed}",
    )


def _results(study: Study, folders: Folders) -> Results:
    done = folders.get("results/study")
    if done is not None:
        return Results.model_validate(read_json(done / "results.json"))
    settings = results_settings(study)
    judged = {
        name: folders[f"judge/{name}"]
        for name in (BASE, *study.checkpoints)
        if _is_known(name, settings, folders)
    }
    if len(judged) < 2 or BASE not in judged:
        raise SpecError(
            "nothing to report yet: the base model and at least one checkpoint must be judged. "
            "`mixmerge run` goes on where the study stopped."
        )
    trained = {
        name: folders[f"train/{name}"] for name in study.checkpoints if f"train/{name}" in folders
    }
    answers = {name: folders[f"generate/{name}"] for name in judged}
    return compute_results(settings, judged, trained, answers)


def _is_known(name: str, settings: Mapping[str, Any], folders: Folders) -> bool:
    """Say whether all is there that results tell of a model: verdicts, answers and trainings."""
    trainings = settings["models"].get(name, {"trainings": ()})["trainings"]
    needed = [f"judge/{name}", f"generate/{name}", *(f"train/{each}" for each in trainings)]
    return all(step in folders for step in needed)


def _judge_card(folders: Folders) -> JudgeCard | None:
    done = folders.get(STEP)
    return None if done is None else JudgeCard.model_validate(read_json(done / CARD))


def _baselines(study: Study, found: Results) -> dict[Stage, str]:
    return {study.stage(name): name for name in study.baselines if name in found.models}


def _cost(record: Mapping[str, Any]) -> StepCost:
    is_model = record["kind"] in ("train", "merge", "generate", "judge", "base")
    return StepCost(
        name=record["name"],
        kind=record["kind"],
        model=record["name"] if is_model else None,
        seconds=record["seconds"],
        tokens=record["facts"].get("tokens"),
    )


def _samples(study: Study, folders: Folders, models: Sequence[str]) -> Iterator[Sample]:
    """Yield prompts with every model's answer: the first few of each axis and language."""
    for axis in study.evaluate.axes():
        step = folders.get(f"prompts/{axis}")
        if step is None:
            continue
        answers = {name: _answers(folders, name, axis) for name in models}
        for prompt in _shown(read_rows(step / "rows.jsonl", Prompt), study):
            told = {name: by_id[prompt.id] for name, by_id in answers.items() if prompt.id in by_id}
            yield Sample(prompt=prompt, axis=axis, answers=told)


def _shown(prompts: Sequence[Prompt], study: Study) -> list[Prompt]:
    """Choose whole clusters, evenly over the set, so that one question is seen in all languages."""
    clusters = list(dict.fromkeys(prompt.cluster for prompt in prompts))
    count = min(study.report.samples, len(clusters))
    kept = {clusters[i * len(clusters) // count] for i in range(count)}
    return [prompt for prompt in prompts if prompt.cluster in kept]


def _answers(folders: Folders, name: str, axis: Axis) -> dict[str, Answer]:
    step = folders.get(f"generate/{name}")
    if step is None:
        return {}
    judged = folders.get(f"judge/{name}")
    verdicts: dict[str, Verdict] = {}
    if judged is not None and (judged / f"{axis}.jsonl").is_file():
        verdicts = {v.prompt: v for v in read_rows(judged / f"{axis}.jsonl", Verdict)}
    return {
        row.prompt: Answer(
            text=row.text,
            outcome=verdicts[row.prompt].outcome if row.prompt in verdicts else None,
            reason=verdicts[row.prompt].reason if row.prompt in verdicts else "",
        )
        for row in read_rows(step / f"{axis}.jsonl", Response)
    }
