"""mergekit's YAML (0.1.5) as a `MergeRecipe`.

Understood: ``merge_method``, ``models`` with ``model`` and ``parameters``, ``base_model``,
``parameters``, ``dtype`` and ``out_dtype``; values, gradients and filters as in mergekit.
Everything else is refused by name: a key that is ignored changes a merge without a word.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.merge.methods import METHODS
from mixmerge.merge.recipe import BaseInput, MergeRecipe, ModelInput
from mixmerge.merge.recipe_problems import nearest

_KEYS = ("merge_method", "models", "base_model", "parameters", "dtype", "out_dtype")
_NOT_YET = ("slices", "modules", "tokenizer", "tokenizer_source", "chat_template", "name")
_NO_EFFECT = frozenset({"int8_mask"})
"""Accepted and left out: it saves mergekit memory and changes no number."""


def from_mergekit(text: Mapping[str, Any]) -> MergeRecipe:
    """Translate the content of a mergekit YAML file.

    Relative paths are taken from the current folder, as in mergekit.

    Raises:
        SpecError: a key is unknown or not supported, or a value is wrong.
    """
    _check_keys(text, _KEYS, "the recipe")
    method = text.get("merge_method")
    if not isinstance(method, str) or method not in METHODS:
        raise SpecError(
            f"merge_method: unknown method {method!r}; {nearest(str(method), METHODS)}."
        )
    models = [_model(entry) for entry in _entries(text)]
    base = _reference(text["base_model"], "base_model") if text.get("base_model") else None
    shared = _parameters(text.get("parameters"), "parameters")
    if method == "slerp":
        models, shared = _slerp(models, base, shared)
    elif METHODS[method].needs_base:
        models = _without_base(models, base)
    elif base is not None and base not in [model.name for model in models]:
        # mergekit counts a base that is not listed as one more input, in last place.
        models = [*models, ModelInput(name=base, path=Path(base))]
    uses_base = METHODS[method].needs_base and base is not None
    return MergeRecipe(
        method=method,
        models=tuple(models),
        base=BaseInput(name=str(base), path=Path(str(base))) if uses_base else None,
        parameters=shared,
        dtype=_dtype(text),
        files_from=base,
    )


def _check_keys(section: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in section:
        if key in known:
            continue
        if key in _NOT_YET:
            raise SpecError(f"{where}: `{key}` is not supported yet; remove it or use mergekit.")
        raise SpecError(f"{where}: unknown key `{key}`; {nearest(str(key), known)}.")


def _entries(text: Mapping[str, Any]) -> list[Any]:
    entries = text.get("models")
    if not isinstance(entries, list) or not entries:
        raise SpecError("models: a list of models is required, each with `model: FOLDER`.")
    return entries


def _model(entry: Any) -> ModelInput:
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise SpecError(f"models: each entry needs `model: FOLDER`, not {entry!r}.")
    _check_keys(entry, ("model", "parameters"), f"model {entry['model']}")
    name = _reference(entry["model"], "model")
    parameters = _parameters(entry.get("parameters"), f"model {name}: parameters")
    return ModelInput(name=name, path=Path(name), parameters=parameters)


def _reference(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise SpecError(f"{where}: must be a folder, not {value!r}; other forms are not supported.")
    if "+" in value and not Path(value).exists():
        raise SpecError(
            f"{where}: `{value}` (model + adapter) is not supported yet; "
            "merge the adapter into its model first."
        )
    return value


def _parameters(section: Any, where: str) -> dict[str, Any]:
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise SpecError(f"{where}: must be `name: value` pairs, not {section!r}.")
    return {name: value for name, value in section.items() if name not in _NO_EFFECT}


def _without_base(models: list[ModelInput], base: str | None) -> list[ModelInput]:
    """Leave the base out of the models: its difference from itself is zero."""
    for model in models:
        if model.name == base and model.parameters:
            raise SpecError(
                f"model {base}: parameters of the base model have no effect; remove them."
            )
    return [model for model in models if model.name != base]


def _slerp(
    models: list[ModelInput], base: str | None, shared: dict[str, Any]
) -> tuple[list[ModelInput], dict[str, Any]]:
    """Turn ``t``, counted from the base, into a weight for each of the two models by name."""
    others = [model for model in models if model.name != base]
    if base is None or len(others) != 1:
        raise SpecError(
            "slerp: needs `base_model` (the model at t = 0) and exactly one other model."
        )
    own = [name for model in models for name in model.parameters]
    if own or "weight" in shared:
        raise SpecError(f"slerp: `{(*own, 'weight')[0]}` has no place here; set `t` at the top.")
    if "t" not in shared:
        raise SpecError("slerp: needs `t` in the top `parameters`: 0 is base_model, 1 the other.")
    t = shared.pop("t")
    weights = {"weight": _one_minus(t)}, {"weight": t}
    pair = ModelInput(name=base, path=Path(base)), others[0]
    return [
        ModelInput(name=model.name, path=model.path, parameters=weight)
        for model, weight in zip(pair, weights, strict=True)
    ], shared


def _one_minus(setting: Any) -> Any:
    if isinstance(setting, list):
        return [_one_minus(item) for item in setting]
    if isinstance(setting, Mapping):
        return {**setting, "value": _one_minus(setting.get("value"))}
    if isinstance(setting, bool) or not isinstance(setting, (int, float)):
        raise SpecError(f"slerp: `t` must be made of numbers, not {setting!r}.")
    return 1 - setting


def _dtype(text: Mapping[str, Any]) -> Any:
    """Return the output's type: arithmetic is float32 whatever ``dtype`` says."""
    dtype = text.get("out_dtype") or text.get("dtype")
    return dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype
