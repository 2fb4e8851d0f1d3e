"""What determines the rows of a specification: its settings without addresses, and its files.

Files stand in the settings by role, so that they count by content and not by path.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.hub import local_folder
from mixmerge.synthesis.model_spec import ModelSpec
from mixmerge.synthesis.recipes.recipe import ModelRecipe, Recipe
from mixmerge.synthesis.spec import GenerateDataSpec

_PLACEMENT = {"models", "steps", "budget"}


def identity(spec: GenerateDataSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings that change rows as JSON, and the files that do by role.

    Prompts count by the version of each recipe's instruction. Addresses, keys, limits and prices of
    endpoints do not change rows.
    """
    files = {role: str(path) for role, path in _files(spec)}
    settings = spec.model_dump(mode="json", exclude=_PLACEMENT, exclude_defaults=True)
    settings["models"] = {name: _model(model) for name, model in spec.models.items()}
    settings["steps"] = [_step(step) for step in spec.steps]
    roles = {path: role for role, path in reversed(files.items())}
    return _with_roles(settings, roles), files


def _files(spec: GenerateDataSpec) -> Iterator[tuple[str, Path]]:
    yield from _of_seeds(spec)
    for name, model in spec.models.items():
        if not isinstance(model, EndpointSpec) and local_folder(model.path).is_dir():
            yield f"models:{name}", Path(model.path)
    for step in spec.steps:
        yield from _of_step(step)
    parts = [(f"seeds:{name}", seed.filters) for name, seed in spec.seeds.items()]
    parts += [(f"steps:{step.title}", step.filters) for step in spec.steps]
    for owner, filters in [*parts, ("result", spec.filters)]:
        for place, each in enumerate(filters):
            for role, path in each.paths().items():
                yield f"{owner}:{each.key}:{place}:{role}", path


def _of_seeds(spec: GenerateDataSpec) -> Iterator[tuple[str, Path]]:
    for name, seed in spec.seeds.items():
        for place, (_, path) in enumerate(seed.paths()):
            yield f"seeds:{name}:{place}{path.suffix}", path
        if seed.hub and local_folder(seed.hub).is_dir():
            yield f"seeds:{name}:hub", Path(seed.hub)


def _of_step(step: Recipe) -> Iterator[tuple[str, Path]]:
    if isinstance(step, ModelRecipe) and step.instruction is not None:
        yield f"steps:{step.title}:instruction", step.instruction
    if step.judge is not None:
        for role, path in step.judge.paths().items():
            yield f"steps:{step.title}:judge:{role}", path


def _model(model: ModelSpec) -> dict[str, Any]:
    if isinstance(model, EndpointSpec):
        return {"model": model.model, "fields": model.fields}
    return model.model_dump(mode="json", exclude={"batch_size", "threads"})


def _step(step: Recipe) -> dict[str, Any]:
    settings = step.model_dump(mode="json", exclude_defaults=True)
    if step.judge is not None:
        settings[step.key]["judge"] = step.judge.identity()
    if isinstance(step, ModelRecipe):
        settings["prompt"] = fingerprint(step.own_instruction)[:16]
    return settings


def _with_roles(value: Any, roles: dict[str, str]) -> Any:
    """Put roles in place of paths, wherever these are."""
    if isinstance(value, dict):
        return {key: _with_roles(each, roles) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_roles(each, roles) for each in value]
    return roles.get(value, value) if isinstance(value, str) else value
