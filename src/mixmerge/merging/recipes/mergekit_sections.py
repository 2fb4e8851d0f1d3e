"""Parts of mergekit's YAML: keys, references to models, parameters, tokenizers.

A key that mergekit knows but that has no effect where it is, is ignored with a note, since working
recipes are full of them. An unknown key is refused: it may be a typo that would silently change the
merge.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merging.methods.method import Method, Parameter, Scalar
from mixmerge.merging.recipes.recipe import nearest
from mixmerge.merging.recipes.sections import Setting, changed

_PARAMETERS = {
    *("weight", "density", "normalize", "rescale", "lambda", "gamma", "epsilon", "int8_mask", "t"),
    *("scale", "filter_wise", "nuslerp_row_wise", "nuslerp_flatten", "normalize_weights", "eps"),
    *("max_iter", "tol", "select_topk", "r", "alpha", "embed_slerp"),
}
"""Of any mergekit method, up to 0.1.5."""
_OF_THE_RECIPE = {
    *("merge_method", "base_model", "dtype", "out_dtype", "tokenizer_source", "chat_template"),
    "name",
}
_OF_A_SLICE = {"layer_range", "residual_weight"}
_OPTIONS = {
    *("allow_crimes", "transformers_cache", "lora_merge_cache", "lora_merge_dtype", "cuda"),
    *("device", "low_cpu_memory", "out_shard_size", "copy_tokenizer", "clone_tensors"),
    *("trust_remote_code", "random_seed", "lazy_unpickle", "write_model_card", "quiet"),
    *("safe_serialization", "verbosity", "read_to_gpu", "multi_gpu", "num_threads", "gpu_rich"),
    *("async_write", "write_threads"),
}
"""Of mergekit's command line."""

_SAVES_MEMORY = "int8_mask"
"""Does not change the numbers, so it is ignored without a note."""
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_OVERRIDE = {"override_architecture": "the architecture is what config.json says; change it there"}
_SETTING: TypeAdapter[Setting] = TypeAdapter(Setting)

Settings = Mapping[str, Setting]

Whose = Literal["all", "model", "base"]
"""Whether parameters are for all models, for one, or for the base."""


class Notes:
    """Keys that are ignored because they have no effect, each listed once with its places."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}

    def add(self, where: str, what: str) -> None:
        """Record a note about a place in the recipe."""
        self._places.setdefault(what, []).append(where)

    @property
    def texts(self) -> tuple[str, ...]:
        """One sentence per note."""
        return tuple(
            f"{places[0]}: {what}" + (f" ({len(places) - 1} more like it)" if places[1:] else "")
            for what, places in self._places.items()
        )


def _elsewhere(key: str) -> str | None:
    """Return where a mergekit key belongs; None if it is unknown."""
    if key in _PARAMETERS:
        return "it belongs under `parameters`"
    if key in _OF_THE_RECIPE:
        return "it belongs at the top of the recipe"
    if key in _OF_A_SLICE:
        return "it belongs to `slices`"
    return "it is an option of the command line" if key in _OPTIONS else None


def check_keys(
    section: Mapping[str, Any],
    known: Iterable[str],
    where: str,
    notes: Notes | None = None,
    refused: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse unknown keys, and with a reason those that only mergekit supports.

    With ``notes``, a key that has a meaning elsewhere in a recipe is ignored with a note.

    Raises:
        SpecError: a key is not known.
    """
    known = tuple(known)
    for key in section:
        if key in refused:
            raise SpecError(f"{where}: `{key}`: {refused[key]}.")
        if key in known or key == _SAVES_MEMORY:
            continue
        belongs = _elsewhere(key)
        if belongs is None or notes is None:
            raise SpecError(f"{where}: unknown key `{key}`; {nearest(str(key), known)}.")
        notes.add(where, f"`{key}` has no effect here; {belongs}")


def reference(value: Any, where: str) -> str:
    """Return a model reference as text: ``model``, ``model@revision``, ``model+adapter``.

    mergekit also reads and writes references as mappings.

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
        check_keys(value, ("model", "lora", "override_architecture"), where, refused=refused)
        adapter = value.get("lora")
        return reference(value["model"], where) + (
            f"+{reference(adapter, where)}" if adapter else ""
        )
    raise SpecError(f"{where}: must be a folder, or a hub name, not {value!r}.")


def interpolates(method: Method) -> bool:
    """Whether a method's per-model ``weight`` is mergekit's ``t``, counted from the base."""
    return method.name == "slerp"


def parameters(
    section: Any, method: Method, where: str, notes: Notes, whose: Whose = "all"
) -> dict[str, Setting]:
    """Read a ``parameters`` section, accepting the same loose values as mergekit.

    Raises:
        SpecError: it is not a mapping, a value is wrong, or a parameter is unknown.
    """
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise SpecError(f"{where}: must be `name: value` pairs, not {section!r}.")
    known = _with_effect(method, whose)
    for name in section:
        if name not in known and name != _SAVES_MEMORY:
            notes.add(where, _without_effect(name, method, where, whose))
    return {
        name: _setting(value, method.parameter(name), f"{where}: `{name}`")
        for name, value in section.items()
        if name in known
    }


def _with_effect(method: Method, whose: Whose) -> set[str]:
    """Return the parameters that a method uses in mergekit's format."""
    if whose == "base":
        return set()
    names = {known.name for known in method.parameters if whose == "all" or known.per_model}
    if interpolates(method):
        names -= {"weight"}
        names |= {"t"} if whose == "all" else set()
    return names


def _without_effect(name: Any, method: Method, where: str, whose: Whose) -> str:
    """Return why a parameter is ignored; refuse unknown ones and mixmerge's own."""
    belongs = _elsewhere(name)
    for_all = name in _with_effect(method, "all")
    if belongs is None and for_all:
        raise SpecError(f"{where}: `{name}` is for all models together; move it to the top.")
    if belongs is None:
        known = nearest(str(name), sorted(_with_effect(method, "all")))
        raise SpecError(f"{where}: {method.name} has no parameter `{name}`; {known}.")
    if whose == "base":
        return f"`{name}` has no effect at the base, whose difference from itself is zero"
    if for_all:
        return f"`{name}` has no effect at one model, since {method.name} has one for all"
    if name in _PARAMETERS:
        return f"`{name}` has no effect with {method.name}"
    return f"`{name}` has no effect here; {belongs}"


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
    """Read ``1e-1``, which is text in YAML 1.1; what is not a number is refused later."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _lax_switch(value: Scalar) -> Scalar:
    """Read 1, 1.0, ``yes`` and ``on`` as true; mergekit's YAML 1.1 has the last two."""
    if isinstance(value, str):
        return _SWITCHES.get(value.lower(), value)
    return bool(value) if value in (0, 1) else value


def tokenizer(text: Mapping[str, Any], notes: Notes) -> dict[str, Any] | None:
    """Read ``tokenizer_source`` or ``tokenizer`` as the fields of a `TokenizerRecipe`.

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
    check_keys(section, ("source", "tokens", "pad_to_multiple_of"), "tokenizer", notes)
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
