"""What a merge will do: one row per tensor of the output, checked before a weight is read."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixmerge.errors import ModelError, ResourceError, SpecError
from mixmerge.merge.checkpoint import Checkpoint
from mixmerge.merge.compatibility import COPIED, problems
from mixmerge.merge.methods.method import Arguments, Method, Parameter, Scalar
from mixmerge.merge.recipe import MergeRecipe, ModelInput
from mixmerge.merge.safetensors_io import NewTensor, StoredTensor
from mixmerge.merge.schedules import depths, value_for

_SPELLING = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class Row:
    """One tensor of the output and how it comes about."""

    output: NewTensor
    models: tuple[StoredTensor, ...]
    """The tensor of each model, in the recipe's order."""
    base: StoredTensor | None
    arguments: Arguments | None
    """What the method is called with; None where the tensor is copied."""

    @property
    def inputs(self) -> tuple[StoredTensor, ...]:
        """All tensors that are read."""
        return self.models if self.base is None else (self.base, *self.models)


@dataclass(frozen=True)
class MergePlan:
    """A recipe together with its models, and what becomes of every tensor."""

    recipe: MergeRecipe
    checkpoints: tuple[Checkpoint, ...]
    """The base, where there is one, and the models."""
    rows: tuple[Row, ...]

    @property
    def donor(self) -> Checkpoint:
        """The model whose configuration and tokenizer the output gets."""
        name = self.recipe.donor.name
        return next(model for model in self.checkpoints if model.name == name)

    @property
    def nbytes(self) -> int:
        """Bytes of weights that will be written."""
        return sum(row.output.nbytes for row in self.rows)


def plan_merge(recipe: MergeRecipe) -> MergePlan:
    """Read the headers of all models and decide on every tensor.

    Raises:
        ModelError: a model is incomplete, or the models do not fit together.
        SpecError: the recipe has no value, or no usable combination of values, for a tensor.
    """
    checkpoints = tuple(Checkpoint(model.name, Path(model.path)) for model in recipe.inputs)
    found = problems(checkpoints)
    if found:
        more = f" ({len(found) - 1} more; `mixmerge inspect` lists all.)" if found[1:] else ""
        raise ModelError(f"The models do not fit together: {found[0]}.{more}")
    position = depths(checkpoints[0].tensors)
    rows = [_row(recipe, checkpoints, name, position[name]) for name in checkpoints[0].tensors]
    return MergePlan(recipe, checkpoints, tuple(rows))


def _row(recipe: MergeRecipe, checkpoints: Sequence[Checkpoint], name: str, depth: float) -> Row:
    stored = [checkpoint.tensors[name] for checkpoint in checkpoints]
    base = stored[0] if recipe.base is not None else None
    models = tuple(stored if base is None else stored[1:])
    if stored[0].dtype in COPIED:
        return Row(NewTensor(name, stored[0].dtype, stored[0].shape), models, base, None)
    return Row(
        NewTensor(name, _output_dtype(recipe, stored), stored[0].shape),
        models,
        base,
        _arguments(recipe, recipe.declaration, name, depth),
    )


def _output_dtype(recipe: MergeRecipe, stored: Sequence[StoredTensor]) -> str:
    if recipe.dtype is not None:
        return _SPELLING[recipe.dtype]
    types = {tensor.dtype for tensor in stored}
    return types.pop() if len(types) == 1 else "F32"


def _arguments(recipe: MergeRecipe, method: Method, tensor: str, depth: float) -> Arguments:
    arguments = {
        parameter.argument: tuple(
            _value(recipe, parameter, tensor, depth, model) for model in recipe.models
        )
        if parameter.per_model
        else _value(recipe, parameter, tensor, depth)
        for parameter in method.parameters
    }
    problem = method.problem(arguments)
    if problem:
        raise SpecError(f"tensor {tensor}: {problem}.")
    return arguments


def _value(
    recipe: MergeRecipe,
    parameter: Parameter,
    tensor: str,
    depth: float,
    model: ModelInput | None = None,
) -> Scalar:
    """Find a value: the model's own, then the shared one, then the method's default."""
    levels = [model.parameters] if model is not None else []
    for settings in (*levels, recipe.parameters):
        if parameter.name in settings:
            value = value_for(settings[parameter.name], tensor, depth)
            if value is not None:
                return value
    if parameter.default is None:
        whose = f" for model `{model.name}`" if model is not None else ""
        raise SpecError(
            f"tensor {tensor}: no rule of `{parameter.name}`{whose} matches its name; "
            "add a rule without a filter."
        )
    return parameter.default


def check_target(plan: MergePlan, out: Path, marker: str) -> None:
    """Check that the output has a place that is free, large enough, and not one of the inputs.

    Args:
        plan: the merge.
        out: the folder that will be written; only an empty one, or one that holds a file named
            ``marker`` (an older merge), may exist.
        marker: the file that every merge leaves.

    Raises:
        SpecError: the folder is or holds an input, or something else than a merge.
        ResourceError: the disk has too little space.
    """
    target = out.resolve()
    for model in plan.checkpoints:
        path = model.path.resolve()
        if path == target or target in path.parents or path in target.parents:
            raise SpecError(
                f"{out}: is, holds or lies in the input {model.path}; choose another folder."
            )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / marker).exists())):
        raise SpecError(f"{out}: exists and is not a merged model; remove it or choose another.")
    place = next(folder for folder in (target, *target.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if plan.nbytes > free:
        raise ResourceError(
            f"{out}: the merged model needs {plan.nbytes / 1e9:.2f} GB and the disk has "
            f"{free / 1e9:.2f} GB free. Free some space or choose another disk."
        )
