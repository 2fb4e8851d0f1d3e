"""Whole trainings of tiny models, checked against loops written out in plain PyTorch."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.training.adapters import count_adapted

from mixmerge.errors import DataError, ModelError, SpecError
from mixmerge.files import read_rows
from mixmerge.progress import silent
from mixmerge.records import ModelFolder
from mixmerge.training import AdapterSpec, TrainPlacement, TrainSpec
from mixmerge.training.data import read_data
from mixmerge.training.plan import row_order
from mixmerge.training.report import CurvePoint, TrainReport, training_flops
from mixmerge.training.run import train
from mixmerge.training.session import _check_finished

Write = Callable[[int], Path]

SFT = TrainSpec(
    learning_rate=1e-2, max_steps=6, batch_size=8, schedule="linear", warmup_ratio=0.3, seed=3
)
DPO = TrainSpec(
    method="dpo", learning_rate=3e-3, max_steps=5, batch_size=8, schedule="constant", seed=3
)
LORA = AdapterSpec(rank=2, alpha=8, targets=("q_proj", "v_proj"))


def weights(out: Path) -> bytes:
    """Return the trained weights, byte for byte."""
    return (out / "model" / "model.safetensors").read_bytes()


def losses(out: Path) -> list[float]:
    """Return the losses of the curve."""
    return [point.loss for point in read_rows(out / "curve.jsonl", CurvePoint)]


def log_probs(model: Any, ids: list[int]) -> Any:
    """Return the log-probability of each token but the first, from the model's own logits."""
    import torch

    row = torch.tensor([ids])
    logits = model(input_ids=row).logits[0, :-1]
    return logits.log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0]


def plain_loop(spec: TrainSpec, folder: Path, rows: Path, loss_of: Any) -> tuple[list[float], Any]:
    """Train with a loop written out: one row at a time, no padding, AdamW, clipping, schedule."""
    import torch
    from transformers import AutoModelForCausalLM

    columns = read_data(spec, ModelFolder(folder), rows, silent).encoded.columns
    order = row_order(len(next(iter(columns.values()))), spec.batch_size, spec.steps(0), spec.seed)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=spec.weight_decay)
    warmup = int(np.ceil(spec.warmup_ratio * len(order)))
    found = []
    for step, batch in enumerate(order):
        decay = (len(order) - step) / (len(order) - warmup) if spec.schedule == "linear" else 1.0
        rate = spec.learning_rate * (step / warmup if step < warmup else decay)
        optimizer.param_groups[0]["lr"] = rate
        loss = loss_of(model, reference, columns, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.max_grad_norm)
        optimizer.step()
        found.append(loss.item())
    return found, model


def sft_loss(model: Any, _: Any, columns: dict[str, Any], batch: Any) -> Any:
    """Cross-entropy over the labelled tokens of a global batch, each token counting the same."""
    import torch

    total, count = torch.zeros(()), 0
    for row in batch:
        labelled = torch.tensor(columns["labels"][row][1:]) != -100
        total = total - log_probs(model, columns["input_ids"][row])[labelled].sum()
        count += int(labelled.sum())
    return total / count


def dpo_loss(model: Any, reference: Any, columns: dict[str, Any], batch: Any) -> Any:
    """Equation 7 of Rafailov et al. (2023) with beta 0.1, mean over the pairs of a batch."""
    import torch

    terms = []
    for row in batch:
        prompt = columns["prompt_ids"][row]
        margin = torch.zeros(())
        for name, sign in (("chosen_ids", 1), ("rejected_ids", -1)):
            ids = prompt + columns[name][row]
            answer = slice(len(prompt) - 1, None)
            with torch.no_grad():
                anchor = log_probs(reference, ids)[answer].sum()
            margin = margin + sign * (log_probs(model, ids)[answer].sum() - anchor)
        terms.append(-torch.nn.functional.logsigmoid(0.1 * margin))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("architecture", ["cohere", "llama"])
def test_sft_follows_a_plain_loop(
    architecture: str, conversations: Write, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Losses and weights are those of cross-entropy with AdamW, for scaled and plain logits."""
    import torch
    from transformers import AutoModelForCausalLM

    folder: Path = request.getfixturevalue(architecture)
    rows = conversations(30)
    report = train(
        SFT,
        model=folder,
        rows=rows,
        out=tmp_path / "out",
        placement=TrainPlacement(per_device_batch=4),
    )
    expected, model = plain_loop(SFT, folder, rows, sft_loss)
    assert losses(tmp_path / "out") == pytest.approx(expected, abs=2e-4)
    assert report.first_loss == pytest.approx(expected[0], abs=1e-4)
    assert (report.steps, report.accumulation) == (6, 2)
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model", dtype=torch.float32)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], tensor, atol=2e-3, rtol=0)


def test_dpo_follows_a_plain_loop(cohere: Path, pairs: Write, tmp_path: Path) -> None:
    """DPO's losses are those of its paper's equation, beginning at ln 2."""
    rows = pairs(20)
    report = train(DPO, model=cohere, rows=rows, out=tmp_path / "out")
    expected, _ = plain_loop(DPO, cohere, rows, dpo_loss)
    assert losses(tmp_path / "out") == pytest.approx(expected, abs=1e-3)
    assert report.first_loss == pytest.approx(np.log(2), abs=1e-5)
    assert report.final_loss < report.first_loss


def test_what_a_training_leaves(cohere: Path, conversations: Write, tmp_path: Path) -> None:
    """Model, curve and report are there, agree with each other, and no unfinished state remains."""
    rows, out = conversations(30), tmp_path / "out"
    heard: list[tuple[float, float, str]] = []
    report = train(SFT, model=cohere, rows=rows, out=out, progress=lambda *what: heard.append(what))
    assert sorted(path.name for path in out.iterdir()) == ["curve.jsonl", "model", "report.json"]
    assert report == TrainReport.model_validate_json((out / "report.json").read_text())
    points = read_rows(out / "curve.jsonl", CurvePoint)
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]
    assert points[-1].epoch == report.epochs == pytest.approx(48 / 30)
    data = read_data(SFT, ModelFolder(cohere), rows, silent).encoded
    order = row_order(30, 8, 6, SFT.seed)
    assert points[-1].tokens == report.tokens == data.read[order].sum()
    assert report.target_tokens == data.targets[order].sum()
    assert {code: count.used for code, count in report.rows.items()} == dict.fromkeys(
        ("en", "fr", "hi"), 10
    )
    assert (report.precision, report.dtype, report.sharding) == ("float32", "float32", "none")
    assert heard[-1][:2] == (6, 6)


def test_operations_are_those_of_the_matrix_products(
    cohere: Path, conversations: Write, pairs: Write, tmp_path: Path
) -> None:
    """6 per weight and token is what torch counts in a step, and the reference adds 2."""
    import torch
    from safetensors.numpy import load_file
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(cohere, dtype=torch.float32)
    tokens = torch.arange(8).repeat(4, 1)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=tokens, labels=tokens).loss.backward()
    weights = sum(each.numel() for each in model.parameters())
    assert training_flops(weights, weights, tokens.numel()) == pytest.approx(
        counter.get_total_flops(), rel=0.15
    )
    assert training_flops(weights, 0, 0, forward_tokens=7) == 2 * 7 * weights

    sft = train(SFT, model=cohere, rows=conversations(24), out=tmp_path / "sft")
    assert (sft.weights, sft.trained_weights, sft.reference_tokens) == (weights, weights, 0)
    assert sft.flops == 6 * weights * sft.tokens
    lora = SFT.model_copy(update={"adapter": LORA})
    adapted = train(lora, model=cohere, rows=conversations(24), out=tmp_path / "lora")
    factors = load_file(tmp_path / "lora" / "adapter" / "adapter_model.safetensors")
    assert adapted.trained_weights == sum(each.size for each in factors.values())
    assert adapted.flops == (4 * weights + 2 * adapted.trained_weights) * adapted.tokens
    dpo = train(DPO, model=cohere, rows=pairs(24), out=tmp_path / "dpo")
    once = read_data(DPO, ModelFolder(cohere), pairs(24), silent).encoded.read.sum()
    assert dpo.reference_tokens == once
    assert dpo.flops == 6 * weights * dpo.tokens + 2 * weights * once


def test_the_trained_folder_keeps_its_parents_files(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """Tokenizer, template and configuration are the parent's bytes; the card has no path."""
    train(SFT, model=cohere, rows=conversations(20), out=tmp_path / "out")
    made = tmp_path / "out" / "model"
    ModelFolder(made)
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (made / name).read_bytes() == (cohere / name).read_bytes()
    card = (made / "README.md").read_text()
    assert "SFT of cohere" in card
    assert str(tmp_path) not in card
    assert str(cohere) not in card


def test_same_inputs_same_bytes(cohere: Path, conversations: Write, tmp_path: Path) -> None:
    """Two runs agree to the bit; another seed gives other weights."""
    rows = conversations(20)
    for name, spec in (("a", SFT), ("b", SFT), ("c", SFT.model_copy(update={"seed": 4}))):
        train(spec, model=cohere, rows=rows, out=tmp_path / name)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_a_finished_training_is_not_repeated(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """The same call returns the report at once; a changed setting trains anew."""
    rows, out = conversations(20), tmp_path / "out"
    first = train(SFT, model=cohere, rows=rows, out=out)

    def never(done: float, total: float, what: str) -> None:
        raise AssertionError(f"worked again: {what} {done}/{total}")

    assert train(SFT, model=cohere, rows=rows, out=out, progress=never) == first
    other = train(SFT.model_copy(update={"seed": 9}), model=cohere, rows=rows, out=out)
    assert other.identity != first.identity


def test_the_reference_is_computed_once(cohere: Path, pairs: Write, tmp_path: Path) -> None:
    """A second DPO from the same model and rows reads the reference, with the same result."""
    rows, cache = pairs(20), tmp_path / "cache"
    said: list[str] = []

    def listen(done: float, total: float, what: str) -> None:
        assert done <= total
        said.append(what)

    reports = [
        train(
            DPO,
            model=cohere,
            rows=rows,
            out=tmp_path / name,
            reference_cache=cache,
            progress=listen,
        )
        for name in ("a", "b")
    ]
    assert [report.reference_reused for report in reports] == [False, True]
    assert said.count("reference log-probabilities") == 3  # 20 pairs in batches of 8, once
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_a_wrong_reference_is_found(cohere: Path, pairs: Write, tmp_path: Path) -> None:
    """A reference that is not the starting model's stops DPO at its first step."""
    from safetensors.numpy import load_file, save_file

    rows, cache = pairs(20), tmp_path / "cache"
    train(DPO, model=cohere, rows=rows, out=tmp_path / "a", reference_cache=cache)
    (file,) = cache.iterdir()
    kept = load_file(file)
    kept["ref_chosen_logps"] = kept["ref_chosen_logps"] - 5
    save_file(kept, file)
    with pytest.raises(RuntimeError, match=r"instead of ln 2"):
        train(DPO, model=cohere, rows=rows, out=tmp_path / "b", reference_cache=cache)
    assert not (tmp_path / "b" / "report.json").exists()
    assert not (tmp_path / "b" / "model").exists()


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_lora_is_merged_into_full_weights(
    method: str, llama: Path, conversations: Write, pairs: Write, tmp_path: Path
) -> None:
    """The model is base + alpha/rank * B A in the adapted layers, and the base elsewhere."""
    spec = (SFT if method == "sft" else DPO).model_copy(update={"adapter": LORA})
    rows = conversations(20) if method == "sft" else pairs(20)
    train(spec, model=llama, rows=rows, out=tmp_path / "out")
    assert count_adapted(llama, tmp_path / "out", LORA) == 4  # two layers, q_proj and v_proj


def test_weights_are_saved_in_the_asked_type(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """bfloat16 weights load as such, with the tied head still tied and half the bytes."""
    from transformers import AutoModelForCausalLM

    rows = conversations(20)
    train(SFT, model=cohere, rows=rows, out=tmp_path / "full")
    spec = SFT.model_copy(update={"dtype": "bfloat16"})
    train(spec, model=cohere, rows=rows, out=tmp_path / "half")
    assert len(weights(tmp_path / "half")) < 0.6 * len(weights(tmp_path / "full"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "half" / "model")
    assert str(model.dtype) == "torch.bfloat16"
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_training_from_a_folder_opens_no_connection(
    cohere: Path, pairs: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked of the hub, and no telemetry is sent, for a model on disk."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert train(DPO, model=cohere, rows=pairs(20), out=tmp_path / "out").steps == 5


def test_an_interrupted_training_goes_on(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """Ctrl-C leaves no final name; the next call resumes and ends at the same bytes."""
    rows, placement = conversations(20), TrainPlacement(save_steps=2)

    def interrupt(done: float, total: float, what: str) -> None:
        if what.startswith("training") and (done, total) == (5, 6):
            raise KeyboardInterrupt("at step 5")

    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    with pytest.raises(KeyboardInterrupt, match="at step 5"):
        train(SFT, model=cohere, rows=rows, out=stopped, placement=placement, progress=interrupt)
    assert sorted(path.name for path in stopped.iterdir()) == ["checkpoints", "curve.jsonl"]
    resumed = train(SFT, model=cohere, rows=rows, out=stopped, placement=placement)
    whole = train(SFT, model=cohere, rows=rows, out=straight)
    assert (resumed.resumed_from, whole.resumed_from) == (4, 0)
    assert weights(stopped) == weights(straight)
    assert losses(stopped) == losses(straight)
    assert resumed.tokens == whole.tokens


def test_a_stopped_training_is_not_finished() -> None:
    """A trainer that returns before its last step is an error, though it looks content."""
    with pytest.raises(RuntimeError, match="stopped at step 13 of 20"):
        _check_finished(SimpleNamespace(global_step=13, max_steps=20))


def test_bad_models_and_rows_are_one_message(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """A missing file of rows and a model without tokenizer are named."""
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        train(SFT, model=cohere, rows=tmp_path / "none.jsonl", out=tmp_path / "out")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((cohere / "config.json").read_bytes())
    with pytest.raises(ModelError, match="no tokenizer"):
        train(SFT, model=bare, rows=conversations(5), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


_KILLED = """
import os, signal, sys
from pathlib import Path
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.run import train

def kill(done, total, what):
    if what.startswith("training") and done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

spec, model, rows, out = sys.argv[1:]
train(TrainSpec.model_validate_json(spec), model=model, rows=Path(rows), out=Path(out),
      placement=TrainPlacement(save_steps=2), progress=kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SFT, DPO, SFT.model_copy(update={"adapter": LORA})])
def test_a_killed_training_resumes_to_the_same_bytes(
    spec: TrainSpec, cohere: Path, conversations: Write, pairs: Write, tmp_path: Path
) -> None:
    """After SIGKILL in another process, the same call ends with the bytes of a straight run."""
    rows = conversations(20) if spec.method == "sft" else pairs(20)
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    command = [sys.executable, "-c", _KILLED, spec.model_dump_json()]
    done = subprocess.run(
        [*command, str(cohere), str(rows), str(killed)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (killed / "report.json").exists()
    assert train(spec, model=cohere, rows=rows, out=killed).resumed_from == 4
    train(spec, model=cohere, rows=rows, out=straight)
    assert weights(killed) == weights(straight)
    assert losses(killed) == losses(straight)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SFT, DPO], ids=["sft", "dpo"])
def test_two_ranks_train_as_one(
    spec: TrainSpec, cohere: Path, conversations: Write, pairs: Write, tmp_path: Path
) -> None:
    """Two processes share the global batch: same losses, same weights up to rounding."""
    from safetensors.numpy import load_file

    rows = conversations(20) if spec.method == "sft" else pairs(20)
    heard: list[float] = []
    two = train(
        spec,
        model=cohere,
        rows=rows,
        out=tmp_path / "two",
        placement=TrainPlacement(devices=2, per_device_batch=2),
        progress=lambda done, _total, _what: heard.append(done),
    )
    train(spec, model=cohere, rows=rows, out=tmp_path / "one")
    assert (two.ranks, two.per_device_batch, two.accumulation) == (2, 2, 2)
    assert heard[-1] == two.steps
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    one_weights, two_weights = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two")
    )
    for name, tensor in one_weights.items():
        np.testing.assert_allclose(two_weights[name], tensor, atol=2e-3)


def test_fsdp_without_a_gpu_is_refused(cohere: Path, conversations: Write, tmp_path: Path) -> None:
    """On a CPU the Trainer would ignore FSDP without a word; here it is an error."""
    with pytest.raises(SpecError, match="`fsdp` needs GPUs"):
        train(
            SFT,
            model=cohere,
            rows=conversations(20),
            out=tmp_path / "out",
            placement=TrainPlacement(fsdp={}, device="cpu"),
        )


@pytest.mark.slow
def test_a_mistake_found_by_the_ranks_reaches_the_caller(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """An error of the user is the same class and message whether one process found it or two."""
    spec = SFT.model_copy(update={"max_length": 20})
    rows, out = conversations(12), tmp_path / "out"
    with pytest.raises(DataError, match="longer than max_length") as alone:
        train(spec, model=cohere, rows=rows, out=out)
    with pytest.raises(DataError, match="longer than max_length") as among_two:
        train(spec, model=cohere, rows=rows, out=out, placement=TrainPlacement(devices=2))
    assert str(among_two.value) == str(alone.value)


def test_settings_make_the_identity_and_placement_does_not(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """Where it runs changes no identity: a finished run is found again under another placement."""
    rows, out = conversations(20), tmp_path / "out"
    first = train(SFT, model=cohere, rows=rows, out=out)
    again = train(
        SFT, model=cohere, rows=rows, out=out, placement=TrainPlacement(per_device_batch=2)
    )
    assert again == first
    assert json.loads((out / "report.json").read_text())["per_device_batch"] == 8
