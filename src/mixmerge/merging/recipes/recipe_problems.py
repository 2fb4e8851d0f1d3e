"""What is wrong with a recipe, as far as can be said without its models."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method
from mixmerge.merging.recipes.schedules import Setting, leaves
from mixmerge.merging.recipes.stages import stage_of

if TYPE_CHECKING:
    from mixmerge.merging.recipes.recipe import MergeRecipe, Slice

_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TAKEN = (".partial", ".stage-key")
"""Endings of what lies beside a stage while it is made."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the sentence part that helps with a mistyped word: a guess and all known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean `{close[0]}`? " if close else ""
    return f"{guess}Known: {', '.join(known) or 'none'}"


def problem(recipe: "MergeRecipe") -> str | None:
    """Say what is wrong with a recipe, or None."""
    method = METHODS.get(recipe.method)
    if method is None:
        return f"unknown merge method `{recipe.method}`; {nearest(recipe.method, METHODS)}"
    return next(_problems(recipe, method), None)


def _problems(recipe: "MergeRecipe", method: Method) -> Iterator[str]:
    yield from _names(recipe)
    yield from _settings(recipe.parameters, method, "parameters", own=False)
    if method.base == "none" and recipe.base is not None:
        yield f"{method.name} does not use a base; remove `base`"
    for number, part in enumerate(recipe.parts, 1):
        where = f"slice {number}: " if recipe.slices else ""
        yield from _part(recipe, part, method, where)
    yield from _stages(recipe)


def _names(recipe: "MergeRecipe") -> Iterator[str]:
    names = [model.name for model in recipe.inputs]
    if twice := _repeated(names):
        yield f"two inputs have the name `{twice}`; every model needs its own"
    mentioned = [
        ("files_from", recipe.files_from),
        *(("tokenizer", word) for word in (recipe.tokenizer.models if recipe.tokenizer else ())),
        *(
            (f"slice {number}", word)
            for number, part in enumerate(recipe.slices, 1)
            for word in (*(source.model for source in part.sources), part.base)
        ),
    ]
    for where, word in mentioned:
        if word is not None and word not in names:
            yield f"{where} names no input: `{word}`; {nearest(word, names)}"
    if recipe.slices:
        yield from _without_use(recipe, {word for _, word in mentioned})


def _without_use(recipe: "MergeRecipe", used: set[str | None]) -> Iterator[str]:
    for model in recipe.models:
        if model.parameters:
            yield f"model `{model.name}`: with slices, parameters stand at the slices' sources"
        if model.name not in used:
            yield f"no slice uses model `{model.name}`; remove it"


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _part(recipe: "MergeRecipe", part: "Slice", method: Method, where: str) -> Iterator[str]:
    names = [source.model for source in part.sources]
    base = recipe.base_of(part)
    if twice := _repeated(names):
        yield f"{where}model `{twice}` is given twice"
    if base is not None and base not in names:
        yield f"{where}the base `{base}` must be among the sources, with its layers"
    if method.base == "required" and base is None:
        yield f"{where}{method.name} merges differences from a base model: name a base"
    if method.base == "none" and base is not None:
        yield f"{where}{method.name} does not use a base; remove `base`"
    yield from _layers(part, where)
    yield from _count(len(names) - (base is not None), method, where)
    yield from _settings(part.parameters, method, f"{where}parameters", own=False)
    for source in part.sources:
        at = f"{where}model `{source.model}`"
        if source.model == base:
            if source.parameters:
                yield f"{at}: parameters of the base have no effect; remove them"
            continue
        yield from _settings(source.parameters, method, at, own=True)
        given = {*source.parameters, *part.parameters, *recipe.parameters}
        for parameter in method.parameters:
            if _is_required(method, parameter.name) and parameter.name not in given:
                yield f"{at}: {method.name} needs `{parameter.name}`, for each model or for all"


def _is_required(method: Method, name: str) -> bool:
    parameter = method.parameter(name)
    return parameter is not None and parameter.default is None


def _layers(part: "Slice", where: str) -> Iterator[str]:
    ranges = [source.layers for source in part.sources if source.layers is not None]
    for low, high in ranges:
        if high <= low:
            yield f"{where}layers run from the first to one past the last, not {low} to {high}"
    if len({high - low for low, high in ranges}) > 1:
        shown = ", ".join(f"{low} to {high}" for low, high in ranges)
        yield f"{where}all sources must have the same number of layers, not {shown}"


def _count(count: int, method: Method, where: str) -> Iterator[str]:
    fewest, most = method.models
    if count < fewest or (most is not None and count > most):
        if fewest == most:
            wanted = f"exactly {fewest}"
        else:
            wanted = f"at least {fewest}" if count < fewest else f"at most {most}"
        models = "model" if wanted.endswith(" 1") else "models"
        beside = "" if method.base == "none" else " beside the base"
        yield f"{where}{method.name} merges {wanted} {models}{beside}, not {count}"


def _settings(
    settings: dict[str, Setting], method: Method, where: str, *, own: bool
) -> Iterator[str]:
    for name, setting in settings.items():
        parameter = method.parameter(name)
        if parameter is None:
            known = nearest(name, [known.name for known in method.parameters])
            yield f"{where}: {method.name} has no parameter `{name}`; {known}"
            continue
        if own and not parameter.per_model:
            yield f"{where}: `{name}` is for all models together; move it to the top `parameters`"
        for value in leaves(setting):
            wrong = parameter.problem(value)
            if wrong:
                yield f"{where}: `{name}` {wrong}"


def _stages(recipe: "MergeRecipe") -> Iterator[str]:
    """Check that stages come in an order in which they can be made, and that each has a use."""
    used: dict[str, set[str]] = {
        name: {stage_of(reference) for reference in stage.references}
        for name, stage in recipe.stages.items()
    }
    made: set[str] = set()
    for name, stage in recipe.stages.items():
        if not _STAGE.fullmatch(name) or name.endswith(_TAKEN):
            yield (
                f"stage `{name}`: a name is made of at most 100 letters, digits, `_`, `.` and `-`, "
                f"and does not end in {' or '.join(_TAKEN)}"
            )
        if stage.stages:
            yield f"stage `{name}`: has stages of its own; list them all at the top"
        late = [other for other in recipe.stages if other in used[name] and other not in made]
        if late:
            yield f"stage `{name}` uses `{late[0]}`, which is not made before it"
        made.add(name)
    everywhere = {stage_of(reference) for reference in recipe.references}.union(*used.values())
    for name in recipe.stages:
        if name not in everywhere:
            yield f"stage `{name}` is used by nothing; remove it, or use it as a model"
