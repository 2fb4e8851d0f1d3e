"""The model that a training starts from, and the folder of the trained model."""

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixmerge import files
from mixmerge.chat.tokenizer import GENERATION, context_length, language_config
from mixmerge.errors import ModelError, ResourceError, SpecError
from mixmerge.hub import resolve
from mixmerge.records import ModelFolder

# The files, besides configuration and weights, that the trained model keeps from its parent.
_COMPANIONS = (
    "tokenizer*",
    "*.model",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    GENERATION,
    "LICENSE*",
)
_DOWNLOADED = (*_COMPANIONS, "config.json", "*.safetensors", "*.safetensors.index.json")


def find_model(model: Path | str) -> ModelFolder:
    """Return the folder of a model; a model on the hub is downloaded unless it is cached.

    Raises:
        ModelError: there is no such folder or hub model, or it is incomplete.
    """
    if isinstance(model, Path):
        return ModelFolder(model.expanduser())
    return ModelFolder(resolve(model, files=_DOWNLOADED))


def check_architecture(folder: ModelFolder) -> None:
    """Check that transformers supports the model without running code from its folder.

    Raises:
        ModelError: it does not, or the weights are quantized.
    """
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    # The library may raise any error for an invalid file.
    except Exception as error:
        raise ModelError(
            f"{folder.path}: transformers cannot load its configuration without running code from "
            f"the folder, which mixmerge never does: {error}"
        ) from error
    if "quantization_config" in folder.config:
        raise ModelError(
            f"{folder.path}: its weights are quantized (`quantization_config` in config.json) and "
            "cannot be trained or have an adapter merged into them. Name the model that it was "
            "quantized from; `adapter: {load_in_4bit: true}` quantizes that one for the training."
        )


def longest_row(folder: ModelFolder, asked: int | None) -> int:
    """Return the longest row to accept, in tokens.

    Raises:
        SpecError: ``asked`` exceeds the model's context, or neither of them is known.
    """
    context = context_length(folder.config)
    if asked is None and context is None:
        raise SpecError(f"{folder.path}: its config has no context length; set `max_length`.")
    if asked is not None and context is not None and asked > context:
        raise SpecError(
            f"`max_length` is {asked}, but {folder.path} has a context of {context} tokens. "
            f"Set `max_length` to {context} or less."
        )
    longest = asked or context
    assert longest is not None
    return longest


def check_vocabulary(folder: ModelFolder, tokenizer: Any, columns: dict[str, list[Any]]) -> None:
    """Check that the model has an embedding for each token of the tokenizer and of the rows.

    Added tokens beyond the embeddings are allowed if no row uses them: Gemma 3 has one.

    Raises:
        ModelError: tokenizer and model do not match.
    """
    size = language_config(folder.config).get("vocab_size")
    if size is None:
        return
    tokens = (ids for name, cells in columns.items() if name.endswith("_ids") for ids in cells)
    highest = max((max(ids) for ids in tokens if ids), default=0)
    if tokenizer.vocab_size > size or highest >= size:
        seen = max(len(tokenizer), highest + 1)
        raise ModelError(
            f"{folder.path}: its tokenizer has {seen} token ids, the model has embeddings for "
            f"{size}. They do not match: copy the tokenizer files of the base model into the "
            "folder, or resize the model's embeddings."
        )


def saved_dtype(folder: ModelFolder, asked: str) -> str:
    """Return the dtype of the saved weights; ``auto`` is the parent's."""
    if asked != "auto":
        return asked
    config = folder.config
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def check_disk(out: Path, needed: int) -> None:
    """Check that ``needed`` bytes fit on the disk of ``out``.

    Raises:
        ResourceError: they do not; the message has both sizes.
    """
    free = shutil.disk_usage(files.existing_parent(out.absolute())).free
    if free < needed:
        raise ResourceError(
            f"{out}: the trained model and its checkpoints need about {needed / 1e9:.2f} GB, "
            f"{free / 1e9:.2f} GB are free. Free some space or choose another folder."
        )


@contextmanager
def explained_full_disk(out: Path) -> Iterator[None]:
    """Turn the error of a full disk, also from torch and safetensors, into a `ResourceError`."""
    with files.explained_disk_errors(out):
        try:
            yield
        except Exception as error:
            if files.is_full_disk(error):
                raise OSError(errno.ENOSPC, str(error)) from error
            raise


def copy_companions(
    parent: ModelFolder, target: Path, dtype: str, stops: Sequence[int] = ()
) -> None:
    """Copy the parent's configuration, tokenizer and templates to a folder of trained weights.

    The files are copied byte for byte, so that trained models and their base agree in all that
    training does not change. ``stops`` are all stop tokens, if they are not the parent's.
    """
    for pattern in _COMPANIONS:
        for file in sorted(parent.path.glob(pattern)):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
    config = parent.config
    if stops:
        file = target / GENERATION
        settings = files.read_json(file) if file.is_file() else {}
        if not settings:
            same = ("bos_token_id", "pad_token_id")
            settings = {name: config[name] for name in same if config.get(name) is not None}
        files.write_json(file, settings | {"eos_token_id": list(stops)})
    if saved_dtype(parent, "auto") == dtype:
        shutil.copyfile(parent.path / "config.json", target / "config.json")
    else:
        config.pop("torch_dtype", None)
        config["dtype"] = dtype
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_model(
    trainer: Any, parent: ModelFolder, out: Path, dtype: str, card: str, stops: Sequence[int]
) -> None:
    """Write ``out/model`` in ``dtype`` with its card and, for LoRA, ``out/adapter``.

    Every process must call this. ``stops`` are all stop tokens, if they are not the parent's.
    """
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "peft_config"):
        with files.whole_folder(out / "adapter") as folder:
            # peft's model card would contain a path on this machine.
            model.save_pretrained(folder, state_dict=weights)
            (folder / "README.md").unlink(missing_ok=True)
        model = _merged(parent, out / "adapter")
        weights = model.state_dict()
    with files.whole_folder(out / "model") as folder:
        model.save_pretrained(folder, state_dict=_cast(weights, dtype), max_shard_size="5GB")
        copy_companions(parent, folder, dtype, stops)
        (folder / "README.md").write_text(card, encoding="utf-8")


def _merged(parent: ModelFolder, adapter: Path) -> Any:
    """Merge the adapter into newly loaded float32 weights, not the ones used in training."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(
        parent.path, dtype=torch.float32, trust_remote_code=False
    )
    return PeftModel.from_pretrained(base, adapter).merge_and_unload()


def _cast(weights: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Convert floating-point tensors; tensors that share memory (tied weights) still do."""
    import torch

    target = getattr(torch, dtype)
    seen: dict[int, Any] = {}
    return {
        name: seen.setdefault(tensor.data_ptr(), tensor.to(target))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights.items()
    }
