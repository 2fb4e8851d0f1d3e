"""Add a checkpoint made elsewhere to a run: check it, copy it, and record it as adopted."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from mixmerge.durable import claimed, now
from mixmerge.errors import ModelError, SpecError
from mixmerge.execution.environment import environment
from mixmerge.execution.events import Listener, ignore
from mixmerge.execution.plan import Planned, plan
from mixmerge.execution.step import Step, needed_for
from mixmerge.execution.store import ADOPTED, LOCK, Store, adopted_as, adopted_key, read_task
from mixmerge.execution.worker import finish
from mixmerge.files import whole_folder, write_json
from mixmerge.records import ModelFolder
from mixmerge.study.run import Prepared, prepare
from mixmerge.study.spec import BASE, model_step
from mixmerge.study.steps import KINDS
from mixmerge.study.steps.kind import MODEL, model_path


def adopt(
    study: Path | str,
    checkpoint: str,
    folder: Path | str,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    workers: int | None = None,
    listener: Listener = ignore,
) -> Path:
    """Add a checkpoint made elsewhere to a run, so that `mixmerge.run` does not make it.

    Nothing can prove that the checkpoint was made as the study says, so the record marks it as
    adopted. Its data steps run first, because its digest covers its rows. The digest covers the
    model's files too, so replacing the model makes every later step out of date. The ``folder``, in
    Hugging Face's format, is copied; the other arguments are those of `run`.

    Returns:
        The folder of the adopted step.

    Raises:
        SpecError: the study is invalid, has no such checkpoint, or the run already has it.
        ModelError: the folder is not a complete model, or its tensors differ from the base's.
        StepFailedError: a data step failed.
    """
    prepared = prepare(study, out, seed=seed)
    step_id = _step_id(prepared, checkpoint)
    given = ModelFolder(Path(folder))
    wanted = _data_steps(prepared, step_id)
    prepared.run(listener, workers=workers, only=wanted)
    store = Store(prepared.root)
    planned = {item.step.id: item for item in plan(prepared.steps, store)}
    item = planned[step_id]
    assert item.key is not None
    recipe = (item.folder and adopted_as(item.folder)) or item.key
    key = adopted_key(recipe, given.fingerprint())
    replaced = item.folder if recipe != item.key else None
    if item.folder and (replaced is None or key == item.key):
        raise SpecError(
            f"{checkpoint}: is already done, in {item.folder}; delete that folder to replace it."
        )
    base = planned[f"base/{BASE}"].folder
    assert base is not None
    _check_tensors(given.path, model_path(base))
    folder = _place(store, item.step, key, planned)
    write_json(folder / ADOPTED, {"recipe": recipe})
    _take_in(folder, item.step, given)
    if replaced is not None:
        (replaced / ADOPTED).unlink()
    return folder


def _step_id(prepared: Prepared, checkpoint: str) -> str:
    known = prepared.study.checkpoints
    if checkpoint not in known:
        raise SpecError(
            f"{checkpoint}: there is no such checkpoint in the study; there are {', '.join(known)}."
        )
    recipe = prepared.study.training.get(getattr(known[checkpoint], "train", ""))
    if recipe is not None and recipe.keep_steps:
        raise SpecError(
            f"{checkpoint}: its training keeps steps (`keep_steps`), which a folder made elsewhere "
            "lacks. Name each such folder in the study instead: `{model: FOLDER}`."
        )
    return model_step(prepared.study, checkpoint)


def _data_steps(prepared: Prepared, step_id: str) -> list[str]:
    """Return the base model's step and the data steps that the checkpoint's digest depends on."""
    steps = {step.id: step for step in prepared.steps}
    needed = needed_for([step_id], steps)
    return [f"base/{BASE}", *(name for name in steps if name in needed and steps[name].by_output)]


def _check_tensors(adopted: Path, base: Path) -> None:
    """Check that a model has the base's tensor names and shapes; dtypes may differ."""
    found, required = _shapes(adopted), _shapes(base)
    for name in sorted(required.keys() | found.keys()):
        if name == "lm_head.weight" and not (name in found and name in required):
            continue  # tied to the embedding, so it may not be stored
        if found.get(name) != required.get(name):
            raise ModelError(
                f"{adopted}: tensor {name} is {_said(found.get(name))}, the base model's is "
                f"{_said(required.get(name))}; a checkpoint of this study has the shape of its "
                "base. Check that it was trained from the same model."
            )


def _said(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape))


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    from mixmerge.merging.models.safetensors_io import read_header

    files = sorted(folder.glob("*.safetensors"))
    return {tensor.name: tensor.shape for file in files for tensor in read_header(file)}


def _place(store: Store, step: Step, key: str, planned: Mapping[str, Planned]) -> Path:
    parents = {}
    for parent in step.inputs.values():
        its_key = planned[parent].key
        assert its_key is not None
        parents[parent] = store.folder(planned[parent].step, its_key)
    return store.place(step, key, parents)


def _take_in(folder: Path, step: Step, given: ModelFolder) -> None:
    """Copy a model into a placed step's folder, and record the step as done."""
    with claimed(folder / LOCK, "step", patience=0.0):
        with whole_folder(folder / MODEL) as model:
            shutil.copytree(given.path, model, dirs_exist_ok=True)
        task, key = read_task(folder)
        kind = KINDS[step.kind]
        made = kind.adopted(kind.read_settings(step), ModelFolder(folder / MODEL), task.inputs)
        facts = made.model_dump(mode="json")
        happened = {"adopted": str(given.path.absolute()), "started": now(), "seconds": 0.0}
        finish(folder, key, task, facts, happened | environment())
