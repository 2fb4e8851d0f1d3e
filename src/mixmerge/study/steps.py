"""From a study to steps: what each step is asked, and what it builds on.

The graph, by kind::

    base, data, prompts → mix → train → merge → select → generate → judge → results → report

A checkpoint that is chosen is made by ``select``, after its candidates have answered and been
judged on other prompts (`mixmerge.study.selection`). Where the study asks for it, ``calibrate``
puts the judges on trial after the results (`mixmerge.study.calibration`).

Settings hold meaning only. Files outside the run are named in ``files`` and count by content.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mixmerge.testbed
from mixmerge.evaluation.spec import AxisSpec, PromptSetSpec
from mixmerge.execution.step import Needs, Step
from mixmerge.merging.spec import MergeSpec
from mixmerge.mixing.spec import Form, SourceSpec
from mixmerge.study.calibration import calibrate_step
from mixmerge.study.selection import (
    apart,
    choices,
    is_chosen,
    on_selection_items,
    select_step,
    swept,
)
from mixmerge.study.spec import (
    TESTBED,
    Merged,
    Study,
    TestbedSource,
    Trained,
    base_folder,
    expected_rows,
)

BASE = "base"

_TESTBED = Path(mixmerge.testbed.__file__).parent
_WORLD = {"world": str(_TESTBED / "world")}
_WEIGHTS = {"weights": str(_TESTBED / "weights")}

_DRAWN_IN_FILE_ORDER = frozenset({"dare_linear", "dare_ties", "della", "della_linear"})
"""Methods whose random draws hung on the order of the study file up to version 2 of their step."""


def steps(study: Study) -> list[Step]:
    """Return the steps of a study, each after its inputs."""
    models = [BASE, *study.checkpoints]
    tried = {name: merge for merges in swept(study).values() for name, merge in merges.items()}
    trainings = [(n, c) for n, c in study.checkpoints.items() if isinstance(c, Trained)]
    merges = {
        name: checkpoint.merge
        for name, checkpoint in study.checkpoints.items()
        if isinstance(checkpoint, Merged) and checkpoint.sweep is None
    } | tried
    mixtures = dict.fromkeys((c.mixture, _form(study, c)) for _, c in trainings)
    made = [
        _base(study),
        *(_data(study, n, s) for n, s in study.data.items() if isinstance(s, TestbedSource)),
        *(_mix(study, name, form) for name, form in mixtures),
        *(_train(study, name, checkpoint) for name, checkpoint in trainings),
        *(_merge(study, name, merge) for name, merge in merges.items()),
        *_judged(study, models),
        *_choices(study),
        _results(study, models),
    ]
    trial = calibrate_step(study, models)
    made += [trial] if trial else []
    made += [_report(study, made)]
    memory = {str(kind): gigabytes for kind, gigabytes in study.placement.memory_gb.items()}
    return [_with_memory(step, memory.get(step.kind, 0.0)) for step in made]


def _with_memory(step: Step, gigabytes: float) -> Step:
    return replace(step, needs=replace(step.needs, memory_gb=gigabytes))


def model_step(study: Study, name: str) -> str:
    """Return the id of the step that makes a model: the base, a checkpoint or a sweep's merge."""
    if name == BASE:
        return f"base/{BASE}"
    if is_chosen(study, name):
        return f"select/{name}"
    return f"{'train' if isinstance(study.checkpoints.get(name), Trained) else 'merge'}/{name}"


def _judged(study: Study, models: list[str]) -> list[Step]:
    """Return the prompts of a study, and the answers and verdicts of these models."""
    return [
        *(_prompts(study, axis, spec) for axis, spec in study.evaluate.axes().items()),
        *(_generate(study, name) for name in models),
        *(_judge(study, name) for name in models),
    ]


def _choices(study: Study) -> list[Step]:
    """Return what chooses: each candidate judged on items of selection, and the choices."""
    among = choices(study)
    if not among:
        return []
    candidates = list(dict.fromkeys(name for names in among.values() for name in names))
    asked = on_selection_items(study)
    return [
        *apart(_judged(asked, [BASE, *candidates])),
        *(
            select_step(study, name, {each: model_step(study, each) for each in names})
            for name, names in among.items()
        ),
    ]


def _form(study: Study, checkpoint: Trained) -> Form:
    method = study.training[checkpoint.train].method
    return "preferences" if method == "dpo" else "conversations"


def _base(study: Study) -> Step:
    folder = base_folder(study)
    if study.base == TESTBED:
        settings: dict[str, Any] = {"from": "testbed"}
        files = _WEIGHTS
    elif folder is not None:
        settings, files = {"from": "folder"}, {"model": str(folder)}
    else:
        name, _, revision = study.base.partition("@")
        settings, files = {"from": "hub", "name": name, "revision": revision or None}, {}
    return Step("base", BASE, settings, files=files)


def _data(study: Study, name: str, source: TestbedSource) -> Step:
    settings = {"testbed": source.testbed, "name": name, "languages": study.languages}
    return Step("data", name, settings, files=_WORLD, by_output=True)


def _prompts(study: Study, axis: str, spec: AxisSpec) -> Step:
    settings = spec.prompts.model_dump(mode="json", exclude={"files"}, exclude_defaults=True)
    files: dict[str, str] = {}
    if spec.prompts.testbed:
        files |= _WORLD
    if spec.prompts.files is not None:
        settings["files"], files = _roles("prompts", spec.prompts)
    if spec.prompts.hub and Path(spec.prompts.hub).is_dir():
        settings["hub"] = "folder"
        files |= {"hub": spec.prompts.hub}
    settings |= {"axis": axis, "languages": study.languages}
    return Step("prompts", axis, settings, files=files, by_output=True)


def _mix(study: Study, name: str, form: Form) -> Step:
    mixture = study.mixtures[name]
    settings = mixture.model_dump(mode="json", exclude_defaults=True)
    sources: dict[str, Any] = {}
    inputs = {f"held_out:{axis}": f"prompts/{axis}" for axis in study.evaluate.axes()}
    if any(is_chosen(study, each) for each in study.checkpoints):
        asked = on_selection_items(study).evaluate.axes()
        inputs |= {f"held_out:{axis}@selection": f"prompts/{axis}@selection" for axis in asked}
    files: dict[str, str] = {}
    # Of a row that stands in two sources the first is kept: by name, as keys have no order.
    for source_name, source in sorted(study.data.items()):
        if isinstance(source, TestbedSource):
            inputs[f"source:{source_name}"] = f"data/{source_name}"
            sources[source_name] = {"input": True}
            continue
        described = source.model_dump(mode="json", exclude={"files"}, exclude_defaults=True)
        if source.files is not None:
            described["files"], roles = _roles(source_name, source)
            files |= roles
        elif source.hub and Path(source.hub).is_dir():
            described["hub"], files[f"{source_name}:hub"] = "folder", source.hub
        sources[source_name] = described
    if mixture.unit == "tokens":
        inputs["tokenizer"] = f"base/{BASE}"
    settings |= {
        "sources": sources,
        "form": form,
        "languages": study.languages,
        "seed": study.seed,
    }
    step_name = f"{name}-{'pairs' if form == 'preferences' else 'chats'}"
    needs = Needs(seconds=3)
    return Step("mix", step_name, settings, inputs, files, by_output=True, needs=needs, version=2)


def _roles(name: str, spec: SourceSpec | PromptSetSpec) -> tuple[Any, dict[str, str]]:
    """Replace paths by roles that keep order, language and file type; return roles and paths."""
    if isinstance(spec.files, dict):
        roles = {lang: f"{name}:{lang}{p.suffix}" for lang, p in spec.files.items()}
        return roles, {roles[lang]: str(path) for lang, path in spec.files.items()}
    paths = spec.files if isinstance(spec.files, list) else [spec.files or Path()]
    named = [f"{name}:{index}{path.suffix}" for index, path in enumerate(paths)]
    return named, dict(zip(named, map(str, paths), strict=True))


def _train(study: Study, name: str, checkpoint: Trained) -> Step:
    recipe = study.training[checkpoint.train]
    if "seed" not in recipe.model_fields_set:
        recipe = recipe.model_copy(update={"seed": study.seed})
    form = "pairs" if recipe.method == "dpo" else "chats"
    inputs = {
        "model": model_step(study, checkpoint.start or BASE),
        "rows": f"mix/{checkpoint.mixture}-{form}",
    }
    placement = study.placement.train.model_dump(mode="json")
    if study.tracking is not None:
        placement["tracking"] = study.tracking.model_dump(mode="json")
    mixture = study.mixtures[checkpoint.mixture]
    rows = expected_rows(mixture.size, mixture.unit)
    seconds = recipe.steps(rows) * recipe.batch_size * (0.03 if recipe.method == "dpo" else 0.01)
    needs = Needs(
        cpus=study.placement.train.devices * (study.placement.train.threads or 1),
        gpus=study.placement.train.devices if study.placement.train.device == "auto" else 0,
        nodes=study.placement.train.nodes,
        processes=study.placement.train.devices,
        seconds=seconds,
    )
    settings = recipe.model_dump(mode="json")
    return Step("train", name, settings, inputs, placement=placement, needs=needs)


def _merge(study: Study, name: str, merge: MergeSpec) -> Step:
    inputs = {parent: model_step(study, parent) for parent in merge.checkpoints}
    settings = merge.model_dump(mode="json") | {"seed": study.seed}
    inputs |= {BASE: model_step(study, BASE)}
    version = 3 if merge.method in _DRAWN_IN_FILE_ORDER else 2
    return Step("merge", name, settings, inputs, version=version)


def _generate(study: Study, name: str) -> Step:
    decoding = study.evaluate.decoding
    if "seed" not in decoding.model_fields_set:
        decoding = decoding.model_copy(update={"seed": study.seed})
    inputs = {f"prompts:{axis}": f"prompts/{axis}" for axis in study.evaluate.axes()}
    spec = study.evaluate.generate.serving(name)
    settings = decoding.model_dump(mode="json")
    settings |= {"generate": spec.meaning()} if spec.meaning() else {}
    placement = study.placement.generate.model_dump(mode="json")
    placement["generate"] = spec.model_dump(mode="json")
    return Step(
        "generate",
        name,
        settings,
        {"model": model_step(study, name), **inputs},
        placement=placement,
        needs=Needs(cpus=study.placement.generate.threads, gpus=spec.gpus, seconds=8),
    )


def _judge(study: Study, name: str) -> Step:
    axes = study.evaluate.axes()
    settings: dict[str, Any] = {}
    placement: dict[str, Any] = {}
    files: dict[str, str] = {}
    for axis, spec in axes.items():
        settings[axis] = spec.judge.meaning()
        placement[axis] = spec.judge.model_dump(mode="json")
        files |= {f"{axis}:{role}": str(path) for role, path in spec.judge.paths().items()}
    inputs = {f"prompts:{axis}": f"prompts/{axis}" for axis in axes}
    inputs |= {"answers": f"generate/{name}", "base_answers": f"generate/{BASE}"}
    return Step("judge", name, settings, inputs, files, placement, needs=Needs(seconds=2))


def results_settings(study: Study) -> dict[str, Any]:
    """Return what the step ``results/study`` is asked."""
    models = {
        name: {
            "stage": study.stage(name),
            "kind": study.kind(name),
            "method": study.method(name),
            "safety_share": study.safety_share(name),
            "trainings": [
                ancestor
                for ancestor in study.ancestors(name)
                if isinstance(study.checkpoints[ancestor], Trained)
            ],
        }
        for name in study.checkpoints
    }
    return {
        "study": study.study,
        "seed": study.seed,
        "draws": study.evaluate.draws,
        "models": models,
        "baselines": study.baselines,
    }


def _results(study: Study, models: list[str]) -> Step:
    inputs = {f"verdicts:{name}": f"judge/{name}" for name in models}
    inputs |= {f"answers:{name}": f"generate/{name}" for name in models}
    inputs |= {
        f"trained:{name}": f"train/{name}"
        for name, checkpoint in study.checkpoints.items()
        if isinstance(checkpoint, Trained)
    }
    settings = results_settings(study)
    return Step("results", "study", settings, inputs, needs=Needs(seconds=10), version=2)


def _report(study: Study, made: list[Step]) -> Step:
    settings = {"study": study.model_dump(mode="json", exclude={"placement", "tracking"})}
    return Step("report", "study", settings, {s.id: s.id for s in made}, needs=Needs(seconds=15))
