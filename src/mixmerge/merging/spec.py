"""The `merge` section of a study file."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from mixmerge.merging.methods import METHODS
from mixmerge.merging.recipes.recipe import BaseInput, MergeRecipe, ModelInput
from mixmerge.merging.recipes.sections import AdapterRecipe, Setting
from mixmerge.spec_model import SpecModel

STUDY_BASE = "base"
"""A study file's name for its base model."""


class MergePlacement(SpecModel):
    """How a merge runs; nothing here changes its bytes."""

    threads: int = Field(4, ge=1)
    """Most CPU threads of one merge; at most the number of cores."""


def _entry(model: Any) -> tuple[str, dict[str, Any]]:
    """Read an entry of a list of models: a name, or mergekit's mapping."""
    if isinstance(model, Mapping) and {"model"} <= {*model} <= {"model", "parameters"}:
        name, own = model["model"], model.get("parameters") or {}
    else:
        name, own = model, {}
    fits = isinstance(name, str) and isinstance(own, Mapping)
    if not fits:
        raise ValueError(
            "an entry of the list is a name, or `{model: NAME, parameters: {…}}`, not "
            f"{reprlib.repr(model)}"
        )
    return name, dict(own)


class MergeSpec(SpecModel):
    """A merge of checkpoints of the study, each called by its name.

        {method: slerp, models: [sft-0, sft-100]}
        {method: linear, models: {sft-0: 0.7, sft-100: 0.3}}
        {method: slerp, models: {sft-0: [1, 0.5, 0], sft-100: [0, 0.5, 1]}}
        {method: ties, models: {sft-0: {weight: 0.5, density: 0.6}, sft-100: {weight: 0.5}},
         parameters: {density: 0.8, lambda: 1.0}}

    Settings of one model are given by its name, so nothing depends on an order.
    """

    method: str
    """One of `METHODS`, for example ``linear``, ``slerp`` or ``ties``."""
    base: str | None = None
    """The checkpoint that task vectors start from; ``base`` is the study's base model. None: the
    study's base model where the method needs one, and no base where it can do without."""
    parameters: dict[str, Setting] = {}
    """Parameters of the method that are the same for all models, for example ``lambda``."""
    models: dict[str, dict[str, Setting]] = Field(min_length=1)
    """The checkpoints to merge, each with its parameters; a number or a gradient alone is its
    weight. A list without weights gives each of N models the weight 1/N, where the method has
    weights; its entries are names, or ``{model: NAME, parameters: {…}}`` as in mergekit. A
    gradient runs from the first layer to the last."""
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    """Type of the merged weights; None keeps that of the inputs."""
    adapter: AdapterRecipe | None = Field(default=None, exclude_if=lambda adapter: adapter is None)
    """Merge the adapters of the models, which are trained with one each, into an adapter of this
    rank; the checkpoint is the model with that adapter."""

    @field_validator("models", mode="before")
    @classmethod
    def _by_name(cls, models: Any, info: ValidationInfo) -> Any:
        """Read the short forms: a list of names, or a weight alone."""
        if isinstance(models, (list, tuple)):
            listed = [_entry(model) for model in models]
            named = dict(listed)
            if len(named) != len(listed):
                raise ValueError("a model is named twice")
            method = METHODS.get(info.data.get("method", ""))
            if method is not None and method.base != "none":
                # mergekit files also list the base, without the parameters that others have.
                base = info.data.get("base") or STUDY_BASE
                others = {name: own for name, own in named.items() if own or name != base}
                named = others if others and all(others.values()) else named
            weighs = method is None or method.parameter("weight") is not None
            given = [*named.values(), info.data.get("parameters", {})]
            if weighs and not any("weight" in settings for settings in given):
                named = {name: {**own, "weight": 1 / len(named)} for name, own in named.items()}
            return named
        if isinstance(models, Mapping):
            return {
                name: dict(own) if isinstance(own, Mapping) else {"weight": own}
                for name, own in models.items()
            }
        return models

    @model_validator(mode="after")
    def _is_a_merge(self) -> Self:
        try:
            recipe = self.recipe
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        if self.base is not None and recipe.base is None:
            raise ValueError(f"{self.method} does not use a base; remove `base`")
        return self

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Names of the checkpoints that must exist before the merge, without the study's base."""
        named = self.base not in (None, STUDY_BASE, *self.models)
        return (*self.models, *([self.base] if self.base and named else []))

    @property
    def recipe(self) -> MergeRecipe:
        """The recipe with names instead of folders, its models sorted by name.

        The output gets the configuration, tokenizer and chat template of the first model, since the
        base may have no chat template.
        """
        # Sorted: random draws are keyed by position, but a step's identity ignores key order.
        models = [
            ModelInput(name=name, path=name, parameters=own)
            for name, own in sorted(self.models.items())
        ]
        method = METHODS.get(self.method)
        needs = "none" if method is None else method.base
        uses_base = needs == "required" or (needs == "optional" and self.base is not None)
        base = self.base or STUDY_BASE
        return MergeRecipe(
            method=self.method,
            models=tuple(models),
            base=BaseInput(name=base, path=base) if uses_base else None,
            parameters=self.parameters,
            dtype=self.dtype,
            adapter=self.adapter,
            files_from=models[0].name,
        )

    def to_recipe(self, paths: Mapping[str, Path], base: Path) -> MergeRecipe:
        """Return the recipe with the folders of `checkpoints` and of the study's base model."""
        recipe = self.recipe
        folder = base if self.base in (None, STUDY_BASE) else paths[self.base]
        return recipe.model_copy(
            update={
                "models": tuple(
                    model.model_copy(update={"path": str(paths[model.name])})
                    for model in recipe.models
                ),
                "base": recipe.base and recipe.base.model_copy(update={"path": str(folder)}),
            }
        )
