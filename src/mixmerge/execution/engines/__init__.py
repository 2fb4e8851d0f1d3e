"""The engines by name. A new one is one file with an `EngineSpec`, and a line in `ENGINES`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, Field, create_model

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execution.engine import HELPERS, Engine, EngineSpec, Helpers
from mixmerge.execution.engines.local import LocalSpec
from mixmerge.execution.engines.ray import RaySpec
from mixmerge.execution.engines.slurm import SlurmSpec

ENGINES: dict[str, type[EngineSpec]] = {
    "local": LocalSpec,
    "slurm": SlurmSpec,
    "ray": RaySpec,
}

Placement = TypeVar("Placement", bound=BaseModel)


def engine_by_name(
    name: str,
    entry: str,
    *,
    workers: int | None = None,
    preload: Sequence[str] = (),
    placement: BaseModel | None = None,
) -> Engine:
    """Return an engine; ``entry`` and ``preload`` are as for `EngineSpec.build`.

    Without ``workers`` it uses all cores of this machine; ``placement`` may have the settings of
    engines under their names, see `with_engines`.

    Raises:
        SpecError: there is no such engine.
        ResourceError: its optional packages are not installed, or there is no cluster.
    """
    default = _spec(name)()
    spec = getattr(placement, name, None) or default
    with _missing_package_explained(name):
        return spec.build(entry, cpus=workers or os.cpu_count() or 1, preload=preload)


def helpers_by_name(engine: str) -> Helpers | None:
    """Return the helpers of an engine, or None if it has none.

    Raises:
        SpecError: there is no such engine.
        ResourceError: the engine's package is not installed.
    """
    with _missing_package_explained(engine):
        return _spec(engine)().helpers()


def helpers_here() -> Helpers | None:
    """Return the helpers of the engine that runs this step, or None."""
    return helpers_by_name(os.environ.get(HELPERS, "local"))


def with_engines(placement: type[Placement]) -> type[Placement]:
    """Add an optional field for each engine that has settings to a specification."""
    fields: dict[str, Any] = {
        name: (spec | None, Field(default=None, description=f"With ``--engine {name}``."))
        for name, spec in ENGINES.items()
        if spec.model_fields
    }
    return create_model(
        placement.__name__,
        __base__=placement,
        __module__=placement.__module__,
        __doc__=placement.__doc__,
        **fields,
    )


def _spec(name: str) -> type[EngineSpec]:
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise SpecError(f"--engine {name}: there is no such engine; there are {known}.")
    return ENGINES[name]


@contextmanager
def _missing_package_explained(engine: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ResourceError(
            f"--engine {engine}: the package `{error.name}` is not installed; "
            f"run `pip install 'mixmerge[{engine}]'`."
        ) from error
