"""A merge, said once and completely: method, models by name, and settings.

This is mixmerge's own form. `mergekit_yaml` translates mergekit's form into it, and `MergeSpec`
what a study file says. A recipe that exists is valid as far as can be said without its models.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mixmerge.merge.methods import METHODS
from mixmerge.merge.methods.method import Method
from mixmerge.merge.schedules import Setting, leaves


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaseInput(_Frozen):
    """The model that differences are taken from."""

    name: str = "base"
    """What messages, plans and the model card call it."""
    path: Path
    """Its folder."""


class ModelInput(_Frozen):
    """One model that is merged."""

    name: str
    """What messages, plans and the model card call it; unique in the recipe."""
    path: Path
    """Its folder."""
    parameters: dict[str, Setting] = {}
    """This model's own values of per-model parameters, for example ``weight``."""


class MergeRecipe(_Frozen):
    """Everything that decides the weights of a merged model, the seed aside."""

    method: str
    """One of `METHODS`, for example ``ties``."""
    models: tuple[ModelInput, ...] = Field(min_length=1)
    """The models to merge, in the order of summation; the base is not among them."""
    base: BaseInput | None = None
    """For methods that merge differences from a base."""
    parameters: dict[str, Setting] = {}
    """Shared parameters, and per-model values for the models that do not say their own."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Type of the output's weights. None: for each tensor the smallest that holds all inputs."""
    files_from: str | None = None
    """Name of the input whose configuration, tokenizer and chat template the output gets.
    None: the base where there is one, else the first model."""

    @model_validator(mode="after")
    def _is_a_merge(self) -> Self:
        problem = _problem(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def declaration(self) -> Method:
        """The declaration of the recipe's method."""
        return METHODS[self.method]

    @property
    def inputs(self) -> tuple[BaseInput | ModelInput, ...]:
        """The base, where there is one, and the models."""
        return self.models if self.base is None else (self.base, *self.models)

    @property
    def donor(self) -> BaseInput | ModelInput:
        """The input whose configuration and tokenizer the output gets."""
        named = [model for model in self.inputs if model.name == self.files_from]
        return named[0] if named else self.inputs[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the sentence part that helps with a mistyped word: a guess and all known words."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean `{close[0]}`? " if close else ""
    return f"{guess}Known: {', '.join(known) or 'none'}"


def _problem(recipe: MergeRecipe) -> str | None:
    """Say what is wrong with a recipe, or None."""
    method = METHODS.get(recipe.method)
    if method is None:
        return f"unknown merge method `{recipe.method}`; {nearest(recipe.method, METHODS)}"
    return (
        _names_problem(recipe)
        or _count_problem(recipe, method)
        or _settings_problem(recipe.parameters, method, "parameters", own=False)
        or next(
            filter(None, (_model_problem(recipe, model, method) for model in recipe.models)), None
        )
    )


def _names_problem(recipe: MergeRecipe) -> str | None:
    names = [model.name for model in recipe.inputs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f"two inputs have the name `{twice}`; every model needs its own"
    if recipe.files_from is not None and recipe.files_from not in names:
        return (
            f"files_from names no input: `{recipe.files_from}`; {nearest(recipe.files_from, names)}"
        )
    return None


def _count_problem(recipe: MergeRecipe, method: Method) -> str | None:
    fewest, most = method.models
    count = len(recipe.models)
    if count < fewest or (most is not None and count > most):
        wanted = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        return f"{method.name} merges {wanted} models beside the base, not {count}"
    if method.needs_base and recipe.base is None:
        return f"{method.name} merges differences from a base model: name a base"
    return None


def _model_problem(recipe: MergeRecipe, model: ModelInput, method: Method) -> str | None:
    where = f"model `{model.name}`"
    problem = _settings_problem(model.parameters, method, where, own=True)
    if problem:
        return problem
    given = {*model.parameters, *recipe.parameters}
    for parameter in method.parameters:
        if parameter.default is None and parameter.name not in given:
            return f"{where}: {method.name} needs `{parameter.name}`, for each model or for all"
    return None


def _settings_problem(
    settings: dict[str, Setting], method: Method, where: str, *, own: bool
) -> str | None:
    for name, setting in settings.items():
        parameter = method.parameter(name)
        if parameter is None:
            known = nearest(name, [known.name for known in method.parameters])
            return f"{where}: {method.name} has no parameter `{name}`; {known}"
        if own and not parameter.per_model:
            return f"{where}: `{name}` is for all models together; move it to the top `parameters`"
        for value in leaves(setting):
            problem = parameter.problem(value)
            if problem:
                return f"{where}: `{name}` {problem}"
    return None
