"""A merge, said once and completely: method, models by name, layers, settings, tokenizer.

This is mixmerge's own form. `mergekit_yaml` translates mergekit's form into it, and `MergeSpec`
what a study file says. A recipe that exists is valid as far as can be said without its models.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method
from mixmerge.merging.recipes.recipe_problems import problem
from mixmerge.merging.recipes.schedules import Setting
from mixmerge.merging.recipes.tokenizer_recipe import TokenizerRecipe
from mixmerge.spec_model import SpecModel


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


Reference = Annotated[str, Field(min_length=1), BeforeValidator(_text)]
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
    stages: dict[str, "MergeRecipe"] = {}
    """Merges to carry out before, in this order; their results are inputs by these names."""

    @model_validator(mode="after")
    def _is_a_merge(self) -> Self:
        found = problem(self)
        if found:
            raise ValueError(found)
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

    @property
    def parts(self) -> tuple[Slice, ...]:
        """The slices; without any, one slice of all layers of every input."""
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
        """Where the inputs are, and the tokenizer where it is not an input's."""
        tokenizer = self.tokenizer.source if self.tokenizer is not None else "base"
        known = {"union", "base", *(model.name for model in self.inputs)}
        return (
            *(model.path for model in self.inputs),
            *([] if tokenizer in known else [tokenizer]),
        )
