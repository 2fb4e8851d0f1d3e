"""The configuration of a merged model, and whether transformers can load its tensors with it.

The configuration is the donor's, made true to the weights. For the check, transformers makes the
architecture on PyTorch's meta device, which holds shapes and no numbers, and loads the planned
tensors as it would load the files: with its own rules for tied heads, packed experts and renamed
parts. That imports torch and transformers, so it runs on request only.
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
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import (
    LAYER_COUNTS,
    embedding,
    head,
    is_untrained,
    language_config,
    layer_count,
)
from mixmerge.merging.models.safetensors_io import TORCH_NAMES, NewTensor
from mixmerge.merging.vocabularies.tokenizer_files import quiet_transformers

_NUMBERS_OF_LAYERS = frozenset({"mlp_only_layers", "moe_layers", "full_attn_idxs"})
"""Settings that list some layers by their numbers; other lists have an entry for each layer."""

QUANTISATION = ("quantization_config", "compression_config", "_pre_quantization_dtype")
"""Settings that say how stored weights were made smaller."""

Config = dict[str, Any]


def output_config(
    donor: Mapping[str, Any],
    tensors: Sequence[NewTensor],
    layers: Sequence[tuple[Checkpoint, int]],
    *,
    ties_head: bool | None,
) -> Config:
    """Return the configuration of the output: the donor's, which is left as it is, made true.

    True to the weights are then: data type, number of layers and what is listed by layer, rows of
    the embedding, and whether the head is the embedding. How weights were quantised is left out
    where none of them is: loaders would quantise them, or refuse them.

    Args:
        donor: the configuration to start from.
        tensors: of the output.
        layers: for each layer of the output a model and a layer that it comes from; empty: they are
            those of the donor.
        ties_head: whether the output's head is its embedding; None: as the donor says.
    """
    config = copy.deepcopy(dict(donor))
    language = language_config(config)
    assert isinstance(language, dict)  # a part of the copy
    _set_dtype(config, tensors)
    if not any(_is_quantised(tensor) for tensor in tensors):
        for part in (config, language):
            for key in QUANTISATION:
                part.pop(key, None)
    if layers:
        _set_layers(language, layers)
    named = {tensor.name: tensor for tensor in tensors}
    found = embedding(named, config)
    if found is not None and "vocab_size" in language:
        language["vocab_size"] = named[found].shape[0]
        if "vocab_size" in config:
            config["vocab_size"] = named[found].shape[0]
    for part in (config, language):
        said = part.get("tie_word_embeddings")
        if ties_head is False and head(named) and (part is config or said is not None):
            part["tie_word_embeddings"] = False
        elif ties_head and said is False:
            part["tie_word_embeddings"] = True
    return config


def _is_quantised(tensor: NewTensor) -> bool:
    """Say whether a tensor holds whole numbers in place of weights, or what to multiply them by."""
    module = tensor.name.rpartition(".")[2]
    whole = (
        tensor.dtype not in STORED and tensor.dtype != "BOOL" and not is_untrained(tensor.name, {})
    )
    return whole or module.endswith(("_scale", "_scale_inv", "scales", "_zero_point"))


def _set_dtype(config: Config, tensors: Sequence[NewTensor]) -> None:
    types = Counter(tensor.dtype for tensor in tensors if tensor.dtype in STORED)
    if types:
        present = [key for key in ("dtype", "torch_dtype") if key in config]
        name = TORCH_NAMES[types.most_common(1)[0][0]]
        config |= dict.fromkeys(present or ["dtype"], name)


def _set_layers(language: Config, layers: Sequence[tuple[Checkpoint, int]]) -> None:
    """Count the layers, and list for each what the configuration it comes from lists."""
    before = layer_count(language)
    sources = [(language_config(model.config), number) for model, number in layers]
    for key, value in list(language.items()):
        if key in LAYER_COUNTS and isinstance(value, int):
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
    """Return what a configuration lists for a layer; one that lists nothing is like the donor."""
    values = listed if isinstance(listed, list) and layer < len(listed) else otherwise
    return values[layer % len(values)]


def check_architecture(config: Config, tensors: Sequence[NewTensor]) -> str | None:
    """Check that names and shapes of the output are those that its configuration asks for.

    Returns:
        Why that could not be checked, for example because a package is missing; None where it was.

    Raises:
        ModelError: a tensor is missing, of no use, or of another shape.
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
        return f"transformers could not make {name} ({reason:.200})"
    problems = list(_problems(kind.__name__, found))
    if problems:
        more = f" ({len(problems) - 1} more)" if problems[1:] else ""
        raise ModelError(f"The merged model would be incomplete: {problems[0]}{more}.")
    return None


def _loaded(kind: Any, config: Config, tensors: Sequence[NewTensor]) -> dict[str, Any]:
    """Return what transformers says of loading tensors without numbers."""
    import torch
    import transformers

    with TemporaryDirectory() as folder:
        write_json(Path(folder) / "config.json", config)
        settings = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    shapes = {
        tensor.name: torch.empty(
            tensor.shape,
            dtype=getattr(torch, TORCH_NAMES.get(tensor.dtype, "int64")),
            device="meta",
        )
        for tensor in tensors
        if "/" not in tensor.name  # of a module beside the model
    }
    with quiet_transformers():
        _, found = kind.from_pretrained(
            None,
            config=settings,
            state_dict=shapes,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    return dict(found)


def _problems(kind: str, found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(found["missing_keys"]):
        yield f"{kind} needs tensor {name}, which no input has"
    for name in sorted(found["unexpected_keys"]):
        yield f"{kind} has no use for tensor {name}"
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        yield f"tensor {name} has shape {list(stored)}, and {kind} needs {list(wanted)}"
