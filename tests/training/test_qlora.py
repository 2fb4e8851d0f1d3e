"""QLoRA: an adapter beside 4-bit weights, trained with bitsandbytes on this machine's CPU."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.adapters import count_adapted

from mixmerge.errors import ResourceError
from mixmerge.training import AdapterSpec, TrainSpec
from mixmerge.training.run import train

Write = Callable[[int], Path]

QLORA = AdapterSpec(rank=2, alpha=8, load_in_4bit=True)
SFT = TrainSpec(learning_rate=1e-2, max_steps=6, batch_size=8, seed=3, adapter=QLORA)
DPO = TrainSpec(method="dpo", learning_rate=1e-2, max_steps=4, batch_size=8, seed=3, adapter=QLORA)


@pytest.fixture(scope="module")
def llama(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama model whose layers fill whole blocks of 64 weights, as those of real models do."""
    folder: Path = tiny.make_model(
        tmp_path_factory.mktemp("models") / "llama",
        "llama",
        hidden_size=64,
        intermediate_size=128,
    )
    return folder


def test_the_adapter_is_merged_into_the_unquantized_base(
    llama: Path, conversations: Write, tmp_path: Path
) -> None:
    """The model is base + alpha/rank * B A with the base's own weights, and the report says so."""
    pytest.importorskip("bitsandbytes")
    from safetensors.numpy import load_file

    report = train(SFT, model=llama, rows=conversations(20), out=tmp_path / "out")
    adapter = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert {str(weights.dtype) for weights in adapter.values()} == {"float32"}
    assert count_adapted(llama, tmp_path / "out", QLORA) == 14  # two layers of seven
    assert report.quantized
    assert any("original weights" in note for note in report.notes)
    assert "bitsandbytes" in report.versions
    config = json.loads((tmp_path / "out" / "model" / "config.json").read_text())
    assert "quantization_config" not in config


def test_the_loss_is_that_of_the_quantized_base(
    llama: Path, conversations: Write, tmp_path: Path
) -> None:
    """The first loss differs a little from that of the full weights, and training lowers it."""
    pytest.importorskip("bitsandbytes")
    rows = conversations(20)
    full = SFT.model_copy(update={"adapter": AdapterSpec(rank=2, alpha=8)})
    wanted = train(full, model=llama, rows=rows, out=tmp_path / "full")
    found = train(SFT, model=llama, rows=rows, out=tmp_path / "out")
    assert 1e-5 < abs(found.first_loss - wanted.first_loss) < 0.1
    assert found.final_loss < found.first_loss
    assert abs(found.final_loss - wanted.final_loss) < 0.1 * wanted.final_loss


def test_dpo_has_the_quantized_base_as_its_reference(
    llama: Path, pairs: Write, tmp_path: Path
) -> None:
    """It starts at ln 2, trains, and shares no reference log-probabilities with full weights."""
    pytest.importorskip("bitsandbytes")
    rows, cache = pairs(20), tmp_path / "cache"
    full = DPO.model_copy(update={"adapter": AdapterSpec(rank=2, alpha=8)})
    train(full, model=llama, rows=rows, out=tmp_path / "full", reference_cache=cache)
    report = train(DPO, model=llama, rows=rows, out=tmp_path / "out", reference_cache=cache)
    assert report.reference_reused is False
    assert report.first_loss == pytest.approx(np.log(2), abs=1e-3)
    assert report.final_loss < report.first_loss
    again = train(DPO, model=llama, rows=rows, out=tmp_path / "again", reference_cache=cache)
    assert again.reference_reused
    # The pass for the reference must leave the 4-bit weights as they were.
    made = [
        (tmp_path / out / "model" / "model.safetensors").read_bytes() for out in ("out", "again")
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("method", ["kto", "cpo", "simpo", "orpo"])
def test_other_objectives_train_on_a_quantized_base(
    method: str, llama: Path, rows_for: Callable[[str, int], Path], tmp_path: Path
) -> None:
    """The adapter is in float32, the first loss that of the quantized model, and it falls."""
    pytest.importorskip("bitsandbytes")
    from safetensors.numpy import load_file

    spec = TrainSpec.model_validate({**DPO.model_dump(exclude={"beta"}), "method": method})
    rows = rows_for(method, 20)
    report = train(spec, model=llama, rows=rows, out=tmp_path / "out")
    full = spec.model_copy(update={"adapter": AdapterSpec(rank=2, alpha=8)})
    wanted = train(full, model=llama, rows=rows, out=tmp_path / "full").first_loss
    assert report.first_loss == pytest.approx(wanted, rel=0.05)
    assert (report.first_loss == pytest.approx(wanted, rel=1e-7)) == (method == "kto")
    assert report.final_loss < report.first_loss
    adapter = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert {str(weights.dtype) for weights in adapter.values()} == {"float32"}
    assert count_adapted(llama, tmp_path / "out", QLORA) == 14


def test_a_missing_package_is_named_before_anything_is_read(
    llama: Path, conversations: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without bitsandbytes the error says what to install, and nothing is written."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    with pytest.raises(ResourceError, match=r"bitsandbytes.*pip install 'mixmerge\[qlora\]'"):
        train(SFT, model=llama, rows=conversations(20), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
