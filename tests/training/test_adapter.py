"""What an adapter may train beside plain LoRA, read back by the reader of merges."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.training import AdapterSpec, TrainSpec
from mixmerge.training.run import train

Write = Callable[[int], Path]


@pytest.mark.parametrize("model", ["llama", "cohere"])
def test_dora_rslora_and_whole_modules_are_merged(
    model: str, request: pytest.FixtureRequest, conversations: Write, tmp_path: Path
) -> None:
    """What is trained beside the factors is in the model, and a tied head stays tied."""
    base = request.getfixturevalue(model)
    own = {"rank": 2, "use_dora": True, "use_rslora": True, "modules_to_save": ["embed_tokens"]}
    spec = TrainSpec(
        learning_rate=1e-2, max_steps=3, batch_size=8, adapter=AdapterSpec.model_validate(own)
    )
    train(spec, model=base, rows=conversations(20), out=tmp_path / "out")
    before = Checkpoint("base", base)
    adapted = AdaptedCheckpoint(before, tmp_path / "out" / "adapter")
    result = Checkpoint("out", tmp_path / "out" / "model")
    changed = set()
    for name in result.tensors:
        ours, theirs, old = (np.empty(result.tensors[name].size, np.float32) for _ in range(3))
        result.source(name).read(0, ours)
        adapted.source(name).read(0, theirs)
        before.source(name).read(0, old)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=name)
        if np.any(ours != old):
            changed.add(name)
    assert changed == {"model.embed_tokens.weight"} | {
        f"{module}.weight" for module in adapted.adapter.modules
    }
    assert len(changed) == 1 + 2 * 7
    stored = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert any("lora_magnitude_vector" in name for name in stored)
    assert all(value.dtype == np.float32 for value in stored.values())
