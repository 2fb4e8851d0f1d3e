"""Train one checkpoint.

out/
  model/         the trained model, an ordinary Hugging Face folder; appears when complete
  adapter/       LoRA only: the adapter before it was merged into model/
  curve.jsonl    one `CurvePoint` per step, written while the training runs
  answers.jsonl  with rewards only: one `RewardedAnswer` per answer, written while it runs
  kept/          with ``keep_steps`` only: the models after those steps, see `training.kept`
  report.json    a `TrainReport`, written last: a folder without it is not finished
  checkpoints/   to resume from, only while the training is unfinished
"""

import gc
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mixmerge import files
from mixmerge.errors import DataError, DeviceMemoryError, SpecError
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import ModelFolder
from mixmerge.training import parent, resume
from mixmerge.training.kept import all_kept
from mixmerge.training.plan import Inputs
from mixmerge.training.ranks import check_devices, launch, launched_ranks
from mixmerge.training.report import TrainReport
from mixmerge.training.rewards import Reward
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
    reward: Reward | None = None,
    teachers: Mapping[str, Path | str] = MappingProxyType({}),
    progress: Progress = silent,
) -> TrainReport:
    """Train one checkpoint and write it to ``out``; see the module's docstring for the files.

    Repeating a call resumes an interrupted training from its last checkpoint, and returns the
    report of a finished one. On one CPU thread the same settings, files and package versions give
    bitwise equal weights, interrupted or not. If a device runs out of memory, the training resumes
    with half the rows per device and the same global batch.

    Args:
        spec: the settings that determine the weights.
        model: the folder or hub name of the model to start from, which is also the reference.
        rows: JSON Lines of the objective's rows: `Conversation`, `PreferencePair` or
            `LabelledCompletion`.
        out: the folder for the results.
        placement: how it runs; by default one process.
        reference_cache: a folder to save reference log-probabilities for later runs.
        reward: what judges the answers, for objectives with rewards; in a study, its axes.
        teachers: for distillation, the folder or hub name of the model that teaches the rows of
            each source.
        progress: told of every step.

    Raises:
        SpecError: the settings do not fit the model or the devices, teachers are missing or not
            used, or the training diverged.
        DataError: rows are missing, invalid, longer than ``max_length``, or without a teacher.
        ModelError: the model is incomplete or quantized, has no chat template, or does not match
            its tokenizer, or a teacher has another vocabulary.
        ResourceError: the disk is full, a device has no memory for a single row, or bitsandbytes
            is needed and not installed.
        DeviceMemoryError: a rank that another program started ran out of memory; started again, it
            resumes with fewer rows per device.
        RuntimeError: a bug: the training stopped early, or its first loss is wrong.
    """
    placement = placement or TrainPlacement()
    spec.objective.check_teachers(teachers)
    folder = parent.find_model(model)
    _check_reward(spec, reward)
    taught = {source: parent.find_model(teacher) for source, teacher in teachers.items()}
    identity = _identity(spec, folder, rows, taught, reward)
    if (finished := _finished(out, identity)) and all_kept(out, spec.keep_steps):
        return finished
    if spec.adapter is not None:
        spec.adapter.check_packages()
    import torch

    ranks, checkpoints = launched_ranks(), out / "checkpoints"
    placement = resume.remembered(checkpoints, identity, placement, spec.batch_size, ranks)
    spec.split(placement, ranks)
    check_devices(placement)
    while True:
        given = (folder, str(model), rows, out, identity, reference_cache, reward, taught)
        inputs = Inputs(spec, placement, *given)
        try:
            if ranks is not None or placement.devices == 1:
                train_here(inputs, progress)
            else:
                _check_launch(inputs)
                launch(inputs.job, out, progress, inputs.reward)
            return TrainReport.model_validate(files.read_json(out / "report.json"))
        except DeviceMemoryError as error:
            placement = resume.with_fewer_rows(placement, spec, ranks, error)
            resume.remember(checkpoints, identity, placement)
            if ranks is not None:
                raise  # all ranks must restart; the program that started them does that
        gc.collect()  # free the device memory of the failed training
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _check_reward(spec: TrainSpec, reward: Reward | None) -> None:
    if spec.objective.rewarded and reward is None:
        raise SpecError(
            f"`method: {spec.method}` needs something that judges answers: train in a study, whose "
            "axes do it (`mixmerge run`), or give `train` a `reward` from Python."
        )


def _check_launch(inputs: Inputs) -> None:
    if inputs.reward is not None and not inputs.reward.factory:
        raise SpecError(
            f"`devices` is {inputs.placement.devices}, and this reward has no `factory` to make it "
            "in other processes. Give it one, set `devices: 1`, or start the processes by a "
            "launcher (torchrun, SLURM)."
        )


def _identity(
    spec: TrainSpec,
    folder: ModelFolder,
    rows: Path,
    teachers: Mapping[str, ModelFolder],
    reward: Reward | None,
) -> str:
    if not rows.is_file():
        raise DataError(f"{rows}: no such file; training rows are JSON Lines.")
    known: dict[str, Any] = {
        "settings": spec.model_dump(mode="json"),
        "model": folder.fingerprint(),
    }
    if teachers:
        known["teachers"] = {source: each.fingerprint() for source, each in teachers.items()}
    if reward is not None:
        known["reward"] = reward.identity
    return fingerprint({"version": 2, **known, "rows": file_fingerprint(rows)})


def _finished(out: Path, identity: str) -> TrainReport | None:
    path = out / "report.json"
    content = files.read_json(path) if path.is_file() and (out / "model").is_dir() else None
    if not isinstance(content, dict) or content.get("identity") != identity:
        return None
    return TrainReport.model_validate(content)
