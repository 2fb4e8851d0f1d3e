"""mergekit's YAML (0.1.5) as a `MergeRecipe`.

The whole grammar is understood: models and slices, parameters at every level, tokenizers, chat
templates, several documents. What cannot be expressed is refused by name, and so is every unknown
key: a key that is ignored changes a merge without a word.
"""

import reprlib
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method, Parameter, Scalar
from mixmerge.merging.recipes.recipe import MergeRecipe, nearest
from mixmerge.merging.recipes.sections import Setting, changed, with_fallback

_NO_EFFECT = frozenset({"int8_mask"})
"""Accepted and left out: it saves mergekit memory and changes no number."""
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_OVERRIDE = {"override_architecture": "the architecture is what config.json says; change it there"}
_SETTING: TypeAdapter[Setting] = TypeAdapter(Setting)

_KEYS = (
    *("merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype"),
    *("tokenizer", "tokenizer_source", "chat_template", "name"),
)
_CANNOT = {"modules": "parts of a model cannot have recipes of their own; use `models` or `slices`"}
_NO_RESIDUAL = {"residual_weight": "mergekit reads it and never uses it; remove it"}

Settings = Mapping[str, Setting]


class _Source(NamedTuple):
    """One model of a recipe or of a slice."""

    model: str
    parameters: Settings
    layers: Any = None


def from_mergekit(
    text: Mapping[str, Any], stages: Mapping[str, MergeRecipe] | None = None
) -> MergeRecipe:
    """Translate the content of one document of a mergekit YAML file.

    Relative paths are taken from the current folder, as in mergekit. Stages that it may use as
    models come in the order in which they are made.

    Raises:
        SpecError: a key is unknown or not supported, or a value is wrong.
    """
    check_keys(text, _KEYS, "the recipe", _CANNOT)
    name = text.get("merge_method")
    if not isinstance(name, str) or name not in METHODS:
        raise SpecError(f"merge_method: unknown method {name!r}; {nearest(str(name), METHODS)}.")
    method = METHODS[name]
    base = reference(text["base_model"], "base_model") if text.get("base_model") else None
    shared: Settings = parameters(text.get("parameters"), method, "parameters")
    if (text.get("models") is None) == (text.get("slices") is None):
        raise SpecError("the recipe needs either `models` or `slices`, and not both.")
    inputs = _whole if text.get("slices") is None else _sliced
    return MergeRecipe.model_validate(
        {
            "method": name,
            **inputs(text, method, base, shared),
            "dtype": _dtype(text),
            "tokenizer": tokenizer(text),
            "chat_template": text.get("chat_template"),
            "files_from": base,
            "stages": stages or {},
        }
    )


def _whole(
    text: Mapping[str, Any], method: Method, base: str | None, shared: Settings
) -> dict[str, Any]:
    """Translate ``models``: every layer of every model."""
    sources = [
        _source(entry, method, "models", "model", "parameters")
        for entry in _entries(text["models"], "models")
    ]
    if _interpolates(method):
        sources = _interpolated(sources, base, {}, shared, "slerp")
        shared = _without_t(shared)
    elif method.base != "none":
        sources = _without_base(sources, base)
    elif base is not None and base not in [source.model for source in sources]:
        sources = [*sources, _unlisted_base(method, base)]
    return {
        "models": [
            {"name": source.model, "path": source.model, "parameters": source.parameters}
            for source in sources
        ],
        "base": _base_input(method, base),
        "parameters": shared,
    }


def _unlisted_base(method: Method, base: str) -> _Source:
    """Count a base that is not listed as one more input, in last place, as mergekit does.

    Only where each model needs a value of its own: else nothing in the recipe would tell that the
    base is averaged in.
    """
    if any(known.per_model and known.default is None for known in method.parameters):
        return _Source(base, {})
    raise SpecError(
        f"base_model: {method.name} has no base, and {base} is not among the models: list it "
        "there to merge it, or remove `base_model`."
    )


def _sliced(
    text: Mapping[str, Any], method: Method, base: str | None, shared: Settings
) -> dict[str, Any]:
    """Translate ``slices``: layers of some models after layers of others."""
    slices = [
        _slice(entry, method, base, shared, f"slice {number}")
        for number, entry in enumerate(_entries(text["slices"], "slices"), 1)
    ]
    names = [source["model"] for part in slices for source in part["sources"]]
    if base is not None:
        names.append(base)
    apart = _base_input(method, base)
    models = [name for name in dict.fromkeys(names) if apart is None or name != base]
    return {
        "models": [{"name": name, "path": name} for name in models],
        "base": apart,
        "slices": slices,
        "parameters": _without_t(shared) if _interpolates(method) else shared,
    }


def _slice(
    entry: Any, method: Method, base: str | None, shared: Settings, where: str
) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or "sources" not in entry:
        raise SpecError(f"{where}: needs `sources`, a list of models with `layer_range`.")
    check_keys(entry, ("sources", "base_model", "parameters"), where, _NO_RESIDUAL)
    own: Settings = parameters(entry.get("parameters"), method, f"{where}: parameters")
    sources = [
        _source(source, method, where, "model", "layer_range", "parameters")
        for source in _entries(entry["sources"], f"{where}: sources")
    ]
    if entry.get("base_model"):
        base = reference(entry["base_model"], f"{where}: base_model")
    if _interpolates(method):
        sources = _interpolated(sources, base, own, shared, f"{where}: slerp")
        own, base = _without_t(own), None
    elif method.base == "none":
        if entry.get("base_model"):
            raise SpecError(f"{where}: {method.name} does not use a base; remove `base_model`.")
        base = None
    return {
        "sources": [source._asdict() for source in sources],
        "base": base,
        "parameters": own,
    }


def _source(entry: Any, method: Method, where: str, *keys: str) -> _Source:
    """Read a model with its parameters, and with its layers where ``keys`` has ``layer_range``."""
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise SpecError(f"{where}: each entry needs `model: FOLDER`, not {entry!r}.")
    model = reference(entry["model"], f"{where}: model")
    check_keys(entry, keys, f"model {model}")
    if "layer_range" in keys and "layer_range" not in entry:
        raise SpecError(f"{where}: model {model} needs `layer_range: [FIRST, ONE_PAST_THE_LAST]`.")
    own = parameters(entry.get("parameters"), method, f"model {model}: parameters")
    return _Source(model, own, entry.get("layer_range"))


def _entries(section: Any, where: str) -> list[Any]:
    if not isinstance(section, list) or not section:
        raise SpecError(f"{where}: must be a list with at least one entry, not {section!r}.")
    return section


def _base_input(method: Method, base: str | None) -> dict[str, Any] | None:
    if base is None or method.base == "none":
        return None
    return {"name": base, "path": base}


def _without_base(sources: list[_Source], base: str | None) -> list[_Source]:
    """Leave the base out of the models: its difference from itself is zero."""
    for source in sources:
        if source.model == base and source.parameters:
            raise SpecError(
                f"model {base}: parameters of the base model have no effect; remove them."
            )
    return [source for source in sources if source.model != base]


def _interpolates(method: Method) -> bool:
    """Say whether a method calls ``weight`` by model what mergekit calls ``t`` from the base."""
    return method.name == "slerp" and method.parameter("t") is None


def _interpolated(
    sources: list[_Source], base: str | None, own: Settings, shared: Settings, where: str
) -> list[_Source]:
    """Turn ``t``, counted from the base, into a weight for each of the two models by name.

    With `models` the base need not be among the sources. ``own`` are the parameters of the slice,
    ``shared`` those of the recipe.
    """
    others = [source for source in sources if source.model != base]
    if base is None or len(others) != 1:
        raise SpecError(
            f"{where}: needs `base_model` (the model at t = 0) and exactly one other model."
        )
    misplaced = [name for source in sources for name in source.parameters]
    misplaced += [name for name in (*own, *shared) if name == "weight"]
    if misplaced:
        raise SpecError(f"{where}: `{misplaced[0]}` has no place here; set `t` at the top.")
    given = [level["t"] for level in (own, shared) if "t" in level]
    if not given:
        raise SpecError(f"{where}: needs `t` in `parameters`: 0 is base_model, 1 the other.")
    t = changed(with_fallback(*given), _number)
    listed = next((source for source in sources if source.model == base), _Source(base, {}))
    return [
        listed._replace(parameters={"weight": changed(t, lambda share: 1 - float(share))}),
        others[0]._replace(parameters={"weight": t}),
    ]


def _number(value: Scalar) -> Scalar:
    if isinstance(value, (bool, str)) or not abs(value) <= sys.float_info.max:
        raise SpecError(f"slerp: `t` must be made of finite numbers, not {reprlib.repr(value)}.")
    return value


def _without_t(settings: Settings) -> Settings:
    return {name: setting for name, setting in settings.items() if name != "t"}


def _dtype(text: Mapping[str, Any]) -> Any:
    """Return the output's type: arithmetic is float32 whatever ``dtype`` says."""
    dtype = text.get("out_dtype") or text.get("dtype")
    return dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype


def check_keys(
    section: Mapping[str, Any],
    known: tuple[str, ...],
    where: str,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse keys that are not known, and with a reason those that only mergekit knows.

    Raises:
        SpecError: a key is not known.
    """
    for key in section:
        if key in refused:
            raise SpecError(f"{where}: `{key}`: {refused[key]}.")
        if key not in known:
            raise SpecError(f"{where}: unknown key `{key}`; {nearest(str(key), known)}.")


def reference(value: Any, where: str) -> str:
    """Return a reference to a model as text: ``model``, ``model@revision``, ``model+adapter``.

    mergekit also reads, and itself writes, the same as a mapping.

    Raises:
        SpecError: it is neither.
    """
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Mapping) and "path" in value:
        check_keys(value, ("path", "revision"), where)
        revision = value.get("revision")
        return reference(value["path"], where) + (f"@{revision}" if revision else "")
    if isinstance(value, Mapping) and "model" in value:
        refused = {} if value.get("override_architecture") is None else _OVERRIDE
        check_keys(value, ("model", "lora", "override_architecture"), where, refused)
        adapter = value.get("lora")
        return reference(value["model"], where) + (
            f"+{reference(adapter, where)}" if adapter else ""
        )
    raise SpecError(f"{where}: must be a folder, or a hub name, not {value!r}.")


def parameters(section: Any, method: Method, where: str) -> dict[str, Setting]:
    """Read a ``parameters`` section; values may be written as loosely as mergekit allows.

    Raises:
        SpecError: it is no section, or a value is none.
    """
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise SpecError(f"{where}: must be `name: value` pairs, not {section!r}.")
    return {
        name: _setting(value, method.parameter(name), f"{where}: `{name}`")
        for name, value in section.items()
        if name not in _NO_EFFECT
    }


def _setting(value: Any, parameter: Parameter | None, where: str) -> Setting:
    try:
        setting = _SETTING.validate_python(value)
    except ValidationError as error:
        raise SpecError(f"{where}: {first_problem(error)}") from error
    if parameter is not None and parameter.kind == "choice":
        return setting
    is_switch = parameter is not None and parameter.kind == "switch"
    return changed(setting, _lax_switch if is_switch else _lax_number)


def _lax_number(value: Scalar) -> Scalar:
    """Read ``1e-1``, which is a word to YAML 1.1; what is no number is refused later."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _lax_switch(value: Scalar) -> Scalar:
    """Read 1, 1.0, ``yes`` and ``on`` as true: the last two are switches to mergekit's YAML 1.1."""
    if isinstance(value, str):
        return _SWITCHES.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


def tokenizer(text: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read ``tokenizer_source`` or ``tokenizer`` as what `TokenizerRecipe` is made of.

    Raises:
        SpecError: both are given, or a part is wrong.
    """
    source, section = text.get("tokenizer_source"), text.get("tokenizer")
    if source and section:
        raise SpecError("`tokenizer_source` and `tokenizer` say the same; keep one of them.")
    if source:
        return {"source": reference(source, "tokenizer_source")}
    if section is None:
        return None
    if not isinstance(section, Mapping):
        raise SpecError(f"tokenizer: must be `key: value` lines, not {section!r}.")
    check_keys(section, ("source", "tokens", "pad_to_multiple_of"), "tokenizer")
    tokens = section.get("tokens") or {}
    if not isinstance(tokens, Mapping):
        raise SpecError(f"tokenizer: `tokens` must be `token: rule` lines, not {tokens!r}.")
    return {
        "source": reference(section.get("source", "union"), "tokenizer: source"),
        "tokens": {token: _token_rule(rule, f"token {token!r}") for token, rule in tokens.items()},
        "pad_to_multiple_of": section.get("pad_to_multiple_of"),
    }


def _token_rule(rule: Any, where: str) -> dict[str, Any]:
    if not isinstance(rule, Mapping):
        raise SpecError(f"{where}: must be `source` and `force`, not {rule!r}.")
    check_keys(rule, ("source", "force"), where)
    source = rule.get("source")
    if isinstance(source, Mapping) and "kind" in source:
        source = {**source}
        if "model" in source:
            source["model"] = reference(source["model"], f"{where}: model")
    elif source is not None:
        source = reference(source, f"{where}: source")
    return {"source": source, "force": rule.get("force", False)}
