"""The configuration of a merged model, and a check that transformers can load its tensors.

The configuration is the donor's, adapted to the weights. For the check, transformers builds the
architecture on PyTorch's meta device, which has shapes but no data, and loads the planned tensors
with its own rules for tied heads, packed experts and renamed parts. That imports torch and
transformers, so it runs on request only.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.files import write_json
from mixmerge.merging.kernels.rounding import STORED
from mixmerge.merging.models import layout
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import TORCH_NAMES, NewTensor
from mixmerge.merging.vocabularies.tokenizer_files import quiet_transformers

_NUMBERS_OF_LAYERS = frozenset({"mlp_only_layers", "moe_layers", "full_attn_idxs"})
"""Settings that list layer numbers; other lists have one entry per layer."""

QUANTISATION = ("quantization_config", "compression_config", "_pre_quantization_dtype")
"""Settings that describe quantised weights."""

Config = dict[str, Any]


def output_config(
    donor: Mapping[str, Any],
    tensors: Sequence[NewTensor],
    layers: Sequence[tuple[Checkpoint, int]],
    *,
    ties_head: bool | None,
) -> Config:
    """Return the output's configuration: a copy of the donor's, adapted to the weights.

    Adapted are the data type, the number of layers and per-layer lists, the rows of the embedding,
    and whether the head is tied. Quantisation settings are dropped if no tensor is quantised:
    loaders would quantise the weights, or refuse them.

    Args:
        donor: the configuration to start from.
        tensors: of the output.
        layers: for each output layer the model and layer it comes from; empty: as in the donor.
        ties_head: whether the output's head is its embedding; None: as the donor says.
    """
    config = copy.deepcopy(dict(donor))
    language = layout.language_config(config)
    assert isinstance(language, dict)  # a part of the copy
    _set_dtype(config, tensors)
    if not any(_is_quantised(tensor) for tensor in tensors):
        for part in (config, language):
            for key in QUANTISATION:
                part.pop(key, None)
    if layers:
        _set_layers(language, layers)
    named = {tensor.name: tensor for tensor in tensors}
    found = layout.embedding(named, config)
    if found is not None and "vocab_size" in language:
        language["vocab_size"] = named[found].shape[0]
        if "vocab_size" in config:
            config["vocab_size"] = named[found].shape[0]
    for part in (config, language):
        tied = part.get("tie_word_embeddings")
        if ties_head is False and layout.head(named) and (part is config or tied is not None):
            part["tie_word_embeddings"] = False
        elif ties_head and tied is False:
            part["tie_word_embeddings"] = True
    return config


def _is_quantised(tensor: NewTensor) -> bool:
    """Whether a tensor holds quantised weights or their scales."""
    module = tensor.name.rpartition(".")[2]
    whole = (
        tensor.dtype not in STORED
        and tensor.dtype != "BOOL"
        and not layout.is_untrained(tensor.name, {})
    )
    return whole or module.endswith(("_scale", "_scale_inv", "scales", "_zero_point"))


def _set_dtype(config: Config, tensors: Sequence[NewTensor]) -> None:
    types = Counter(tensor.dtype for tensor in tensors if tensor.dtype in STORED)
    if types:
        present = [key for key in ("dtype", "torch_dtype") if key in config]
        name = TORCH_NAMES[types.most_common(1)[0][0]]
        config |= dict.fromkeys(present or ["dtype"], name)


def _set_layers(language: Config, layers: Sequence[tuple[Checkpoint, int]]) -> None:
    """Set the number of layers and take each entry of per-layer lists from its source."""
    before = layout.layer_count(language)
    sources = [(layout.language_config(model.config), number) for model, number in layers]
    for key, value in list(language.items()):
        if key in layout.LAYER_COUNTS and isinstance(value, int):
            language[key] = len(layers)
        elif key in _NUMBERS_OF_LAYERS and isinstance(value, list):
            lists = [(source.get(key), number) for source, number in sources]
            language[key] = [
                place
                for place, (listed, number) in enumerate(lists)
                if isinstance(listed, list) and number in listed
            ]
        elif "layer" in key and isinstance(value, list) and value and len(value) == before:
            language[key] = [_entry(source.get(key), value, number) for source, number in sources]


def _entry(listed: Any, otherwise: list[Any], layer: int) -> Any:
    """Return the entry of a per-layer list; the donor's where the source has no such list."""
    values = listed if isinstance(listed, list) and layer < len(listed) else otherwise
    return values[layer % len(values)]


def check_architecture(config: Config, tensors: Sequence[NewTensor]) -> str | None:
    """Check that the output has the tensors and shapes that its configuration requires.

    Returns:
        Why this could not be checked, for example because a package is missing; None if it was.

    Raises:
        ModelError: a tensor is missing, unused, or has the wrong shape.
    """
    import transformers

    name = (config.get("architectures") or [""])[0]
    kind = getattr(transformers, name, None)
    if kind is None:
        return f"transformers does not know {name or 'its architecture, which config.json lacks'}"
    try:
        found = _loaded(kind, config, tensors)
    except Exception as error:  # noqa: BLE001 - of whatever kind the model's own code raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"transformers could not build {name} ({reason:.200})"
    problems = list(_problems(kind.__name__, found))
    if problems:
        more = f" ({len(problems) - 1} more)" if problems[1:] else ""
        raise ModelError(f"The merged model would be incomplete: {problems[0]}{more}.")
    return None


def _loaded(kind: Any, config: Config, tensors: Sequence[NewTensor]) -> dict[str, Any]:
    """Return transformers' report on loading the tensors without data."""
    import torch

    shapes = {
        tensor.name: torch.empty(
            tensor.shape,
            dtype=getattr(torch, TORCH_NAMES.get(tensor.dtype, "int64")),
            device="meta",
        )
        for tensor in tensors
        if not tensor.module
    }
    with quiet_transformers():
        _, found = kind.from_pretrained(
            None,
            config=_settings(config),
            state_dict=shapes,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    return dict(found)


def _settings(config: Config) -> Any:
    """Return transformers' object for a configuration."""
    import transformers

    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "config.json", config)
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)


def empty_model(name: str, config: Config) -> Any:
    """Return transformers' model for a configuration, on PyTorch's meta device.

    Raises:
        ModelError: transformers does not know the architecture, or cannot build it.
    """
    import torch
    import transformers

    kind = (config.get("architectures") or [""])[0]
    try:
        with quiet_transformers(), torch.device("meta"):
            return getattr(transformers, kind)(_settings(config))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name}: transformers cannot build {kind or 'a model without `architectures`'} "
            f"({reason:.200}), so its layers are not known."
        ) from error


def _problems(kind: str, found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(found["missing_keys"]):
        yield f"{kind} needs tensor {name}, which no input has"
    for name in sorted(found["unexpected_keys"]):
        yield f"{kind} has no use for tensor {name}"
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        yield f"tensor {name} has shape {list(stored)}, and {kind} needs {list(wanted)}"
