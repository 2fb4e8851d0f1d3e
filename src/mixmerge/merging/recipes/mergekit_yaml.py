"""mergekit's YAML (0.1.5) as a `MergeRecipe`.

The whole grammar is understood: models and slices, parameters at every level, tokenizers, chat
templates, several documents. What cannot be expressed is refused by name, and so is every unknown
key: a key that is ignored changes a merge without a word.
"""

import reprlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mixmerge.errors import SpecError
from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method, Scalar
from mixmerge.merging.recipes.mergekit_values import check_keys, parameters, reference, tokenizer
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_problems import nearest
from mixmerge.merging.recipes.schedules import Setting, changed, with_fallback
from mixmerge.merging.recipes.stages import order, stage_of

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


def from_documents(documents: Sequence[Mapping[str, Any]]) -> MergeRecipe:
    """Translate the documents of a mergekit YAML file.

    Documents with a ``name`` may be used as models by others. The one without is the result; where
    all have one, it is the one that no other uses.

    Raises:
        SpecError: a key is unknown or not supported, a value is wrong, or the documents cannot be
            put in order.
    """
    if len(documents) == 1:
        return from_mergekit(documents[0])
    named: dict[str, Mapping[str, Any]] = {}
    results = [document for document in documents if "name" not in document]
    for document in documents:
        name = document.get("name")
        if document in results:
            continue
        if not isinstance(name, str) or name in named:
            raise SpecError(f"name: must be a word that no other document has, not {name!r}.")
        named[name] = document
    recipes = {name: _stage(name, document) for name, document in named.items()}
    ordered = order({name: recipe.references for name, recipe in recipes.items()})
    if not results:
        used = {stage_of(text) for recipe in recipes.values() for text in recipe.references}
        results = [named.pop(name) for name in ordered if name not in used]
    if len(results) != 1:
        raise SpecError(
            f"{len(results)} documents could be the result: only it may have no `name`, or if all "
            "have one, be used by no other."
        )
    return from_mergekit(results[0], {name: recipes[name] for name in ordered if name in named})


def _stage(name: str, document: Mapping[str, Any]) -> MergeRecipe:
    try:
        return from_mergekit(document)
    except SpecError as error:
        raise SpecError(f"document `{name}`: {error}") from error


def from_mergekit(
    text: Mapping[str, Any], stages: Mapping[str, MergeRecipe] | None = None
) -> MergeRecipe:
    """Translate the content of one document of a mergekit YAML file.

    Relative paths are taken from the current folder, as in mergekit.

    Args:
        text: the document.
        stages: merges that it may use as models, in the order in which they are made.

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

    Args:
        sources: the two models; with `models` the base need not be among them.
        base: the model at t = 0.
        own: parameters of the slice.
        shared: parameters of the recipe.
        where: what messages begin with.
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
