"""A complete merge: method, models by name, layers, parameters, tokenizer.

This is mixmerge's own format; `mergekit` converts mergekit's, and `MergeSpec` a study file's. A
recipe object is valid as far as can be checked without its models.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method
from mixmerge.merging.recipes.sections import AdapterRecipe, Setting, TokenizerRecipe, leaves
from mixmerge.spec_model import SpecModel

_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_TAKEN = (".partial", ".stage-key")
"""Suffixes of temporary files next to a stage."""


Reference = Annotated[
    str, Field(min_length=1), BeforeValidator(lambda it: str(it) if isinstance(it, Path) else it)
]
"""A folder, a hub name (``org/name@revision``), the name of a stage, or one of these and an adapter
(``model+adapter``)."""


class BaseInput(SpecModel):
    """The model that differences are taken from."""

    name: str = "base"
    """What messages, plans and the model card call it."""
    path: Reference
    """Where it is."""


class ModelInput(SpecModel):
    """One model that is merged."""

    name: str
    """What messages, plans and the model card call it; unique in the recipe."""
    path: Reference
    """Where it is."""
    parameters: dict[str, Setting] = {}
    """This model's own values of per-model parameters, for example ``weight``."""


class SliceSource(SpecModel):
    """Layers of one input."""

    model: str
    """Name of the input."""
    layers: tuple[Annotated[int, Field(ge=0)], int] | None = None
    """The first layer, and one past the last; None: all."""
    parameters: dict[str, Setting] = {}
    """Values of per-model parameters for this model in this slice."""


class Slice(SpecModel):
    """Consecutive layers of the output, and the layers they are merged from."""

    sources: tuple[SliceSource, ...] = Field(min_length=1)
    """As many layers of each input."""
    base: str | None = None
    """Name of the source that differences are taken from; None: the recipe's base."""
    parameters: dict[str, Setting] = {}
    """Values for this slice, before those of the recipe."""


class MergeRecipe(SpecModel):
    """Everything that decides the weights of a merged model, the seed aside."""

    method: str
    """One of `METHODS`, for example ``ties``."""
    models: tuple[ModelInput, ...] = Field(min_length=1)
    """The models to merge, in the order of summation; the base is not among them."""
    base: BaseInput | None = None
    """For methods that merge differences from a base."""
    slices: tuple[Slice, ...] = ()
    """The output's layers from first to last; none: layer by layer those of all models. Tensors
    before the layers come from the first slice's sources, those after them from the last's."""
    parameters: dict[str, Setting] = {}
    """Shared parameters, and per-model values for the models that do not say their own."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Type of the output's weights. None: for each tensor the smallest that holds all inputs."""
    tokenizer: TokenizerRecipe | None = None
    """How vocabularies are brought together; None: they must be the same."""
    chat_template: str | None = None
    """``auto`` (the most common of the inputs'), the name of a known one, or Jinja text."""
    files_from: str | None = None
    """Name of the input whose configuration, tokenizer and chat template the output gets.
    None: the base where there is one, else the first model."""
    unsafe_truncate_embeddings: bool = False
    """Whether rows of embeddings and heads beyond those of the smallest are dropped. Takes for
    granted that all models give the same tokens the same ids, which `tokenizer` makes true."""
    adapter: AdapterRecipe | None = None
    """Write a LoRA adapter instead of a model; all models are adapters of one base."""
    stages: dict[str, "MergeRecipe"] = {}
    """Merges to carry out before, in this order; their results are inputs by these names."""

    _notes: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _is_a_merge(self) -> Self:
        method = METHODS.get(self.method)
        if method is None:
            known = nearest(self.method, METHODS)
            raise ValueError(f"unknown merge method `{self.method}`; {known}")
        if found := next(_problems(self, method), None):
            raise ValueError(found)
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """What was ignored in the file because it has no effect, one sentence each."""
        return self._notes

    def with_notes(self, notes: tuple[str, ...]) -> Self:
        """Return the recipe with notes on what was ignored in its file."""
        noted = self.model_copy()
        noted._notes = notes
        return noted

    def truncating(self) -> Self:
        """Return the recipe, and its stages, with `unsafe_truncate_embeddings`."""
        stages = {name: stage.truncating() for name, stage in self.stages.items()}
        return self.model_copy(update={"unsafe_truncate_embeddings": True, "stages": stages})

    @property
    def declaration(self) -> Method:
        """The recipe's method."""
        return METHODS[self.method]

    @property
    def inputs(self) -> tuple[BaseInput | ModelInput, ...]:
        """The base, if there is one, and the models."""
        return self.models if self.base is None else (self.base, *self.models)

    @property
    def donor(self) -> BaseInput | ModelInput:
        """The input whose configuration and tokenizer the output gets."""
        named = [model for model in self.inputs if model.name == self.files_from]
        return named[0] if named else self.inputs[0]

    @property
    def parts(self) -> tuple[Slice, ...]:
        """The slices, or one slice of all layers of every input."""
        if self.slices:
            return self.slices
        sources = [
            SliceSource(
                model=model.name,
                parameters=model.parameters if isinstance(model, ModelInput) else {},
            )
            for model in self.inputs
        ]
        return (Slice(sources=tuple(sources)),)

    def base_of(self, part: Slice) -> str | None:
        """Return the name of the base of one of `parts`."""
        return part.base or (self.base.name if self.base is not None else None)

    @property
    def references(self) -> tuple[str, ...]:
        """Where the inputs are, and the tokenizer if it is not an input's."""
        tokenizer = self.tokenizer.source if self.tokenizer is not None else "base"
        known = {"union", "base", *(model.name for model in self.inputs)}
        return (
            *(model.path for model in self.inputs),
            *([] if tokenizer in known else [tokenizer]),
        )


def stage_of(reference: str) -> str:
    """Return the part of a reference that may name a stage: all but the adapter."""
    return reference.partition("+")[0]


def with_folder(reference: str, folders: Mapping[str, Path]) -> str:
    """Return a reference with a stage's name replaced by its folder."""
    name = stage_of(reference)
    return str(folders[name]) + reference[len(name) :] if name in folders else reference


def in_order(uses: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Sort stages, given with their references, so that each follows those it uses.

    Raises:
        SpecError: stages use each other in a circle.
    """
    before = {
        name: [other for other in map(stage_of, references) if other in uses]
        for name, references in uses.items()
    }
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        circle = " uses ".join(f"`{name}`" for name in reversed(error.args[1]))
        raise SpecError(f"stages depend on each other in a circle: {circle}.") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return help with a mistyped word: the closest known one, and all known ones."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean `{close[0]}`? " if close else ""
    return f"{guess}Known: {', '.join(known) or 'none'}"


def explained(error: ValidationError) -> str:
    """Return the first problem of a recipe: our message, or else pydantic's."""
    problem = error.errors(include_url=False)[0]
    if problem["type"] != "value_error":
        return first_problem(error)
    place = ".".join(str(part) for part in problem["loc"])
    return (f"`{place}`: " if place else "") + f"{problem['ctx']['error']}."


def _problems(recipe: MergeRecipe, method: Method) -> Iterator[str]:
    yield from _names(recipe)
    yield from _settings(recipe.parameters, method, "parameters", own=False)
    if method.base == "none" and recipe.base is not None:
        yield f"{method.name} does not use a base; remove `base`"
    for number, part in enumerate(recipe.parts, 1):
        where = f"slice {number}: " if recipe.slices else ""
        yield from _part(recipe, part, method, where)
    yield from _stages(recipe)
    if recipe.adapter is not None:
        changes = ("slices", "tokenizer", "chat_template", "unsafe_truncate_embeddings", "stages")
        for key in filter(lambda key: getattr(recipe, key), changes):
            yield f"an adapter keeps its base's layers and tokens; remove `{key}` or `adapter`"


def _names(recipe: MergeRecipe) -> Iterator[str]:
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


def _without_use(recipe: MergeRecipe, used: set[str | None]) -> Iterator[str]:
    for model in recipe.models:
        if model.parameters:
            yield f"model `{model.name}`: with slices, parameters belong to the slices' sources"
        if model.name not in used:
            yield f"no slice uses model `{model.name}`; remove it"


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)


def _part(recipe: MergeRecipe, part: Slice, method: Method, where: str) -> Iterator[str]:
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
            if parameter.default is None and parameter.name not in given:
                yield f"{at}: {method.name} needs `{parameter.name}`, for each model or for all"


def _layers(part: Slice, where: str) -> Iterator[str]:
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
        beside = "" if method.base == "none" else " besides the base"
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


def _stages(recipe: MergeRecipe) -> Iterator[str]:
    """Check that stages are in a possible order, and that each is used."""
    used: dict[str, set[str]] = {
        name: {stage_of(reference) for reference in stage.references}
        for name, stage in recipe.stages.items()
    }
    made: set[str] = set()
    for name, stage in recipe.stages.items():
        if not _STAGE.fullmatch(name) or name.endswith(_TAKEN):
            yield (
                f"stage `{name}`: a name has at most 100 letters, digits, `_`, `.` and `-`, "
                f"and does not end in {' or '.join(_TAKEN)}"
            )
        if stage.adapter is not None:
            yield f"stage `{name}`: only the result can be an adapter; remove its `adapter`"
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
