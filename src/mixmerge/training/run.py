"""Train one checkpoint.

out/
  model/         the trained model: an ordinary Hugging Face folder, there when it is whole
  adapter/       LoRA only: the adapter before it was merged into model/
  curve.jsonl    one `CurvePoint` per step, written while the training runs
  report.json    a `TrainReport`, written last: a folder without it is not finished
  checkpoints/   states to go on from after a kill, only while the training is unfinished
"""

import gc
from pathlib import Path

from mixmerge import files
from mixmerge.errors import DataError, DeviceMemoryError
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import ModelFolder
from mixmerge.training import parent, resume
from mixmerge.training.plan import Inputs
from mixmerge.training.ranks import check_devices, launch, launched_ranks
from mixmerge.training.report import TrainReport
from mixmerge.training.session import train_here
from mixmerge.training.spec import TrainPlacement, TrainSpec


def train(
    spec: TrainSpec,
    *,
    model: Path | str,
    rows: Path,
    out: Path,
    placement: TrainPlacement | None = None,
    reference_cache: Path | None = None,
    progress: Progress = silent,
) -> TrainReport:
    """Train one checkpoint and write it to ``out``; see the module's docstring for the files.

    A call that was killed goes on from its last checkpoint when it is repeated; a call that was
    finished returns its report at once. On one CPU thread the same settings, files and package
    versions give the same weights to the bit, killed in between or not. When a device is full, the
    training goes on from its last checkpoint with half the rows per device: the same global batch.

    Args:
        spec: what to train.
        model: folder of the model to start from, or its name on the hub. DPO starts from the SFT
            checkpoint, which is its reference as well.
        rows: JSON Lines of `Conversation` (SFT) or `PreferencePair` (DPO).
        out: folder for the results.
        placement: how it runs; None: one process.
        reference_cache: folder in which DPO keeps its reference log-probabilities for later runs.
        progress: hears of the steps.

    Raises:
        SpecError: the settings do not fit the model or the devices, or the training diverged.
        DataError: rows are missing, broken, or longer than ``max_length``.
        ModelError: the model folder is incomplete, has no chat template, or another vocabulary.
        ResourceError: the disk is full, a device has no memory for a single row, or bitsandbytes
            is needed and not installed.
        DeviceMemoryError: a device of several ranks that another program started was full; when
            they are started again, they go on with fewer rows at once.
        RuntimeError: a fault of ours: the training stopped early, or DPO met a wrong reference.
    """
    placement = placement or TrainPlacement()
    folder = parent.find_model(model)
    identity = _identity(spec, folder, rows)
    if finished := _finished(out, identity):
        return finished
    if spec.adapter is not None:
        spec.adapter.check_packages()
    import torch

    ranks, checkpoints = launched_ranks(), out / "checkpoints"
    placement = resume.remembered(checkpoints, identity, placement, spec.batch_size, ranks)
    placement.accumulation(spec.batch_size, ranks)
    check_devices(placement)
    while True:
        inputs = Inputs(spec, placement, folder, str(model), rows, out, identity, reference_cache)
        try:
            if ranks is not None or placement.devices == 1:
                train_here(inputs, progress)
            else:
                launch(inputs.job, out, progress)
            return TrainReport.model_validate(files.read_json(out / "report.json"))
        except DeviceMemoryError as error:
            placement = resume.with_fewer_rows(placement, spec.batch_size, ranks, error)
            resume.remember(checkpoints, identity, placement)
            if ranks is not None:
                raise  # the other ranks must begin again too: whoever started them sees to it
        gc.collect()  # what the training that was cut off holds on the devices
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _identity(spec: TrainSpec, folder: ModelFolder, rows: Path) -> str:
    if not rows.is_file():
        raise DataError(f"{rows}: no such file; training rows are JSON Lines.")
    known = {"settings": spec.model_dump(mode="json"), "model": folder.fingerprint()}
    return fingerprint({"version": 1, **known, "rows": file_fingerprint(rows)})


def _finished(out: Path, identity: str) -> TrainReport | None:
    path = out / "report.json"
    content = files.read_json(path) if path.is_file() and (out / "model").is_dir() else None
    if not isinstance(content, dict) or content.get("identity") != identity:
        return None
    return TrainReport.model_validate(content)
