"""The trained model as an ordinary Hugging Face folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixmerge import files
from mixmerge.records import ModelFolder
from mixmerge.training.parent import copy_companions

_SHARD = "5GB"


def save_model(
    trainer: Any, parent: ModelFolder, out: Path, dtype: str, card: str, stops: Sequence[int]
) -> None:
    """Write ``out/model`` in ``dtype`` with its card and, for LoRA, ``out/adapter``.

    Every process must call it. The trainer has finished; ``parent`` is what it trained from.
    ``stops`` are the tokens at which the model must stop, where the parent's files lack one.
    """
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not trainer.is_world_process_zero():
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "peft_config"):
        with files.whole_folder(out / "adapter") as folder:
            # The card that peft writes would name a folder of this machine.
            model.save_pretrained(folder, state_dict=weights)
            (folder / "README.md").unlink(missing_ok=True)
        model = _merged(parent, out / "adapter")
        weights = model.state_dict()
    with files.whole_folder(out / "model") as folder:
        model.save_pretrained(folder, state_dict=_cast(weights, dtype), max_shard_size=_SHARD)
        copy_companions(parent, folder, dtype, stops)
        (folder / "README.md").write_text(card, encoding="utf-8")


def _merged(parent: ModelFolder, adapter: Path) -> Any:
    """Add the adapter to freshly loaded weights in float32, whatever the training ran in."""
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
