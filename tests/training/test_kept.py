"""Weights kept at chosen steps of a training."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.files import read_json
from mixmerge.training.kept import all_kept, kept_at, rising
from mixmerge.training.run import train
from mixmerge.training.spec import TrainPlacement, TrainSpec

Rows = Callable[[int], Path]
STEPS = {"max_steps": 6, "batch_size": 4, "learning_rate": 1e-2, "warmup_ratio": 0}


def weights(folder: Path) -> bytes:
    """The bytes of the weights of a training or of a kept step."""
    return (folder / "model" / "model.safetensors").read_bytes()


def test_kept_weights_do_not_depend_on_what_else_is_kept(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """An adapter with dropout: step 2 and the last one have the same bytes, whatever is kept."""
    rows = conversations(12)
    adapter = {"rank": 2, "dropout": 0.3}
    for name, steps in {"none": [], "one": [2], "both": [2, 5]}.items():
        spec = TrainSpec.model_validate({**STEPS, "adapter": adapter, "keep_steps": steps})
        train(spec, model=cohere, rows=rows, out=tmp_path / name)
    one, both = tmp_path / "one", tmp_path / "both"
    assert weights(tmp_path / "none") == weights(one) == weights(both)
    assert weights(kept_at(one, 2)) == weights(kept_at(both, 2))
    assert len({weights(both), *(weights(kept_at(both, step)) for step in (2, 5))}) == 3
    assert not kept_at(tmp_path / "none", 2).exists()


def test_a_kept_step_is_what_a_training_of_so_many_steps_makes(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """At a constant rate, with its own counts: steps, tokens, rows seen, operations."""
    from transformers import AutoModelForCausalLM

    rows = conversations(12)
    constant = {**STEPS, "schedule": "constant"}
    whole, short = tmp_path / "whole", tmp_path / "short"
    kept = TrainSpec.model_validate({**constant, "keep_steps": [2]})
    train(kept, model=cohere, rows=rows, out=whole)
    alone = train(TrainSpec.model_validate({**constant, "max_steps": 2}), model=cohere, rows=rows,
                  out=short)  # fmt: skip
    assert weights(kept_at(whole, 2)) == weights(short)
    told = read_json(kept_at(whole, 2) / "report.json")
    same = ("steps", "tokens", "target_tokens", "epochs", "rows", "final_loss")
    assert {name: told[name] for name in same} == {
        name: alone.model_dump(mode="json")[name] for name in same
    }
    AutoModelForCausalLM.from_pretrained(kept_at(whole, 2) / "model")
    assert "2 steps of 4 rows" in (kept_at(whole, 2) / "model" / "README.md").read_text()


def test_a_decaying_rate_makes_a_point_of_a_longer_schedule(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """With the linear schedule, step 2 of 6 is not what a training of 2 steps makes."""
    rows = conversations(12)
    kept = TrainSpec.model_validate({**STEPS, "keep_steps": [2]})
    train(kept, model=cohere, rows=rows, out=tmp_path / "whole")
    short = TrainSpec.model_validate({**STEPS, "max_steps": 2})
    train(short, model=cohere, rows=rows, out=tmp_path / "short")
    assert weights(kept_at(tmp_path / "whole", 2)) != weights(tmp_path / "short")


KILLED = """
import os, signal, sys
from pathlib import Path
from mixmerge.training.run import train
from mixmerge.training.spec import TrainPlacement, TrainSpec

def kill(done, total, what):
    if done == 5 and what.startswith("training"):
        os.kill(os.getpid(), signal.SIGKILL)

spec = TrainSpec.model_validate_json(sys.argv[1])
train(spec, model=Path(sys.argv[2]), rows=Path(sys.argv[3]), out=Path(sys.argv[4]),
      placement=TrainPlacement(save_steps=2), progress=kill)
"""


@pytest.mark.slow
def test_a_killed_training_keeps_the_same_bytes(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """Killed at step 5 and resumed from 4: steps 1, 3 and 5 and the end are those of one run."""
    spec = TrainSpec.model_validate({**STEPS, "keep_steps": [1, 3, 5]})
    rows, killed, straight = conversations(12), tmp_path / "killed", tmp_path / "straight"
    command = [sys.executable, "-c", KILLED, spec.model_dump_json()]
    done = subprocess.run(
        [*command, str(cohere), str(rows), str(killed)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert all_kept(killed, [1, 3])
    assert not kept_at(killed, 5).exists()
    before = kept_at(killed, 3).stat().st_mtime_ns
    assert train(spec, model=cohere, rows=rows, out=killed).resumed_from == 4
    assert kept_at(killed, 3).stat().st_mtime_ns == before
    train(spec, model=cohere, rows=rows, out=straight)
    for step in (1, 3, 5):
        assert weights(kept_at(killed, step)) == weights(kept_at(straight, step)), step
    assert weights(killed) == weights(straight)


@pytest.mark.slow
def test_two_processes_keep_the_same_weights(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """Up to rounding, the kept weights of two ranks are those of one."""
    from safetensors.numpy import load_file

    spec = TrainSpec.model_validate({**STEPS, "keep_steps": [2, 4]})
    rows, found = conversations(12), {}
    for devices in (1, 2):
        out = tmp_path / str(devices)
        placement = TrainPlacement(devices=devices, device="cpu")
        train(spec, model=cohere, rows=rows, out=out, placement=placement)
        assert all_kept(out, [2, 4])
        found[devices] = load_file(kept_at(out, 4) / "model" / "model.safetensors")
    for name, one in found[1].items():
        assert abs(one - found[2][name]).max() < 1e-4, name


def test_a_lost_kept_step_is_made_again(tmp_path: Path, cohere: Path, conversations: Rows) -> None:
    """A finished training without one of its kept models is not finished; another list is new."""
    spec = TrainSpec.model_validate({**STEPS, "keep_steps": [2, 3]})
    rows, out = conversations(12), tmp_path / "out"
    train(spec, model=cohere, rows=rows, out=out)
    was = weights(kept_at(out, 2))
    shutil.rmtree(kept_at(out, 2))
    train(spec, model=cohere, rows=rows, out=out)
    assert weights(kept_at(out, 2)) == was
    fewer = TrainSpec.model_validate({**STEPS, "keep_steps": [3]})
    train(fewer, model=cohere, rows=rows, out=out)
    assert sorted(path.name for path in (out / "kept").iterdir()) == ["3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_steps": 6, "keep_steps": [6]},
            "`keep_steps` has 6, and .* ends at step 6",
        ),
        ({"max_steps": 6, "keep_steps": [2, 9]}, "has 9, and .* The weights after the last step"),
        ({"keep_steps": [0, 2]}, "steps rise from 1.*seen: 0 first.*step 0 is the model that the"),
        ({"keep_steps": [-1]}, r"steps rise from 1, each given once \(seen: -1 first\)"),
        ({"keep_steps": [4, 2]}, r"\(seen: 2 after 4\)"),
        ({"keep_steps": [4, 4]}, r"\(seen: 4 after 4\)"),
        ({"keep_steps": ["x"]}, "keep_steps"),
        ({"keep_steps": 4}, "keep_steps"),
    ],
)
def test_steps_that_cannot_be_kept_are_refused(settings: dict[str, object], message: str) -> None:
    """Steps beyond the end, step 0, and steps that do not rise."""
    with pytest.raises(ValueError, match=message):
        TrainSpec.model_validate(settings)


def test_steps_beyond_the_epochs_are_refused_before_training(
    tmp_path: Path, cohere: Path, conversations: Rows
) -> None:
    """Where epochs give the length, it is known once the rows are read."""
    spec = TrainSpec.model_validate({"epochs": 1, "batch_size": 4, "keep_steps": [2, 3]})
    with pytest.raises(SpecError, match="has 3, and the training ends at step 3: keep earlier"):
        train(spec, model=cohere, rows=conversations(12), out=tmp_path / "out")
    assert not (tmp_path / "out" / "kept").exists()


def test_no_steps_to_keep_leave_the_identity_of_a_training() -> None:
    """A training from before this setting existed is not trained again."""
    assert "keep_steps" not in TrainSpec().model_dump(mode="json")
    assert rising([1, 5]) == (1, 5)
