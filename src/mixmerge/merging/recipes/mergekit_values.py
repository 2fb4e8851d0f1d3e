"""The small parts of mergekit's YAML: keys, references to models, parameters, tokenizers."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merging.methods.method import Method, Parameter, Scalar
from mixmerge.merging.recipes.recipe_problems import nearest
from mixmerge.merging.recipes.schedules import Setting, changed

_NO_EFFECT = frozenset({"int8_mask"})
"""Accepted and left out: it saves mergekit memory and changes no number."""
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_OVERRIDE = {"override_architecture": "the architecture is what config.json says; change it there"}
_SETTING: TypeAdapter[Setting] = TypeAdapter(Setting)


def check_keys(
    section: Mapping[str, Any],
    known: tuple[str, ...],
    where: str,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse keys that are not known.

    Args:
        section: what stands in the recipe.
        known: the keys it may have.
        where: what messages call it.
        refused: keys that mergekit knows and we refuse, and why.

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
    kind = parameter.kind if parameter is not None else "number"
    return changed(setting, _LAX.get(kind, _as_it_is))


def _as_it_is(value: Scalar) -> Scalar:
    return value


def _lax_number(value: Scalar) -> Scalar:
    """Read ``1e-1``, which is a word to YAML 1.1; what is no number is refused later."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _lax_switch(value: Scalar) -> Scalar:
    """Read 1, 1.0 and "true" as true."""
    if isinstance(value, str):
        return _SWITCHES.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


_LAX: dict[str, Callable[[Scalar], Scalar]] = {"number": _lax_number, "switch": _lax_switch}


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
