"""Memory of trainings and answers, from headers alone."""

from pathlib import Path

import pytest

from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.merging.models.safetensors_io import read_header
from mixmerge.study import memory
from mixmerge.study.explain import explain
from mixmerge.study.memory import Device, ModelSize
from mixmerge.testbed.model import BASES, TESTBED, weights_folder
from mixmerge.training import AdapterSpec

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
SIZE = ModelSize(
    weights=1000,
    stored_bytes=2000,
    matrices=(("layers.0.q_proj.weight", 8, 4), ("layers.0.mlp.up_proj.weight", 16, 8)),
    config={
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
)


def test_an_adapter_has_two_factors_in_each_layer() -> None:
    """Rank times rows and columns, of the layers that it adapts."""
    assert SIZE.adapter_weights(AdapterSpec(rank=2)) == 2 * (8 + 4 + 16 + 8)
    assert SIZE.adapter_weights(AdapterSpec(rank=2, targets=("q_proj",))) == 2 * (8 + 4)


@pytest.mark.parametrize(("in_4_bits", "frozen"), [(False, 2), (True, 0.6)])
def test_a_frozen_base_takes_its_own_bytes_and_the_adapter_sixteen(
    in_4_bits: bool, frozen: float
) -> None:
    """QLoRA holds the base in 4 bits; the adapter has gradients and moments in either case."""
    adapter = {"rank": 2, "load_in_4bit": in_4_bits}
    settings = {"adapter": adapter, "precision": "bfloat16"}
    step = Step("train", "sft", settings=settings, placement={"devices": 1})
    needed = memory.training_bytes(Planned(step, "to do"), SIZE)
    assert needed == pytest.approx(frozen * 1000 + 16 * 2 * (8 + 4 + 16 + 8))


def test_the_cache_holds_keys_and_values() -> None:
    """Two numbers of 16 bits a layer, head of keys, and position."""
    assert SIZE.cache_bytes(10) == 2 * 2 * 2 * 2 * (64 // 8) * 10
    assert ModelSize(1, 2, (), {}).cache_bytes(10) == 0


def test_full_training_takes_16_bytes_a_weight(tmp_path: Path) -> None:
    """Counted over the tensors of the testbed's model."""
    kinds = {kind.kind: kind for kind in explain(SMALL, tmp_path).kinds}
    train = kinds["train"]
    assert train.disk_bytes is not None
    (folder,) = weights_folder(BASES[TESTBED]).glob("*.safetensors")
    weights = sum(tensor.size for tensor in read_header(folder))
    assert train.memory_bytes == 16 * weights


def test_what_does_not_fit_is_a_warning_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainings of one recipe are one line that names the number, the device, and LoRA."""
    little = Device("the GPU here", 10e6, gpu=True)
    monkeypatch.setattr(memory, "device_here", lambda _asked="auto": little)
    warnings = explain(SMALL, tmp_path).warnings
    assert any("training.sft: training sft-0 and 2 more takes at least" in w for w in warnings)
    assert any("the GPU here has 0.0 GB: train a LoRA adapter" in w for w in warnings)
    assert any("placement.generate: generating answers of" in w for w in warnings)
    monkeypatch.setattr(memory, "device_here", lambda _asked="auto": Device("x", 1e12, gpu=True))
    assert explain(SMALL, tmp_path).warnings == []


@pytest.mark.parametrize(
    ("name", "weights"),
    [("org/aya-23-8B", 8e9), ("Qwen2.5-0.5B-Instruct", 0.5e9), ("SmolLM2-135M", 135e6)],
)
def test_a_name_tells_the_size_of_a_model_that_is_not_here(name: str, weights: float) -> None:
    """What is still on the hub has no header, but most names say how large it is."""
    base = Planned(Step("base", "base", {"from": "hub", "name": name}), "to do")
    size = memory.model_size("base/base", {"base/base": base})
    assert size == ModelSize(round(weights), round(2 * weights), (), {}, by_name=True)


@pytest.mark.parametrize("name", ["gpt2", "org/model-v2.1", "b5-mini", "llama3-8bit"])
def test_a_name_without_a_size_tells_none(name: str) -> None:
    """Versions and bits are no numbers of weights."""
    base = Planned(Step("base", "base", {"from": "hub", "name": name}), "to do")
    assert memory.model_size("base/base", {"base/base": base}) is None
