"""What a merge should give, worked out anew from its files: safetensors, json, PyYAML and numpy.

Nothing of the code under test is used, so that both would have to be wrong in the same way. What a
recipe can say beyond this is not judged (`Unknown`).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from tests.merging.methods import references
from tests.merging.methods.references import F64, Inputs
from tokenizers import Tokenizer

FLOATS = {torch.float32: 2.0**-23, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}
"""Types that are merged, with the relative size of their last digit."""
_METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": ({"weight": None}, {"normalize": True}),
    "task_arithmetic": ({"weight": None}, {"normalize": False, "lambda": 1.0}),
    "ties": (
        {"weight": None, "density": 1.0},
        {"normalize": True, "rescale": False, "lambda": 1.0},
    ),
    "passthrough": ({"scale": 1.0}, {}),
}
"""Values for each model, and values for all, with their defaults."""
_KEYS = {
    *("merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype"),
    *("tokenizer", "name", "chat_template"),
}


class Unknown(Exception):  # noqa: N818
    """The recipe says something that is not judged here."""


class Wanted(NamedTuple):
    """A tensor of the output."""

    values: F64
    slack: F64
    """How far each element may be off."""
    dtype: torch.dtype | None


Tensors = dict[str, torch.Tensor]
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def expected(root: Path, recipe: Path, merged: Path) -> dict[str, Wanted]:
    """Return the tensors that a merge should give.

    Args:
        root: where the models are.
        recipe: mergekit's YAML.
        merged: the output, of which the tokenizer is used.

    Raises:
        Unknown: the recipe cannot be judged.
    """
    try:
        found = list(yaml.safe_load_all(recipe.read_text("utf-8")))
    except ValueError as error:  # PyYAML takes for a date what is text by the rules of YAML 1.2
        raise Unknown("a value that only YAML 1.1 knows") from error
    documents = [one for one in found if one is not None]
    stages = {one["name"]: one for one in documents if "name" in one}
    results = [one for one in documents if "name" not in one]
    if len(documents) == 1:
        results, stages = documents, {}
    if len(results) != 1:
        raise Unknown("which document is the result")
    return _Merge(root, merged, stages).of(_in_form_of_mergekit(results[0]))


def _in_form_of_mergekit(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Translate what the pristine recipe in mixmerge's own form says."""
    if "method" not in document:
        return document
    if set(document) - {"method", "models", "base", "parameters", "dtype", "files_from"}:
        raise Unknown("keys")
    entries = [
        {"model": entry["path"], "parameters": entry.get("parameters", {})}
        for entry in document["models"]
    ]
    base = document.get("base")
    paths = [entry["model"] for entry in entries]
    if base and base["path"] in paths:
        raise Unknown("a base that is merged")
    return {
        "merge_method": document["method"],
        "models": entries,
        "base_model": base["path"] if base else None,
        "parameters": document.get("parameters", {}),
        "dtype": document.get("dtype"),
    }


class _Merge:
    def __init__(self, root: Path, merged: Path, stages: Mapping[str, Any]) -> None:
        self._root, self._merged, self._stages = root, merged, stages

    def of(self, document: Mapping[str, Any]) -> dict[str, Wanted]:
        if set(document) - _KEYS or not isinstance(document.get("parameters", {}), dict):
            raise Unknown("keys")
        if document["merge_method"] == "slerp":
            return _Slerp(self, document).tensors()
        if document["merge_method"] not in _METHODS:
            raise Unknown("method")
        if document.get("slices") is not None:
            return self._sliced(document)
        entries = document["models"]
        base = document.get("base_model")
        names = [entry["model"] for entry in entries]
        if not all(isinstance(name, str) for name in (*names, base or "")):
            raise Unknown("models that are no names")
        if document["merge_method"] in ("linear", "passthrough"):
            if base not in (None, *names):
                entries = [*entries, {"model": base}]
            base = None
        entries = [entry for entry in entries if entry["model"] != base]
        models = [self.load(entry["model"]) for entry in entries]
        rooted = None if base is None else self.load(base)
        if document.get("tokenizer"):
            models, rooted = _aligned(
                self._root, self._merged, document, [e["model"] for e in entries], models, rooted
            )
        owners = [entry.get("parameters") or {} for entry in entries]
        return {
            name: self.tensor(document, name, models, rooted, [(own,) for own in owners], _depth)
            for name in dict.fromkeys(n for m in models for n in m)
        }

    def load(self, name: str) -> Tensors:
        if name in self._stages:
            wanted = self.of(self._stages[name])
            return {
                key: torch.tensor(np.asarray(one.values)).to(one.dtype or torch.int64)
                for key, one in wanted.items()
            }
        model, _, adapter = name.partition("+")
        folder = self._root / model
        tensors: Tensors = {}
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            files = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        else:
            files = ["model.safetensors"]
        for file in files:
            tensors |= load_file(folder / file)
        return _adapted(tensors, self._root / adapter) if adapter else tensors

    def tensor(
        self,
        document: Mapping[str, Any],
        name: str,
        models: Sequence[Tensors],
        base: Tensors | None,
        levels: Sequence[Sequence[Mapping[str, Any]]],
        depth: Any,
        inputs: Sequence[str] | None = None,
    ) -> Wanted:
        inputs = inputs or [name] * len(models)
        given = [_one(model, at) for model, at in zip(models, inputs, strict=True)]
        rooted = None if base is None else _one(base, name)
        dtypes = {tensor.dtype for tensor in (*given, *([] if rooted is None else [rooted]))}
        if not given[0].dtype.is_floating_point:
            values = given[0].numpy().astype(np.float64)
            return Wanted(values, np.zeros(values.shape), None)
        own, shared = _METHODS[document["merge_method"]]
        deep = depth(name, [*dict.fromkeys(n for m in models for n in m)])
        top = document.get("parameters") or {}
        arguments: dict[str, Any] = {
            key: tuple(
                _value([*level, top], key, at, name, deep, len(level), default)
                for level, at in zip(levels, inputs, strict=True)
            )
            for key, default in own.items()
        }
        inner = levels[0][1:]
        for key, default in shared.items():
            arguments["lambda_" if key == "lambda" else key] = _value(
                [*inner, top], key, name, name, deep, 0, default
            )
        function = getattr(references, document["merge_method"])
        models_ = [tensor.float().numpy() for tensor in given]
        rooted_ = None if rooted is None else rooted.float().numpy()
        if document["merge_method"] == "ties" and (given[0].numel() == 0):
            raise Unknown("no elements")
        found = function(Inputs(models_, rooted_, np.zeros((1, 1))), **arguments)
        dtype = _dtype(document, dtypes)
        slack = 1e-6 * found.reach + FLOATS[dtype] * np.abs(found.values) + _smallest(dtype)
        slack[found.undecided] = np.inf
        shape = models_[0].shape
        return Wanted(found.values.reshape(shape), slack.reshape(shape), dtype)

    def _sliced(self, document: Mapping[str, Any]) -> dict[str, Wanted]:
        """Only what the pristine recipe of slices says is understood: linear, layers by number."""
        if document["merge_method"] != "linear" or document.get("base_model"):
            raise Unknown("slices of another method")
        wanted: dict[str, Wanted] = {}
        at = 0
        slices = document["slices"]
        for number, part in enumerate(slices):
            sources = part["sources"]
            models = [self.load(source["model"]) for source in sources]
            levels = [
                (source.get("parameters") or {}, part.get("parameters") or {}) for source in sources
            ]
            low, high = sources[0]["layer_range"]
            names = list(dict.fromkeys(n for m in models for n in m))
            for name in names:
                after = name.startswith(("model.norm", "lm_head"))
                if _LAYER.match(name) or number != (len(slices) - 1 if after else 0):
                    continue
                wanted[name] = self.tensor(document, name, models, None, levels, lambda *_: 0.0)
            for step in range(high - low):
                deep = step / (high - low - 1) if high - low > 1 else 1.0
                first = f"model.layers.{low + step}."
                for rest in [
                    name.removeprefix(first) for name in models[0] if name.startswith(first)
                ]:
                    wanted[f"model.layers.{at}.{rest}"] = self.tensor(
                        document,
                        f"model.layers.{at}.{rest}",
                        models,
                        None,
                        levels,
                        lambda *_, deep=deep: deep,
                        [f"model.layers.{s['layer_range'][0] + step}.{rest}" for s in sources],
                    )
                at += 1
        return wanted


class _Slerp:
    def __init__(self, merge: _Merge, document: Mapping[str, Any]) -> None:
        base = document["base_model"]
        if document.get("models") is None or document.get("tokenizer"):
            raise Unknown("slerp beyond two whole models")
        others = [entry["model"] for entry in document["models"] if entry["model"] != base]
        if not all(isinstance(name, str) for name in (base, *others)):
            raise Unknown("models that are no names")
        self._document = document
        self._models = [merge.load(name) for name in (base, *others)]

    def tensors(self) -> dict[str, Wanted]:
        parameters = self._document["parameters"]
        names = list(dict.fromkeys(n for m in self._models for n in m))
        wanted = {}
        for name in names:
            v, w = (_one(model, name) for model in self._models)
            if not v.dtype.is_floating_point:
                wanted[name] = Wanted(v.numpy().astype(np.float64), np.zeros(v.shape), None)
                continue
            t = _value([parameters], "t", name, name, _depth(name, names), 0, None)
            if abs(t) > 10:
                raise Unknown("so many times around the circle that no digit is certain")
            threshold = _value([parameters], "dot_threshold", name, name, 0.0, 0, 0.9995)
            given = Inputs([v.float().numpy(), w.float().numpy()], None, np.zeros((1, 1)))
            found = references.slerp(given, (1 - t, t), threshold)
            dtype = _dtype(self._document, {v.dtype, w.dtype})
            size = np.abs(found.reach) + math.sqrt(max(1, found.values.size))
            slack = 2e-6 * size + FLOATS[dtype] * np.abs(found.values) + _smallest(dtype)
            wanted[name] = Wanted(found.values.reshape(v.shape), slack.reshape(v.shape), dtype)
        return wanted


def _one(model: Tensors, name: str) -> torch.Tensor:
    return model[name] if name in model or name != _HEAD else model[_EMBEDDING]


def _smallest(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).tiny) * FLOATS[dtype]


def _dtype(document: Mapping[str, Any], dtypes: set[torch.dtype]) -> torch.dtype:
    asked = document.get("out_dtype") or document.get("dtype")
    if asked:
        return {
            "float32": torch.float32,
            "float16": torch.float16,
            "bfloat16": torch.bfloat16,
        }[asked.removeprefix("torch.")]
    return dtypes.pop() if len(dtypes) == 1 else torch.float32


_LAYER = re.compile(r"model\.layers\.(0|[1-9]\d*)\.", re.ASCII)
_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)", re.ASCII)


def _depth(name: str, names: Sequence[str]) -> float:
    found = _NUMBER.search(name)
    if found is None:
        return 0.0
    prefix = name[: found.start(1)]
    layers = [
        int(other[1])
        for each in names
        if each.startswith(prefix)
        and (other := _NUMBER.search(each))
        and each[: other.start(1)] == prefix
    ]
    return int(found[1]) / max(layers) if max(layers) else 1.0


def _value(
    levels: Sequence[Mapping[str, Any]],
    key: str,
    own_name: str,
    name: str,
    depth: float,
    own: int,
    default: Any,
) -> Any:
    """Look a value up: a model's own first, then its slice's, then the recipe's."""
    for number, level in enumerate(levels):
        if key not in level:
            continue
        rules = level[key]
        if isinstance(rules, dict):
            rules = [rules]
        if not (isinstance(rules, list) and rules and isinstance(rules[0], dict)):
            rules = [{"value": rules}]
        for rule in rules:
            word = rule.get("filter")
            if word in (None, "*") or word in (own_name if number < own else name):
                return _along(rule["value"], depth)
    return default


def _along(value: Any, depth: float) -> Any:
    if isinstance(value, list):
        numbers = [_number(item) for item in value]
        if isinstance(numbers[0], bool):
            return numbers[int(depth * (len(numbers) - 1))]
        values = [float(number) for number in numbers]
        return float(np.interp(depth * (len(values) - 1), range(len(values)), values))
    return _number(value)


def _number(value: Any) -> Any:
    if isinstance(value, str):
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        return words[value.lower()] if value.lower() in words else float(value)
    return value


def _adapted(tensors: Tensors, folder: Path) -> Tensors:
    """Add what an adapter changes: s B A, s from its configuration."""
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    stored = load_file(folder / "adapter_model.safetensors")
    result = dict(tensors)
    for name, a in stored.items():
        plain = name.removeprefix("base_model.model.")
        if not name.endswith(".lora_A.weight"):
            if not name.endswith(".lora_B.weight"):
                raise Unknown("adapters of embeddings, biases, whole modules")
            continue
        module = plain.removesuffix(".lora_A.weight")
        own = next((n for n in tensors if n == f"{module}.weight"), None)
        if own is None:
            raise Unknown("adapters with other names")
        rank = _pattern(config.get("rank_pattern"), module, config["r"])
        alpha = _pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        b = stored[name.replace("lora_A", "lora_B")].double()
        change = scale * (b @ a.double())
        if change.shape != tensors[own].shape or (
            change.shape[0] == change.shape[1] and config.get("fan_in_fan_out")
        ):
            change = change.T
        result[own] = (tensors[own].double() + change).float()
        if tensors[own].dtype != torch.float32:
            raise Unknown("an adapted tensor that is not float32")
    return result


def _pattern(patterns: Any, module: str, common: float) -> float:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return common


def _ids(folder: Path) -> dict[str, int]:
    """Return ids as the tokenizers library counts them, whatever the file says of added tokens."""
    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids: dict[str, int] = found.get_vocab(with_added_tokens=True)
    return ids


def _aligned(
    root: Path,
    merged: Path,
    document: Mapping[str, Any],
    names: Sequence[str],
    models: Sequence[Tensors],
    base: Tensors | None,
) -> tuple[list[Tensors], Tensors | None]:
    """Put rows into the order of the output's tokens, which are taken as they are."""
    if base is None or any("+" in name or name in (".", "..") for name in names):
        raise Unknown("alignment without a base")
    ids = _ids(merged)
    everyone = [document["base_model"], *names]
    tensors = [base, *models]
    known = [_ids(root / name) for name in everyone]
    tokenizer = document["tokenizer"]
    multiple = tokenizer.get("pad_to_multiple_of") or 1
    rows = math.ceil((1 + max(ids.values())) / multiple) * multiple
    results: list[Tensors] = [dict(each) for each in tensors]
    for tensor in (_EMBEDDING, _HEAD):
        stored = [_one(each, tensor) for each in tensors]
        if len({each.dtype for each in stored}) > len(stored) or stored[0].ndim != 2:
            raise Unknown("odd embeddings")
        wide = [each.double() for each in stored]
        own = [
            {token: at for token, at in ids_.items() if at < len(each)}
            for ids_, each in zip(known, wide, strict=True)
        ]
        for number, result in enumerate(results):
            new = torch.zeros((rows, wide[0].shape[1]), dtype=torch.float64)
            for token, at in ids.items():
                new[at] = _row(token, number, own, wide, everyone, tokenizer.get("tokens") or {})
            used = sorted(ids.values())
            for padding in set(range(rows)) - set(used):
                new[padding] = new[used].mean(0)
            result[tensor] = new.to(torch.float32)
    return results[1:], results[0]


def _row(
    token: str,
    model: int,
    own: Sequence[Mapping[str, int]],
    wide: Sequence[torch.Tensor],
    names: Sequence[str],
    rules: Mapping[str, Any],
) -> torch.Tensor:
    rule = rules.get(token) or {}
    source = rule.get("source")
    if token in own[model] and not rule.get("force"):
        return wide[model][own[model][token]]
    if isinstance(source, str):
        source = {"model": source, "token": token}
    if source and source.get("kind") != "zero":
        at = names.index(source["model"])
        row = source.get("token_id")
        return wide[at][own[at][source["token"]] if row is None else row]
    having = [] if source else [number for number, ids in enumerate(own) if token in ids]
    if not having:
        return torch.zeros(wide[0].shape[1], dtype=torch.float64)
    if len(having) == 1 or 0 in having:
        at = 0 if 0 in having else having[0]
        return wide[at][own[at][token]]
    return torch.stack([wide[each][own[each][token]] for each in having]).mean(0)
