"""The recipes of the benchmark and of the parity check: `recipes.yaml`, put to given folders."""

from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("recipes.yaml")
_MODELS = ("base", "a", "b", "c")

RECIPES: dict[str, dict[str, Any]] = yaml.safe_load(_FILE.read_text())
"""Recipes by name: for each method one of its own name, and variants of it."""

METHODS: tuple[str, ...] = tuple(
    name for name, recipe in RECIPES.items() if name == recipe["merge_method"]
)
"""Every method that mergekit 0.1.5 and mixmerge have."""

RANDOM: frozenset[str] = frozenset({"dare_linear", "dare_ties", "della", "della_linear"})
"""Recipes whose result depends on random draws."""


def recipe(name: str, folder: Path, dtype: str) -> dict[str, Any]:
    """Return a recipe with its models in ``folder`` and its types set.

    Args:
        name: one of `RECIPES`.
        folder: holds the models ``base``, ``a``, ``b`` and perhaps ``c``.
        dtype: mergekit's name of a type, for example ``bfloat16``.
    """
    return {**_placed(RECIPES[name], folder.resolve()), "dtype": dtype}


def inputs(name: str) -> list[str]:
    """Return the names of the models that a recipe reads, each once."""
    return list(dict.fromkeys(_references(RECIPES[name])))


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {key: _placed(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    return str(folder / value) if value in _MODELS and isinstance(value, str) else value


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return [value] if isinstance(value, str) and value in _MODELS else []
