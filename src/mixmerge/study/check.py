"""What a study file can get wrong although every value has the right type: names and cycles."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from mixmerge.evaluation.spec import HumanJudgeSpec, PanelJudgeSpec, PromptSetSpec
from mixmerge.merging.methods import METHODS
from mixmerge.study.extends import EXTENDS, read_extended
from mixmerge.study.selection_spec import SweepSpec
from mixmerge.study.spec import Merged, Selected, Study, Trained
from mixmerge.study.spec_file import Problem, parse_spec, validated
from mixmerge.yaml_file import parse_document, read_text, to_yaml


def read_study(path: Path) -> Study:
    """Read and check a study file, with the files that it extends.

    Raises:
        SpecError: with the file, the line, what was required and what was seen.
    """
    return validated(read_extended(path), Study, problems)


def whole_text(path: Path) -> str:
    """Return a study file's text so that it stands alone: joined, where it extends others.

    Raises:
        SpecError: a file is missing or not YAML.
    """
    text = read_text(path)
    joined = read_extended(path)
    if joined.data == parse_document(text, str(path)).data:
        return text
    return f"# {path.name} with the files that it extends\n{to_yaml(joined.data)}"


def parse_study(text: str, name: str) -> Study:
    """Read and check the text of a study file; ``name`` stands for the file in messages."""
    return parse_spec(text, Study, name, problems)


def problems(study: Study) -> Iterator[Problem]:
    """Yield what is wrong with the names in a study, and where it stands."""
    if study.extends is not None:
        yield Problem((EXTENDS,), "only a file can extend others.")
    yield from _duplicates(study)
    yield from _mixtures(study)
    yield from _choices(study)
    yield from _selection_items(study)
    yield from _trial(study)
    unknown = list(_checkpoints(study))
    yield from unknown
    circle = _circle(study)
    if circle:
        place = ("checkpoints", circle[0])
        yield Problem(place, f"checkpoints need each other in a circle: {' → '.join(circle)}.")
    elif not unknown:
        yield from _stages(study)
        yield from _baselines(study)


def _duplicates(study: Study) -> Iterator[Problem]:
    if len(set(study.languages)) < len(study.languages):
        yield Problem(("languages",), "a language is named twice.")


def _trial(study: Study) -> Iterator[Problem]:
    if study.evaluate.calibrate is None:
        return
    for axis, spec in study.evaluate.axes().items():
        members = spec.judge.panel if isinstance(spec.judge, PanelJudgeSpec) else (spec.judge,)
        if any(isinstance(member, HumanJudgeSpec) for member in members):
            yield Problem(
                ("evaluate", "calibrate"),
                f"asks the judge of `{axis}` about probes, which people cannot be asked here; "
                "leave `calibrate` out, or name a judge model.",
            )


def _mixtures(study: Study) -> Iterator[Problem]:
    for name, mixture in study.mixtures.items():
        here = ("mixtures", name)
        for source in mixture.shares:
            if source not in study.data:
                yield _unknown((*here, "shares", source), source, "data", study.data)
        if not sum(mixture.shares.values()) > 0:
            yield Problem((*here, "shares"), "all shares are zero; at least one must be above.")
        if mixture.when_short == "repeat" and mixture.most_copies < 2:
            yield Problem((*here, "when_short"), "`repeat` needs `most_copies` of 2 or more.")
        if mixture.when_short == "error" and mixture.most_copies > 1:
            yield Problem((*here, "most_copies"), "needs `when_short: repeat`.")
        if mixture.language_shares is not None:
            yield from _language_shares(study, name, mixture.language_shares)


def _language_shares(study: Study, name: str, given: Mapping[str, float]) -> Iterator[Problem]:
    here = ("mixtures", name, "language_shares")
    for language in given:
        if language not in study.languages:
            yield _unknown((*here, language), language, "languages", study.languages)
    left = [each for each in study.languages if each not in given]
    if left:
        yield Problem(here, f"no share for {', '.join(left)}; 0 leaves a language out.")
    elif not sum(given.values()) > 0:
        yield Problem(here, "all shares are zero; at least one must be above.")


def _checkpoints(study: Study) -> Iterator[Problem]:
    for name, checkpoint in study.checkpoints.items():
        here = ("checkpoints", name)
        if name == "base":
            yield Problem(here, "`base` is the base model; give this checkpoint another name.")
        if isinstance(checkpoint, Trained):
            if checkpoint.train not in study.training:
                yield _unknown((*here, "train"), checkpoint.train, "training", study.training)
            if checkpoint.mixture not in study.mixtures:
                yield _unknown((*here, "mixture"), checkpoint.mixture, "mixtures", study.mixtures)
        parent_key = next(k for k in ("start", "merge", "select") if hasattr(checkpoint, k))
        for parent in study.parents(name):
            if parent not in study.checkpoints:
                yield _unknown((*here, parent_key), parent, "checkpoints", study.checkpoints)


def _choices(study: Study) -> Iterator[Problem]:
    for name, checkpoint in study.checkpoints.items():
        here = ("checkpoints", name)
        if isinstance(checkpoint, Merged) and checkpoint.sweep is not None:
            yield from _sweep(study, name, checkpoint, checkpoint.sweep)
        elif not isinstance(checkpoint, Selected):
            continue
        if study.selection is None:
            yield Problem(
                here, "chooses among candidates, which needs `selection`: the items to choose on."
            )
        elif study.evaluate.over_refusal is None and study.selection.over_refusal is not None:
            place = ("selection", "over_refusal")
            yield Problem(place, "needs a judge: `evaluate` has no `over_refusal`.")


def _selection_items(study: Study) -> Iterator[Problem]:
    selection = study.selection
    if selection is None:
        return
    reported = study.evaluate.axes()
    for axis in ("general", "safety", "over_refusal"):
        asked: PromptSetSpec | None = getattr(selection, axis)
        if asked and axis in reported and _origins(asked) & _origins(reported[axis].prompts):
            yield Problem(
                ("selection", axis),
                f"has items of `evaluate.{axis}`: what is reported must not be chosen on. Give "
                "other items, as the other half of the set.",
            )
    if selection.weights.over_refusal and selection.over_refusal is None:
        place = ("selection", "weights", "over_refusal")
        yield Problem(place, "counts nothing without items: `selection` has no `over_refusal`.")


def _origins(prompts: PromptSetSpec) -> set[tuple[str | None, ...]]:
    """Return where prompts are from: sets that share an origin share prompts."""
    if prompts.testbed or prompts.set:
        return {("testbed", prompts.testbed) if prompts.testbed else ("set", prompts.set)}
    if prompts.hub:
        return {("hub", prompts.hub, prompts.config, prompts.split)}
    files = prompts.files
    listed = files.values() if isinstance(files, dict) else files
    paths = [listed] if isinstance(listed, Path) else listed or []
    return {("file", str(path.resolve())) for path in paths}


def _sweep(study: Study, name: str, merged: Merged, sweep: SweepSpec) -> Iterator[Problem]:
    place = ("checkpoints", name, "sweep")
    if sweep.weight_of not in merged.merge.models:
        yield _unknown((*place, "weight_of"), sweep.weight_of, "models", merged.merge.models)
        return
    if METHODS[merged.merge.method].parameter("weight") is None:
        yield Problem(place, f"{merged.merge.method} has no weights to try.")
        return
    taken = [
        candidate
        for candidate in sweep.merges(name, merged.merge)
        if candidate in study.checkpoints
    ]
    if taken:
        yield Problem(place, f"tries `{taken[0]}`, which is the name of another checkpoint.")


def _circle(study: Study) -> list[str]:
    """Return a circle of checkpoints, or nothing."""
    known = study.checkpoints
    graph = {name: [p for p in study.parents(name) if p in known] for name in known}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _stages(study: Study) -> Iterator[Problem]:
    for name, checkpoint in study.checkpoints.items():
        if isinstance(checkpoint, Trained):
            continue
        verb = "merges" if isinstance(checkpoint, Merged) else "selects"
        of = checkpoint.merge.models if isinstance(checkpoint, Merged) else checkpoint.select
        stages = {parent: study.stage(parent) for parent in of}
        if len(set(stages.values())) > 1:
            said = ", ".join(f"{parent} is {stage}" for parent, stage in stages.items())
            place = ("checkpoints", name, verb.removesuffix("s"))
            yield Problem(place, f"{verb} checkpoints of one stage only; {said}.")


def _baselines(study: Study) -> Iterator[Problem]:
    if study.evaluate.baseline is not None:
        yield Problem(("evaluate", "baseline"), "a study names its `baselines` at the top level.")
    seen: dict[str, str] = {}
    for index, name in enumerate(study.baselines):
        here = ("baselines", index)
        if name not in study.checkpoints:
            yield _unknown(here, name, "checkpoints", study.checkpoints)
            continue
        stage = study.stage(name)
        if stage in seen:
            yield Problem(here, f"{seen[stage]} is the baseline of stage {stage} already.")
        seen[stage] = name


def _unknown(
    place: tuple[str | int, ...], name: str, section: str, known: Iterable[str]
) -> Problem:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else "."
    listed = ", ".join(f"`{item}`" for item in names)
    return Problem(place, f"there is no `{name}` in `{section}` ({listed}){hint}")
