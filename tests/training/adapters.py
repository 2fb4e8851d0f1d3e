"""What a trained adapter makes of its base model, computed again from the files."""

from pathlib import Path

import numpy as np

from mixmerge.training import AdapterSpec


def count_adapted(base: Path, out: Path, spec: AdapterSpec) -> int:
    """Check that every tensor is base + alpha / rank * B A; return how many an adapter changed."""
    from safetensors.numpy import load_file

    before = load_file(base / "model.safetensors")
    made = load_file(out / "model" / "model.safetensors")
    adapter = load_file(out / "adapter" / "adapter_model.safetensors")
    assert made.keys() == before.keys()
    changed = 0
    for name, expected in before.items():
        key = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{key}.lora_A.weight" in adapter:
            product = adapter[f"{key}.lora_B.weight"] @ adapter[f"{key}.lora_A.weight"]
            expected = expected + spec.alpha / spec.rank * product  # noqa: PLW2901
            changed += bool(np.abs(expected - before[name]).max() > 1e-4)
        np.testing.assert_allclose(made[name], expected, atol=1e-6)
    return changed
