"""LoRA adapters on disk, in peft's format: read and checked, with no tensor left unused.

LoRA (Hu et al. 2021, arXiv:2106.09685) learns W + s B A for a frozen matrix W, with B and A of a
small rank r and s = alpha / r; rsLoRA (Kalajdzievski 2023, arXiv:2312.03732) takes alpha / √r.
DoRA (Liu et al. 2024, arXiv:2402.09353) also learns the norm of every row of that sum.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.merging.kernels.rounding import STORED
from mixmerge.merging.models.donor_files import read_object
from mixmerge.merging.models.equivalences import same_bytes
from mixmerge.merging.models.pickled import is_pickled, pickled_tensors
from mixmerge.merging.models.safetensors_io import StoredTensor, read_header

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What peft puts before every name."""
_LARGE = 1e9
"""Far above any rank or alpha; also excludes infinity, NaN and huge integers."""

_FACTORS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_B.bias": "shift",
    ".lora_embedding_A": "embedding_a",
    ".lora_embedding_B": "embedding_b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
}
_MOST_TRIES = 10**8
"""Ways to split a module's name among the repetitions of a pattern (backtracking)."""
_TRAINED, _UNTRAINED, _UNUSED = ".modules_to_save", ".base_layer", ".original_module"
"""peft's marks in names of full tensors: trained, not trained, replaced."""

_APPLIED = frozenset({"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"}) | {
    "peft_type", "fan_in_fan_out", "bias", "lora_bias", "use_dora",
}  # fmt: skip
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "task_type",
        "peft_version", "lora_dropout", "target_modules", "exclude_modules", "modules_to_save",
        "layers_to_transform", "layers_pattern", "init_lora_weights", "eva_config",
        "runtime_config", "megatron_core", "qalora_group_size", "ensure_weight_tying",
    }
)  # fmt: skip
"""Settings of training, or implied by the tensors in the file."""
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Initialisations that do not change the model's own weights."""


@dataclass
class Module:
    """The factors that an adapter stores for one module."""

    scale: float
    factors: dict[str, StoredTensor] = field(default_factory=dict)
    """``a`` and ``b`` (or ``embedding_a`` and ``embedding_b``), ``shift`` of a bias, and DoRA's
    ``magnitude``."""


@dataclass(frozen=True)
class AdapterFile:
    """An adapter's content, under the model's names for modules and tensors."""

    folder: Path
    transposed: bool
    """Whether matrices are stored as (in, out), as in GPT-2 (`fan_in_fan_out`)."""
    modules: Mapping[str, Module]
    whole: Mapping[str, StoredTensor]
    """Tensors that replace the model's."""
    untrained: Collection[str]
    """Names of replacements that were not trained: copies of the model's own tensors."""
    file: Path
    """The weights."""


def read_adapter(folder: Path, *, allow_pickle: bool = False) -> AdapterFile:
    """Read the headers of a LoRA adapter.

    Raises:
        ModelError: it is not a LoRA adapter, or a tensor in it has no known role.
    """
    config = _config(folder / CONFIG)
    modules: dict[str, Module] = {}
    whole: dict[str, StoredTensor] = {}
    untrained = set()
    tensors = _tensors(folder, allow_pickle)
    for tensor in tensors:
        name = tensor.name.removeprefix(PREFIX)
        if name == tensor.name:
            raise _unknown(tensor)
        if _UNUSED + "." in name:
            continue
        suffix = next((suffix for suffix in _FACTORS if name.endswith(suffix)), None)
        if suffix is not None:
            module = name.removesuffix(suffix)
            known = modules.setdefault(module, Module(_scale(config, folder, module)))
            known.factors[_FACTORS[suffix]] = tensor
        elif "lora_" in name or "token_adapter" in name:
            raise _unknown(tensor)
        else:
            plain = name.replace(_TRAINED + ".", ".").replace(_UNTRAINED + ".", ".")
            if plain in whole and not same_bytes(whole[plain], tensor):
                raise ModelError(
                    f"{tensor.file}: tensor {plain!r} is stored twice, with different values."
                )
            whole[plain] = replace(tensor, name=plain)
            if _UNTRAINED + "." in name:
                untrained.add(plain)
    for name, module_ in modules.items():
        _check_factors(folder, name, module_, _pattern(config, folder, "r", name))
        _check_magnitude(folder, name, module_, needed=config.get("use_dora") is True)
    transposed = config.get("fan_in_fan_out") is True
    return AdapterFile(folder, transposed, modules, whole, untrained, tensors[0].file)


def _tensors(folder: Path, allow_pickle: bool) -> list[StoredTensor]:
    if (folder / WEIGHTS).is_file():
        tensors = read_header(folder / WEIGHTS)
    elif is_pickled(folder):
        tensors = pickled_tensors(folder, allowed=allow_pickle)
    else:
        raise ModelError(f"{folder}: has no {WEIGHTS}; save the adapter again with a newer peft.")
    if not tensors:
        raise ModelError(f"{folder}: contains no tensors.")
    return tensors


def _unknown(tensor: StoredTensor) -> ModelError:
    return ModelError(
        f"{tensor.file}: tensor {tensor.name!r}: only LoRA on matrices and "
        "embeddings, biases and whole modules can be applied; merge this adapter with peft first."
    )


def _config(file: Path) -> dict[str, Any]:
    config = read_object(file)
    if (kind := config.get("peft_type")) != "LORA":
        raise ModelError(
            f"{file}: the adapter type is {kind!r:.60}; only LORA can be applied while merging. "
            "Merge it into its model with peft first."
        )
    for key, value in config.items():
        if key not in _APPLIED | _WITHOUT_EFFECT and value:
            raise ModelError(
                f"{file}: `{repr(key)[1:-1]:.60}` is {value!r:.60}, which cannot be applied while "
                "merging; merge this adapter into its model with peft first."
            )
    for key in ("fan_in_fan_out", "use_rslora", "use_dora"):
        if config.get(key) not in (True, False, None):
            raise ModelError(f"{file}: `{key}` must be true or false, not {config[key]!r:.60}.")
    if config.get("init_lora_weights") not in _PLAIN_STARTS:
        raise ModelError(
            f"{file}: `init_lora_weights` is {config['init_lora_weights']!r:.60}, which changes "
            "the model's own weights before training; convert it to a plain LoRA with peft first."
        )
    return config


def _pattern(config: Mapping[str, Any], folder: Path, key: str, module: str) -> float:
    """Return a module's rank or alpha, from the first pattern that matches or the default."""
    common, patterns = {"r": ("r", "rank_pattern"), "alpha": ("lora_alpha", "alpha_pattern")}[key]
    value: Any = config.get(common)
    given = config.get(patterns) or {}
    if not isinstance(given, dict):
        raise ModelError(f"{folder / CONFIG}: `{patterns}` is wrong: must be numbers by pattern.")
    try:
        # As in peft, a pattern is a regular expression for the end of the module's name.
        matches = (p for p in given if re.fullmatch(rf"(.*\.)?({_harmless(p, module)})", module))
        found = next(matches, None)
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: `{patterns}` is wrong: {error}.") from error
    value = value if found is None else given[found]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGE:
        raise ModelError(
            f"{folder / CONFIG}: `{common}` of {module} must be a number, not {value!r:.40}."
        )
    return value


def _harmless(pattern: str, text: str) -> str:
    """Check that a regular expression cannot backtrack for long, and return it."""
    repeats = len(re.findall(r"[*+{]", pattern))
    if re.search(r"\)\s*[*+{]", pattern) or len(text) ** (repeats + 1) > _MOST_TRIES:
        raise ValueError(f"{pattern!r:.60} repeats too much to be tried; name modules instead")
    return pattern


def _scale(config: Mapping[str, Any], folder: Path, module: str) -> float:
    rank = _pattern(config, folder, "r", module)
    if rank <= 0:
        raise ModelError(f"{folder / CONFIG}: `r` of {module} must be above 0, not {rank}.")
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return _pattern(config, folder, "alpha", module) / divisor


def _check_factors(folder: Path, name: str, module: Module, rank: float) -> None:
    """Check that a module has both factors, and that they fit each other and the rank."""
    given = module.factors
    pair = [given[key] for key in ("a", "b") if key in given]
    pair += [given[key] for key in ("embedding_a", "embedding_b") if key in given]
    for tensor in given.values():
        if tensor.dtype not in STORED:
            raise ModelError(
                f"{tensor.file}: tensor {tensor.name!r} is {tensor.dtype}; "
                f"convert it to one of {', '.join(STORED)}."
            )
    shapes = [tensor.shape for tensor in pair]
    if (
        len(shapes) != 2
        or any(len(shape) != 2 for shape in shapes)
        or not shapes[0][0] == shapes[1][1] == rank
    ):
        seen = ", ".join(str(list(shape)) for shape in shapes)
        file = next((tensor.file for tensor in given.values()), folder)
        raise ModelError(
            f"{file}: module {name}: needs A of shape [{rank}, in] and B of shape "
            f"[out, {rank}], not {seen}."
        )


def _check_magnitude(folder: Path, name: str, module: Module, *, needed: bool) -> None:
    """Check that a module has DoRA's norms exactly if the configuration says so."""
    magnitude = module.factors.get("magnitude")
    if (magnitude is not None) != needed:
        stored = "has" if magnitude is not None else "lacks"
        raise ModelError(
            f"{folder / CONFIG}: `use_dora` is {needed}, but module {name} {stored} the "
            "norms that DoRA trains (`lora_magnitude_vector`)."
        )
    b = module.factors.get("b")
    if magnitude is None:
        return
    if b is None:
        raise ModelError(
            f"{magnitude.file}: module {name}: DoRA on an embedding cannot be applied while "
            "merging; merge this adapter into its model with peft first."
        )
    if magnitude.shape != b.shape[:1]:
        raise ModelError(
            f"{magnitude.file}: tensor {magnitude.name!r} has shape {list(magnitude.shape)}; DoRA "
            f"needs one norm for each of the {b.shape[0]} rows of B."
        )
