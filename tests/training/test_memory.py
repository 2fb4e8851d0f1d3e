"""Tests of mixmerge.training.resume: a full device means fewer rows at once, same training."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import DeviceMemoryError, ResourceError
from mixmerge.files import read_json
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.resume import remember, remembered, with_fewer_rows
from mixmerge.training.run import train

Write = Callable[[int], Path]

SPEC = TrainSpec(learning_rate=1e-2, max_steps=4, batch_size=8, schedule="constant", seed=3)
FULL = DeviceMemoryError("CUDA out of memory")

DEVICE = '''
"""A stand-in for a device that holds two rows: more of them raise what torch raises."""
import sys

def shrink():
    import torch
    from transformers.models.cohere.modeling_cohere import CohereModel
    original = CohereModel.forward

    def forward(self, *args, **kwargs):
        rows = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        if self.training and len(rows) > 2:
            raise torch.OutOfMemoryError(f"no memory for {len(rows)} rows")
        return original(self, *args, **kwargs)

    CohereModel.forward = forward

if "mixmerge.training.worker" in sys.orig_argv:
    shrink()
'''


@pytest.fixture
def small_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, and every rank that is started, has the stand-in's device."""
    from transformers.models.cohere.modeling_cohere import CohereModel

    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "sitecustomize.py").write_text(DEVICE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "device"))
    monkeypatch.setattr(CohereModel, "forward", CohereModel.forward)  # put back afterwards
    found: dict[str, Callable[[], None]] = {}
    exec(DEVICE, found)  # noqa: S102 - the same text that the ranks run
    found["shrink"]()


def model_bytes(out: Path) -> bytes:
    """The trained weights."""
    return (out / "model" / "model.safetensors").read_bytes()


def check_halved(folder: Path, model: Path, rows: Path, devices: int, accumulation: int) -> None:
    """Train where two rows fit and where all do; the first must equal what two at once give."""
    asked = TrainPlacement(devices=devices, per_device_batch=2)
    exact = train(SPEC, model=model, rows=rows, out=folder / "exact", placement=asked)
    placement = TrainPlacement(devices=devices)
    report = train(SPEC, model=model, rows=rows, out=folder / "small", placement=placement)
    assert (report.per_device_batch, report.accumulation) == (2, accumulation)
    assert report.identity == exact.identity
    assert model_bytes(folder / "small") == model_bytes(folder / "exact")


@pytest.mark.usefixtures("small_device")
def test_a_full_device_halves_the_rows_at_once(
    tmp_path: Path, cohere: Path, conversations: Write
) -> None:
    """Eight rows a step do not fit, two at once do: the same training, to the bit."""
    check_halved(tmp_path, cohere, conversations(16), 1, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("small_device")
def test_a_full_rank_halves_the_rows_of_all(
    tmp_path: Path, cohere: Path, conversations: Write
) -> None:
    """When a rank under torchrun is full, all ranks begin again with half the rows."""
    check_halved(tmp_path, cohere, conversations(16), 2, 2)


@pytest.mark.usefixtures("small_device")
def test_ranks_of_a_cluster_begin_again_with_fewer(
    tmp_path: Path, cohere: Path, conversations: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank that a cluster started says how many rows may fit, and leaves; the next one obeys."""
    monkeypatch.setattr(sys.modules[train.__module__], "launched_ranks", lambda: 1)
    rows, seen = conversations(16), []
    for _ in range(2):
        with pytest.raises(DeviceMemoryError, match="no memory"):
            train(SPEC, model=cohere, rows=rows, out=tmp_path / "out")
        noted = read_json(tmp_path / "out" / "checkpoints" / "rows_at_once.json")
        seen.append(noted["rows"])
    report = train(SPEC, model=cohere, rows=rows, out=tmp_path / "out")
    assert [*seen, report.per_device_batch] == [4, 2, 2]


def test_the_global_batch_stays() -> None:
    """Fewer rows at once are a divisor of those before, so that whole passes make up the batch."""
    placement = TrainPlacement(per_device_batch=12)
    seen = []
    for _ in range(3):
        placement = with_fewer_rows(placement, TrainSpec(batch_size=24), None, FULL)
        rows, passes = placement.accumulation(24)
        assert rows * passes == 24
        seen.append(rows)
    assert seen == [6, 3, 1]


@pytest.mark.parametrize(
    ("asked", "noted", "batch", "rows"),
    [
        (TrainPlacement(devices=4), 16, 32, 8),
        (TrainPlacement(per_device_batch=2), 16, 32, 2),
        (TrainPlacement(), 16, 32, 16),
        (TrainPlacement(per_device_batch=12), 8, 24, 6),
    ],
)
def test_what_fitted_before_is_a_limit(
    tmp_path: Path, asked: TrainPlacement, noted: int, batch: int, rows: int
) -> None:
    """Rows noted when memory was full lower what is asked for now, and never raise it."""
    remember(tmp_path, "a", TrainPlacement(per_device_batch=noted))
    found = remembered(tmp_path, "a", asked, batch, None)
    assert found == asked.model_copy(update={"per_device_batch": rows})
    assert found.accumulation(batch)[0] == rows
    assert remembered(tmp_path, "b", asked, batch, None) == asked


def test_a_single_row_cannot_be_halved() -> None:
    """When one row at once is too much, the message says what else can be done."""
    with pytest.raises(ResourceError, match="activation_checkpointing"):
        with_fewer_rows(TrainPlacement(per_device_batch=1), SPEC, None, FULL)


def test_kto_keeps_two_rows_at_once() -> None:
    """Its KL needs another answer: three rows cannot be halved, though one row might fit."""
    spec = TrainSpec(method="kto", batch_size=12)
    fewer = with_fewer_rows(TrainPlacement(per_device_batch=6), spec, None, FULL)
    assert fewer.per_device_batch == 3
    with pytest.raises(ResourceError, match="little memory for 3 rows, and `kto` needs 2"):
        with_fewer_rows(fewer, spec, None, FULL)
