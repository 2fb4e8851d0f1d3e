"""How alike models behave on prompts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import entropy

import mixmerge
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.behaviour import (
    activations,
    divergence,
    measure_behaviour,
    unbiased_cka,
)
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.records import Message, Prompt


def prompt(number: int, text: str) -> Prompt:
    message = Message(role="user", content=text)
    return Prompt(id=str(number), cluster=str(number), language="en", messages=[message])


PROMPTS = [prompt(number, "why " * (1 + number % 5) + str(number)) for number in range(12)]


def nudged(model: Path, out: Path, size: float, seed: int) -> Path:
    """A copy of a model with noise on every weight."""
    out.mkdir()
    for file in model.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    noise = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor + size * torch.randn(tensor.shape, generator=noise)
        for name, tensor in load_file(model / "model.safetensors").items()
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


def test_a_copy_behaves_the_same(tiny_model: Path, tmp_path: Path) -> None:
    """No divergence, every token the same, alignment 1; without a change there is no direction."""
    copy = nudged(tiny_model, tmp_path / "copy", 0.0, 0)
    models = {"base": tiny_model, "copy": copy, "twin": tiny_model}
    found = measure_behaviour(models, PROMPTS, base="base")
    assert found.prompts == 12
    assert [(each.first, each.second) for each in found.agreements] == [
        ("base", "copy"),
        ("base", "twin"),
        ("copy", "twin"),
    ]
    for each in found.agreements:
        assert (each.kl, each.same_token, each.change_cosine) == (0.0, 1.0, None)
        assert each.cka == pytest.approx(1, abs=1e-12)


def test_measures_tell_relatives_from_strangers(
    tiny_model: Path, other_model: Path, tmp_path: Path
) -> None:
    """A small change agrees with itself doubled, and far more than another random model does."""
    once = nudged(tiny_model, tmp_path / "once", 0.002, 1)
    twice = nudged(tiny_model, tmp_path / "twice", 0.004, 1)
    models = {"base": tiny_model, "once": once, "twice": twice, "other": other_model}
    found = measure_behaviour(models, PROMPTS, base="base")
    pairs = {(each.first, each.second): each for each in found.agreements}
    near, far = pairs["once", "twice"], pairs["once", "other"]
    assert near.change_cosine is not None
    assert far.change_cosine is not None
    assert near.change_cosine > 0.99
    assert abs(far.change_cosine) < 0.5
    assert near.kl < 0.1 * far.kl
    assert near.cka > 0.99 > far.cka
    assert pairs["base", "once"].kl < pairs["base", "twice"].kl


def test_a_model_is_read_as_if_alone(tiny_model: Path) -> None:
    """Batches and their padding change nothing: each prompt as transformers reads it by itself."""
    from transformers import AutoModelForCausalLM

    rows = [[0, 5, 9, 13], [0, 7], [0, *range(20, 60)]] * 4
    found = activations(LoadedModel(tiny_model), rows)
    network = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    assert found.states.shape == (2, 12, 32)
    for place, row in enumerate(rows):
        with torch.inference_mode():
            alone = network(torch.tensor([row]), output_hidden_states=True)
        logs = alone.logits[0, -1].log_softmax(-1).numpy()
        assert np.abs(found.log_probabilities[place] - logs).max() < 1e-4
        for layer in (0, 1):
            state = alone.hidden_states[1 + layer][0, -1].numpy()
            assert np.abs(found.states[layer, place] - state).max() < 1e-4


def test_divergence_is_scipys() -> None:
    """Half the sum of both KL divergences; a token that neither model can say adds nothing."""
    draw = np.random.default_rng(3)
    p, q = (draw.dirichlet(np.ones(6), size=4) for _ in range(2))
    wanted = (entropy(p, q, axis=1) + entropy(q, p, axis=1)).mean() / 2
    assert divergence(np.log(p), np.log(q)) == pytest.approx(wanted)
    nothing = np.full((4, 1), -np.inf)
    logs = [np.concatenate([np.log(each), nothing], axis=1) for each in (p, q)]
    assert divergence(*logs) == pytest.approx(wanted)


def test_the_alignment_is_unbiased() -> None:
    """0 for unrelated states of many dimensions, 1 after rotation, scale and shift."""
    draw = np.random.default_rng(4)
    values = [
        unbiased_cka(draw.standard_normal((12, 400)), draw.standard_normal((12, 400)))
        for _ in range(200)
    ]
    assert abs(np.mean(values)) < 0.02
    x = draw.standard_normal((12, 5))
    rotation, _ = np.linalg.qr(draw.standard_normal((5, 5)))
    assert unbiased_cka(x, 3 * x @ rotation + 2) == pytest.approx(1)
    assert unbiased_cka(x, np.ones((12, 5))) == 0.0


def test_too_few_prompts_are_refused(tiny_model: Path) -> None:
    """The measures say nothing about nine prompts."""
    with pytest.raises(DataError, match="9 prompts are too few to compare models on; give 10"):
        measure_behaviour({"a": tiny_model, "b": tiny_model}, PROMPTS[:9])


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A file of thirty prompts in two languages, without labels."""
    file = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"question {n}", "language": "en" if n < 15 else "fr"} for n in range(30)]
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_inspect_reads_prompts_of_the_whole_file(
    tiny_model: Path, asked: Path, tmp_path: Path
) -> None:
    """`inspect` has weights and behaviour; twelve of thirty prompts stand for both languages."""
    from mixmerge.evaluation.prompts import spread_prompts

    languages = [each.language for each in spread_prompts(asked, 12)]
    assert languages == ["en"] * 6 + ["fr"] * 6
    once = nudged(tiny_model, tmp_path / "once", 0.002, 1)
    found = mixmerge.inspect([tiny_model, once], prompts=asked, limit=12)
    assert found.behaviour is not None
    assert found.behaviour.prompts == 12
    assert found.comparison is not None
    assert mixmerge.inspect([tiny_model, once]).behaviour is None


def test_what_cannot_be_run_is_refused(tiny_model: Path, asked: Path, tmp_path: Path) -> None:
    """Models with other tokens, and adapters: the message says what to do."""
    other = nudged(tiny_model, tmp_path / "tokens", 0.0, 0)
    text = (other / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(text.replace("<|user|>", "<|human|>"))
    with pytest.raises(SpecError, match=r"tokens has other tokens than tiny.*leave that model out"):
        mixmerge.inspect([tiny_model, other], prompts=asked)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    factors = {f"{module}.lora_A.weight": (2, 32), f"{module}.lora_B.weight": (32, 2)}
    tensors = {name: torch.zeros(shape) for name, shape in factors.items()}
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SpecError, match=r"tiny\+.*adapter is one with an adapter\. Merge the"):
        mixmerge.inspect([tiny_model, f"{tiny_model}+{adapter}"], prompts=asked)
