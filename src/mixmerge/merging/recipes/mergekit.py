"""mergekit's YAML (0.1.5) as a `MergeRecipe`.

The whole grammar is supported: models and slices, parameters at every level, tokenizers, chat
templates, several documents. What cannot be expressed is refused by name.
"""

import reprlib
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method, Scalar
from mixmerge.merging.recipes.mergekit_sections import (
    Notes,
    Settings,
    Whose,
    check_keys,
    interpolates,
    parameters,
    reference,
    tokenizer,
)
from mixmerge.merging.recipes.recipe import MergeRecipe, explained, nearest
from mixmerge.merging.recipes.sections import changed, with_fallback

_KEYS = (
    *("merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype"),
    *("tokenizer", "tokenizer_source", "chat_template", "name", "unsafe_truncate_embeddings"),
    "adapter",
)
_CANNOT = {"modules": "parts of a model cannot have recipes of their own; use `models` or `slices`"}
_OTHER_PROGRAMS = {
    "mergekit-moe": ("experts", "gate_mode", "experts_per_token", "shared_experts"),
    "mergekit-extract-lora": ("max_rank", "sv_epsilon", "distribute_scale", "embed_lora"),
    "mergekit-evolve": ("genome",),
    "bakllama": ("layer_slices",),
}
"""Keys in the files of mergekit's other programs."""
_AGAIN = " (the base itself)"


class _Source(NamedTuple):
    """One model of a recipe or of a slice."""

    model: str
    parameters: Settings
    layers: Any = None


class _Recipe(NamedTuple):
    """Settings that apply to the whole document."""

    method: Method
    base: str | None
    shared: Settings
    notes: Notes


def from_mergekit(
    text: Mapping[str, Any], stages: Mapping[str, MergeRecipe] | None = None
) -> MergeRecipe:
    """Convert one document of a mergekit YAML file.

    Relative paths start from the current folder, as in mergekit. ``stages`` are the recipes it may
    use as models, in order. Keys without effect are listed in the recipe's notes.

    Raises:
        SpecError: a key is unknown or not supported, or a value is wrong.
    """
    _refuse_other_programs(text)
    notes = Notes()
    check_keys(text, _KEYS, "the recipe", notes, _CANNOT)
    name = text.get("merge_method")
    if not isinstance(name, str) or name not in METHODS:
        raise SpecError(f"merge_method: unknown method {name!r}; {nearest(str(name), METHODS)}.")
    method = METHODS[name]
    base = reference(text["base_model"], "base_model") if text.get("base_model") else None
    shared = parameters(text.get("parameters"), method, "parameters", notes)
    if (text.get("models") is None) == (text.get("slices") is None):
        raise SpecError("the recipe needs either `models` or `slices`, and not both.")
    whole = _Recipe(method, base, shared, notes)
    inputs = _whole if text.get("slices") is None else _sliced
    content = {
        "method": name,
        **inputs(text, whole),
        "parameters": _without_t(shared) if interpolates(method) else shared,
        "dtype": _dtype(text),
        "tokenizer": tokenizer(text, notes),
        "chat_template": text.get("chat_template"),
        "unsafe_truncate_embeddings": text.get("unsafe_truncate_embeddings") or False,
        "files_from": base,
        "adapter": text.get("adapter"),
        "stages": stages or {},
    }
    try:
        return MergeRecipe.model_validate(content).with_notes(notes.texts)
    except ValidationError as error:
        # An ignored key may be the reason that something is missing.
        left_out = f" Left out: {'; '.join(notes.texts)}." if notes.texts else ""
        raise SpecError(explained(error) + left_out) from error


def _refuse_other_programs(text: Mapping[str, Any]) -> None:
    for program, keys in _OTHER_PROGRAMS.items():
        found = [key for key in keys if key in text]
        if found and "merge_method" not in text:
            raise SpecError(
                f"this is a file of {program} (it has `{found[0]}`); `mixmerge merge` reads those "
                "of mergekit-yaml and mergekit-multi."
            )


def _whole(text: Mapping[str, Any], whole: _Recipe) -> dict[str, Any]:
    """Convert ``models``: every layer of every model."""
    method, base, shared, notes = whole
    sources = [
        _source(entry, method, base, notes, "models", "model", "parameters")
        for entry in _entries(text["models"], "models")
    ]
    if interpolates(method):
        sources = _interpolated(sources, base, {}, shared, "slerp")
    elif method.base != "none":
        sources = _beside_base(sources, whole, "models")
        sources = [source for source in sources if source.model != base]
    elif base is not None and base not in [source.model for source in sources]:
        sources = [*sources, _unlisted_base(base, whole)]
    return {
        "models": [
            _input(source.model, base) | {"parameters": source.parameters} for source in sources
        ],
        "base": _base_input(method, base),
    }


def _unlisted_base(base: str, whole: _Recipe) -> _Source:
    """Return the base as one more input, in last place, as mergekit does."""
    method = whole.method
    if method.models[1] is not None:
        raise SpecError(
            f"base_model: {method.name} has no base, and {base} is not among the models: list it "
            "there to merge it, or remove `base_model`."
        )
    whole.notes.add(
        "base_model", f"{base} is merged as one more model, since {method.name} has no base"
    )
    return _Source(base, {})


def _sliced(text: Mapping[str, Any], whole: _Recipe) -> dict[str, Any]:
    """Convert ``slices``: layers of some models after layers of others."""
    slices = [
        _slice(entry, whole, f"slice {number}")
        for number, entry in enumerate(_entries(text["slices"], "slices"), 1)
    ]
    names = [source["model"] for part in slices for source in part["sources"]]
    if whole.base is not None:
        names.append(whole.base)
    apart = _base_input(whole.method, whole.base)
    models = [name for name in dict.fromkeys(names) if apart is None or name != whole.base]
    bases = [part["base"] for part in slices] + [whole.base]
    return {"models": [_input(name, *bases) for name in models], "base": apart, "slices": slices}


def _slice(entry: Any, whole: _Recipe, where: str) -> dict[str, Any]:
    method, base, shared, notes = whole
    if not isinstance(entry, Mapping) or "sources" not in entry:
        raise SpecError(f"{where}: needs `sources`, a list of models with `layer_range`.")
    check_keys(entry, ("sources", "base_model", "parameters"), where, notes)
    own: Settings = parameters(entry.get("parameters"), method, f"{where}: parameters", notes)
    if entry.get("base_model"):
        base = reference(entry["base_model"], f"{where}: base_model")
        if method.base == "none" and not interpolates(method):
            notes.add(where, f"`base_model` has no effect with {method.name}")
    sources = [
        _source(source, method, base, notes, where, "model", "layer_range", "parameters")
        for source in _entries(entry["sources"], f"{where}: sources")
    ]
    if interpolates(method):
        sources = _interpolated(sources, base, own, shared, f"{where}: slerp")
        own, base = _without_t(own), None
    elif method.base == "none":
        base = None
    else:
        sources = _beside_base(sources, whole._replace(base=base), where)
    return {"sources": [source._asdict() for source in sources], "base": base, "parameters": own}


def _source(
    entry: Any, method: Method, base: str | None, notes: Notes, where: str, *keys: str
) -> _Source:
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise SpecError(f"{where}: each entry needs `model: FOLDER`, not {entry!r}.")
    model = reference(entry["model"], f"{where}: model")
    check_keys(entry, keys, f"model {model}", notes)
    if "layer_range" in keys and "layer_range" not in entry:
        raise SpecError(f"{where}: model {model} needs `layer_range: [FIRST, ONE_PAST_THE_LAST]`.")
    whose: Whose = "base" if model == base and method.base != "none" else "model"
    own = parameters(entry.get("parameters"), method, f"model {model}: parameters", notes, whose)
    return _Source(model, own, entry.get("layer_range"))


def _entries(section: Any, where: str) -> list[Any]:
    if not isinstance(section, list) or not section:
        raise SpecError(f"{where}: must be a list with at least one entry, not {section!r}.")
    return section


def _input(name: str, *bases: str | None) -> dict[str, Any]:
    """Return an input named by its path, also for a base that is a model as well."""
    itself = next((base for base in bases if base and name == base + _AGAIN), name)
    return {"name": name, "path": itself}


def _base_input(method: Method, base: str | None) -> dict[str, Any] | None:
    return None if base is None or method.base == "none" else _input(base)


def _beside_base(sources: list[_Source], whole: _Recipe, where: str) -> list[_Source]:
    """Return the sources, or the base twice if it is the only one.

    Its difference from itself is zero, so the result is the base, as in mergekit.
    """
    method, base, _, notes = whole
    others = [source for source in sources if source.model != base]
    if others or base is None:
        return sources
    if method.models != (1, None):
        raise SpecError(f"{where}: {method.name} needs at least one model besides the base.")
    notes.add(where, f"the base is the only model, so {method.name} gives the base itself")
    weighed = method.parameter("weight") is not None
    again = _Source(base + _AGAIN, {"weight": 1.0} if weighed else {}, sources[0].layers)
    return [*sources, again]


def _interpolated(
    sources: list[_Source], base: str | None, own: Settings, shared: Settings, where: str
) -> list[_Source]:
    """Convert ``t``, counted from the base, into a weight for each of the two models.

    With `models` the base need not be listed. ``own`` are the slice's parameters, ``shared`` the
    recipe's.
    """
    others = [source for source in sources if source.model != base]
    if base is None or len(others) != 1:
        raise SpecError(
            f"{where}: needs `base_model` (the model at t = 0) and exactly one other model."
        )
    given = [level["t"] for level in (own, shared) if "t" in level]
    if not given:
        raise SpecError(
            f"{where}: needs `t` in the `parameters` of the recipe or of a slice: 0 is base_model, "
            "1 the other."
        )
    t = changed(with_fallback(*given), _number)
    listed = next((source for source in sources if source.model == base), _Source(base, {}))
    return [
        listed._replace(parameters={"weight": changed(t, lambda share: 1 - float(share))}),
        others[0]._replace(parameters={"weight": t}),
    ]


def _number(value: Scalar) -> Scalar:
    if isinstance(value, (bool, str)) or not abs(value) <= sys.float_info.max:
        raise SpecError(f"slerp: `t` must be a finite number, not {reprlib.repr(value)}.")
    return value


def _without_t(settings: Settings) -> Settings:
    return {name: setting for name, setting in settings.items() if name != "t"}


def _dtype(text: Mapping[str, Any]) -> Any:
    """Return the output's type; arithmetic is float32 whatever ``dtype`` says."""
    dtype = text.get("out_dtype") or text.get("dtype")
    return dtype.removeprefix("torch.") if isinstance(dtype, str) else dtype
