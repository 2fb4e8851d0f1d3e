"""Check what types cannot: unknown names, cycles and contradictions in a study file."""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges import of_people
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.sources import HarnessSpec
from mixmerge.spec_model import Problem, quoted, unknown_name
from mixmerge.study.adapters import adapter_problems
from mixmerge.study.arms import unknown_members
from mixmerge.study.checkpoints import NAME, Given, Kept, Merged, Trained
from mixmerge.study.data_sources import TestbedSource
from mixmerge.study.search_problems import search_problems
from mixmerge.study.spec import BASE, Study, folder_of, has_weights
from mixmerge.study.spec_file import EXTENDS, parse_spec, read_extended, validated
from mixmerge.study.steps import rewards
from mixmerge.study.sweeps import kept_problems, sweep_problems
from mixmerge.testbed.data import PROMPT_SETS, SOURCES
from mixmerge.testbed.model import BASES, TESTBED
from mixmerge.yaml_file import read_text, to_yaml


def read_study(path: Path) -> Study:
    """Read and check a study file, with the files that it extends.

    Raises:
        SpecError: with the file, the line, what was required and what was seen.
    """
    study = validated(read_extended(path), Study, problems)
    if "study" not in study.model_fields_set:
        study = study.model_copy(update={"study": _name(path)})
    return study


def _name(path: Path) -> str:
    """Return the default name of a study: its file's, where that is a valid name."""
    return path.stem if re.fullmatch(NAME, path.stem) else "study"


def whole_text(path: Path) -> str:
    """Return a study file's text with its name and with the files it extends merged in.

    Raises:
        SpecError: a file is missing or not YAML.
    """
    joined = read_extended(path)
    if (EXTENDS,) in joined.marks:
        named = {"study": _name(path), **joined.data}
        return f"# {path.name} with the files that it extends\n{to_yaml(named)}"
    text = read_text(path)
    return text if "study" in joined.data else f"{text.rstrip()}\n\nstudy: {_name(path)}\n"


def parse_study(text: str, name: str) -> Study:
    """Read and check the text of a study file, called ``name`` in messages."""
    return parse_spec(text, Study, name, problems)


def problems(study: Study) -> Iterator[Problem]:
    """Yield each problem with its place in the study file."""
    if study.extends is not None:
        yield (EXTENDS,), "only a file can extend others."
    if len(set(study.languages)) < len(study.languages):
        yield ("languages",), "a language is named twice."
    checks = (_given, _testbed, _mixtures, _axes, _choices, _match_on, _selection_items, _trial)
    for check in (
        _chat_templates,
        _batches,
        kept_problems,
        sweep_problems,
        _rewards,
        _harnesses,
        *checks,
    ):
        yield from check(study)
    unknown = [*_checkpoints(study), *unknown_members(study)]
    yield from unknown
    if circle := _circle(study):
        place = ("checkpoints", circle[0])
        yield place, f"checkpoints need each other in a circle: {' → '.join(circle)}."
    elif not unknown:
        yield from _stages(study)
        yield from _baselines(study)
        yield from search_problems(study)
        yield from adapter_problems(study)


def _batches(study: Study) -> Iterator[Problem]:
    """Find batches that cannot be split over the devices in a way that the objective allows."""
    for name in {checkpoint.train: None for checkpoint in study.trained().values()}:
        recipe = study.training.get(name)
        try:
            if recipe is not None:
                recipe.split(study.placement.train)
        except SpecError as error:
            yield ("training", name), str(error)


def _rewards(study: Study) -> Iterator[Problem]:
    """Find axes that cannot reward answers in training."""
    for name, recipe in study.training.items():
        for axis, said in rewards.problems(study, recipe):
            yield ("training", name, "reward", axis), said


def _chat_templates(study: Study) -> Iterator[Problem]:
    """Find chat templates that would prompt a model otherwise than it was trained."""
    asked = study.evaluate.decoding.chat_template or study.chat_template
    for name in {checkpoint.train: None for checkpoint in study.trained().values()}:
        recipe = study.training.get(name)
        if recipe and (recipe.chat_template or study.chat_template) != asked:
            place = ("training", name, "chat_template")
            yield (
                place,
                (
                    f"models are asked with {asked} (`evaluate.decoding.chat_template`), and this "
                    "recipe trains with others: give the study one `chat_template`."
                ),
            )


def _given(study: Study) -> Iterator[Problem]:
    """Find folders that hold no model, before everything below them is hashed."""
    for name, given in study.given().items():
        if given.model is None:
            continue
        place = ("base", "model") if name == BASE else ("checkpoints", name, "model")
        try:
            folder = folder_of(given.model)
        except ModelError as error:
            yield place, str(error)
            continue
        known = ("config.json", "adapter_config.json")
        if folder and folder.exists() and not any((folder / file).is_file() for file in known):
            yield place, f"{folder}: no config.json; a model is a Hugging Face folder."
        elif not folder and given.model.startswith(f"{TESTBED}/") and given.model not in BASES:
            yield place, unknown_name(given.model, "the testbed's base models", BASES)


def _testbed(study: Study) -> Iterator[Problem]:
    for name, source in study.data.items():
        if isinstance(source, TestbedSource) and source.testbed not in SOURCES:
            place = ("data", name, "testbed")
            yield place, unknown_name(source.testbed, "the testbed's sources", SOURCES)
    asked: dict[tuple[str, ...], PromptSetSpec] = {
        ("evaluate", "axes", a, "prompts"): s.prompts for a, s in study.evaluate.judged.items()
    }
    if study.selection is not None:
        asked |= {("selection", "prompts", a): own for a, own in study.selection.prompts.items()}
    for at, prompts in asked.items():
        if prompts.testbed is not None and prompts.testbed not in PROMPT_SETS:
            said = unknown_name(prompts.testbed, "the testbed's prompts", PROMPT_SETS)
            yield (*at, "testbed"), said
        if prompts.testbed is not None and prompts.split not in ("dev", "test"):
            said = f"the testbed's splits are `dev` and `test` (seen: {prompts.split!r})."
            yield (*at, "split"), said


def _axes(study: Study) -> Iterator[Problem]:
    axes = study.evaluate.axes
    for index, axis in enumerate(study.evaluate.decide_on):
        if axis not in axes:
            yield ("evaluate", "decide_on", index), unknown_name(axis, "evaluate.axes", axes)
    selection = study.selection
    for section in ("prompts", "weights", "limits") if selection else ():
        for axis in getattr(selection, section):
            if axis not in axes:
                yield ("selection", section, axis), unknown_name(axis, "evaluate.axes", axes)
            elif section == "prompts" and axis in study.evaluate.scored:
                said = f"`{axis}` is scored by a harness or a log: it has no prompts to choose on."
                yield ("selection", section, axis), said


def _harnesses(study: Study) -> Iterator[Problem]:
    """Find models that a harness cannot run, because the study has only an endpoint for them."""
    for axis, spec in study.evaluate.scored.items():
        for name in (BASE, *study.checkpoints):
            if isinstance(spec.source, HarnessSpec) and not has_weights(study, name):
                said = f"runs {spec.key} on the weights of `{name}`, of which only an endpoint is "
                yield ("evaluate", "axes", axis), f"{said}given: name its folder as `model`, too."


def _trial(study: Study) -> Iterator[Problem]:
    if study.evaluate.calibrate is None:
        return
    if not study.evaluate.judged:
        yield ("evaluate", "calibrate"), "there is no axis with a judge to compare with labels."
    for axis, spec in study.evaluate.judged.items():
        if of_people(spec.judge):
            said = (
                f"asks the judge of `{axis}` about probes, which people cannot be asked here; "
                "leave `calibrate` out, or name a judge model."
            )
            yield ("evaluate", "calibrate"), said


def _mixtures(study: Study) -> Iterator[Problem]:
    for name, mixture in study.mixtures.items():
        for place, message in mixture.problems("data", study.data, study.languages):
            yield ("mixtures", name, *place), message


def _checkpoints(study: Study) -> Iterator[Problem]:
    for name, checkpoint in study.checkpoints.items():
        here = ("checkpoints", name)
        if isinstance(checkpoint, Kept):
            continue  # the problems of its training are told once
        if name == BASE:
            yield here, "`base` is the base model; give this checkpoint another name."
        if isinstance(checkpoint, Trained):
            if checkpoint.train not in study.training:
                yield (*here, "train"), unknown_name(checkpoint.train, "training", study.training)
            if checkpoint.mixture not in study.mixtures:
                said = unknown_name(checkpoint.mixture, "mixtures", study.mixtures)
                yield (*here, "mixture"), said
            else:
                yield from _teachers(study, name, checkpoint)
        for parent in study.parents(name):
            if parent not in study.checkpoints:
                place = _named_at(name, checkpoint, parent)
                yield place, unknown_name(parent, "checkpoints", study.checkpoints)
        yield from _without_weights(study, name)


def _named_at(name: str, checkpoint: object, parent: str) -> tuple[str, ...]:
    """Return the keys at which a checkpoint names one that it is made from."""
    keys = ("start", "merge", "select")
    key = next((key for key in keys if hasattr(checkpoint, key)), "model")
    if isinstance(checkpoint, Trained) and checkpoint.start != parent:
        return ("checkpoints", name, "teachers")
    return ("checkpoints", name, key)


def _teachers(study: Study, name: str, checkpoint: Trained) -> Iterator[Problem]:
    """Compare the teachers of a training with its objective and the sources of its mixture."""
    place, teachers = ("checkpoints", name, "teachers"), checkpoint.teachers
    recipe = study.training.get(checkpoint.train)
    try:
        if recipe is not None and not study.answered(name):
            recipe.objective.check_teachers(teachers)
    except SpecError as error:
        yield place if teachers else place[:2], str(error)
        return
    if checkpoint.answers is not None and recipe is not None and not study.answered(name):
        said = "says how teachers answer before a training, which needs `teachers` and an objective"
        yield (*place[:2], "answers"), f"{said} that learns from their answers, such as `sft`."
    for source in teachers:
        if source not in study.data:
            yield (*place, source), unknown_name(source, "data", study.data)
    shares = study.mixtures[checkpoint.mixture].shares
    without = [source for source, share in shares.items() if share and source not in teachers]
    if teachers and without:
        said = f"`{checkpoint.mixture}` has rows of {quoted(without)}, which no model teaches: "
        yield place, f"{said}name a checkpoint for each source."


def _without_weights(study: Study, name: str) -> Iterator[Problem]:
    """Find uses of a model's weights where the study has only an endpoint for it."""
    checkpoint = study.checkpoints[name]
    if isinstance(checkpoint, Given):
        return
    loaded = [BASE, *study.parents(name)] if isinstance(checkpoint, Merged) else study.parents(name)
    if isinstance(checkpoint, Trained):
        taught = [] if study.answered(name) else checkpoint.teachers.values()
        loaded = [checkpoint.start or BASE, *taught]
    for parent in dict.fromkeys(loaded):
        if not has_weights(study, parent):
            said = f"needs the weights of `{parent}`, of which only an endpoint is given"
            yield ("checkpoints", name), f"{said}: name its folder as `model`, too."


def _match_on(study: Study) -> Iterator[Problem]:
    axis, place = study.evaluate.match_on, ("evaluate", "match_on")
    if axis is None:
        return
    if axis not in study.evaluate.axes:
        yield place, unknown_name(axis, "evaluate.axes", study.evaluate.axes)
    elif not study.measured_sweeps():
        yield place, "compares sweeps, and no checkpoint has a `sweep` of single weights."
    elif set(study.evaluate.deciding) <= {axis}:
        yield place, "needs another deciding axis on which sweep and baseline can differ."
    elif not study.evaluate.baseline:
        yield place, "needs a `baseline`: the model at whose value sweeps are compared."


def _choices(study: Study) -> Iterator[Problem]:
    chosen = [
        n for n, c in study.checkpoints.items() if getattr(c, "sweep", None) or hasattr(c, "select")
    ]
    if study.selection is None:
        for name in chosen:
            said = "chooses among candidates, which needs `selection`: the items to choose on."
            yield ("checkpoints", name), said
        return
    weighed = [axis for axis, weight in study.selection.weights.items() if weight]
    for section, axes in (("weights", weighed), ("limits", [*study.selection.limits])):
        for axis in axes:
            if axis not in study.selection.prompts:
                place = ("selection", section, axis)
                yield place, f"counts nothing: `selection.prompts` has no `{axis}`."


def _selection_items(study: Study) -> Iterator[Problem]:
    if study.selection is None:
        return
    reported = study.evaluate.judged
    for axis, asked in study.selection.prompts.items():
        if axis in reported and _origins(asked) & _origins(reported[axis].prompts):
            said = (
                f"has items of `evaluate.axes.{axis}`: what is reported must not be chosen on. "
                "Give other items, as the other half of the set."
            )
            yield ("selection", "prompts", axis), said


def _origins(prompts: PromptSetSpec) -> set[tuple[str | None, ...]]:
    """Return where prompts come from; sets with a common origin share prompts."""
    if prompts.testbed:
        # The testbed's worlds share items, some of them reworded.
        return {("testbed", prompts.testbed.rpartition("/")[2], prompts.split)}
    if prompts.set:
        return {("set", prompts.set)}
    if prompts.hub:
        return {("hub", prompts.hub, prompts.config, prompts.split)}
    files = prompts.files
    listed = files.values() if isinstance(files, dict) else files
    paths = [listed] if isinstance(listed, Path) else listed or []
    return {("file", str(path.resolve())) for path in paths}


def _circle(study: Study) -> list[str]:
    known = study.checkpoints
    graph = {name: [p for p in study.parents(name) if p in known] for name in known}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _stages(study: Study) -> Iterator[Problem]:
    for name, checkpoint in study.checkpoints.items():
        if isinstance(checkpoint, (Given, Trained)):
            continue
        verb = "merges" if isinstance(checkpoint, Merged) else "selects"
        of = checkpoint.merge.models if isinstance(checkpoint, Merged) else checkpoint.select
        stages = {parent: study.stage(parent) for parent in of}
        if len(set(stages.values())) > 1:
            said = ", ".join(f"{parent} is {stage}" for parent, stage in stages.items())
            place = ("checkpoints", name, verb.removesuffix("s"))
            hint = "A checkpoint that is given or trained can state its `stage`."
            yield place, f"{verb} checkpoints of one stage only; {said}. {hint}"


def _baselines(study: Study) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, name in enumerate(study.evaluate.baseline):
        here = ("evaluate", "baseline", index)
        if name not in study.checkpoints:
            yield here, unknown_name(name, "checkpoints", study.checkpoints)
            continue
        stage = study.stage(name)
        if stage in seen:
            yield here, f"{seen[stage]} is the baseline of stage {stage} already."
        seen[stage] = name
