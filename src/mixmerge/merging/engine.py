"""Run a merge: recipe in, model folder out, the same bytes on any number of threads."""

import math
import shutil
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mixmerge.errors import SpecError
from mixmerge.execution.engine import Helpers
from mixmerge.files import PARTIAL, write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.merging.adapters.merge import merge_adapters
from mixmerge.merging.distributed import Job, forget_claims, write_together
from mixmerge.merging.kernels.random_drop import seed_of_stage
from mixmerge.merging.models.safetensors_io import TORCH_NAMES
from mixmerge.merging.output import lineage
from mixmerge.merging.output.shards import INDEX, index_text, lay_out, needs_index
from mixmerge.merging.output.workplace import goes_on_later, workplace
from mixmerge.merging.planning.architecture import check_architecture
from mixmerge.merging.planning.plan import MergePlan, Row, plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe, recipe_text
from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.merging.streaming.workers import Workers
from mixmerge.merging.write import compute, write_shards
from mixmerge.progress import Progress, silent

if TYPE_CHECKING:
    import torch

SHARD_SIZE = 5_000_000_000
"""Most bytes per weight file, as in ``save_pretrained``."""

_STAGES = ".stages"
_KEY = ".stage-key"

RESULT = ""
"""Name of the result among the stages."""

VERSION = 3
"""Raised whenever the same recipe may give other bytes."""


def merge(
    recipe: Path | Mapping[str, Any] | MergeRecipe,
    out: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    shard_size: int = SHARD_SIZE,
    verify: bool = False,
    allow_pickle: bool = False,
    strict: bool = False,
    unsafe_truncate_embeddings: bool = False,
    helpers: Helpers | None = None,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Merge models into a Hugging Face folder that transformers and vLLM can load.

    Arithmetic is float32 with one rounding to the output's type. Inputs and output are streamed in
    tiles, so memory does not grow with the models. An interrupted merge continues after the last
    complete file. With `MergeRecipe.adapter` the result is a LoRA adapter.

    Args:
        recipe: a YAML file in mergekit's format or ours, its parsed content, or a recipe.
        out: the output folder; it appears complete or not at all, and replaces an older merge.
            Stages are written to a folder next to it, which is removed at the end.
        seed: for methods with random draws.
        threads: number of threads; None: one per processor.
        shard_size: most bytes per weight file.
        verify: check that transformers finds every tensor it looks for, and read the output back
            from disk to compare it.
        allow_pickle: also read weights in ``.bin`` and ``.pt`` files (data only).
        strict: refuse a mergekit recipe with keys that have no effect.
        unsafe_truncate_embeddings: cut embeddings and heads to the fewest rows of any model.
        helpers: processes elsewhere that may write some of the files; they must see the models and
            ``out`` under the same paths. The bytes stay the same.
        progress: called with the bytes written.

    Returns:
        Notes on decisions that may surprise, one sentence each.

    Raises:
        SpecError: the recipe is wrong, or ``out`` cannot be used.
        ModelError: a model is incomplete or broken, or the models do not fit together.
        ResourceError: the disk is full or not writable.
    """
    if shard_size < 1 or (threads is not None and threads < 1):
        raise SpecError(f"threads ({threads}) and shard_size ({shard_size}) must be at least 1.")
    settings = _Settings(seed, threads, shard_size, verify, allow_pickle, helpers)
    out, recipe = _place(out), read_recipe(recipe, strict=strict)
    recipe = recipe.truncating() if unsafe_truncate_embeddings else recipe
    if recipe.adapter is not None:
        return merge_adapters(
            recipe,
            out,
            seed=seed,
            threads=threads,
            verify=verify,
            allow_pickle=allow_pickle,
            progress=progress,
        )
    if not recipe.stages:
        with closing(plan_merge(recipe, allow_pickle=allow_pickle)) as plan:
            return _carry_out(plan, out, settings, progress)
    planned = plan_stages(recipe, allow_pickle=allow_pickle)
    # Check the output folders before spending hours on stages.
    for plan in planned.values():
        lineage.check_target(plan, out)
    stages = out.with_name(out.name + _STAGES)
    _check_place_of_stages(stages, planned.values())
    for plan in planned.values():
        plan.close()
    try:
        notes = _carry_out_stages(recipe, out, stages, settings, progress)
    except BaseException as error:
        if not goes_on_later(error):
            shutil.rmtree(stages, ignore_errors=True)
        raise
    shutil.rmtree(stages)
    return notes


def merge_state(
    recipe: Path | Mapping[str, Any] | MergeRecipe, *, seed: int = 0, threads: int | None = None
) -> "dict[str, torch.Tensor]":
    """Merge models into a state dict, with the same numbers as `mixmerge.merge` writes.

    Inputs are read through the page cache, so several merges of the same models read the disk once.
    Only the result is held in memory.

    Args are those of `mixmerge.merge`.

    Returns:
        Tensors by name, in the recipe's output type, for ``model.load_state_dict(...,
        assign=True)``; without a tied head.

    Raises:
        SpecError: the recipe is wrong.
        ModelError: a model is incomplete or broken, or the models do not fit together.
    """
    import torch

    with closing(plan_merge(read_recipe(recipe))) as plan:
        state = {
            output.name: torch.empty(output.shape, dtype=getattr(torch, TORCH_NAMES[output.dtype]))
            for output in plan.outputs
        }

        def fill(row: Row, parallel_map: ParallelMap, hold: int) -> None:
            place = state[row.output.name].reshape(-1).view(torch.uint8).numpy()

            def receive(start: int, content: memoryview) -> None:
                place[start : start + len(content)] = content

            compute(row, plan.recipe.declaration, seed, parallel_map, hold, receive)

        with Workers(threads) as pool:
            pool.run((math.prod(row.output.shape), partial(fill, row)) for row in plan.rows)
        plan.check_unchanged()
        return state


def plan_stages(recipe: MergeRecipe, *, allow_pickle: bool = False) -> dict[str, MergePlan]:
    """Plan every stage of a recipe and its result, from headers alone.

    So errors of later stages are found before the first one is merged.

    Returns:
        The plans by stage name, in order, the last one under `RESULT`. Inputs that are stages have
        no weights to read yet.

    Raises:
        ModelError: a model is incomplete, or models do not fit together.
        SpecError: the recipe has no value, or no valid combination of values, for a tensor.
    """
    plans: dict[str, MergePlan] = {}
    with TemporaryDirectory() as room:
        folders: dict[str, Path] = {}
        for name, stage in recipe.stages.items():
            plans[name] = plan_merge(stage, stages=folders, allow_pickle=allow_pickle)
            folders[name] = Path(room) / name
            _write_without_weights(plans[name], folders[name])
        plans[RESULT] = plan_merge(recipe, stages=folders, allow_pickle=allow_pickle)
    return plans


def _write_without_weights(plan: MergePlan, folder: Path) -> None:
    """Write the model that a plan would make, with sparse files instead of weights."""
    folder.mkdir()
    lineage.copy_donor_files(plan, folder)
    for shard in lay_out(plan.outputs, plan.nbytes):
        (folder / shard.file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / shard.file).open("wb") as stream:
            stream.write(shard.header)
            stream.truncate(shard.nbytes)


def _place(out: Path) -> Path:
    try:
        out.exists()
        return out.resolve()
    except (OSError, RuntimeError) as error:  # too long for the disk, or a circle of links
        raise SpecError(f"{out}: not a usable path for a model ({error.args[-1]}).") from error


def _check_place_of_stages(stages: Path, planned: Iterable[MergePlan]) -> None:
    """Refuse a stages folder that contains anything but stages."""
    inputs = [folder.resolve() for plan in planned for folder in plan.folders]
    taken = [path for path in inputs if path == stages or stages in path.parents]
    if stages.is_dir() and not taken:
        taken = [entry for entry in sorted(stages.iterdir()) if not _is_of_a_stage(entry)]
    elif stages.exists() and not taken:
        taken = [stages]
    if taken:
        raise SpecError(f"{taken[0]}: the stages would be written here; move it away.")


def _is_of_a_stage(entry: Path) -> bool:
    if entry.is_dir():
        return entry.name.endswith(PARTIAL) or (entry / lineage.RECIPE_FILE).is_file()
    return entry.name.endswith((_KEY, _KEY + PARTIAL))


def _carry_out_stages(
    recipe: MergeRecipe, out: Path, stages: Path, settings: "_Settings", progress: Progress
) -> tuple[str, ...]:
    """Merge all stages in order, and then the result.

    Returns:
        The notes of all of them.
    """
    earlier: dict[str, MergePlan] = {}
    folders = {name: stages / name for name in recipe.stages}
    for name, stage in [*recipe.stages.items(), (RESULT, recipe)]:
        made = plan_merge(stage, stages=folders, allow_pickle=settings.allow_pickle)
        with closing(made) as plan:
            if name == RESULT:
                own = _carry_out(plan, out, settings, progress, RESULT, earlier, folders)
                before = [note for stage in earlier.values() for note in stage.notes]
                return tuple(dict.fromkeys([*before, *own]))
            note, key = stages / (name + _KEY), _key(plan, settings, name)
            known = note.read_text(encoding="utf-8") if note.is_file() else None
            if not folders[name].exists() or known != key:
                _carry_out(plan, folders[name], settings, progress, name, earlier, folders)
            write_text(note, key)
            earlier[name] = plan
    raise AssertionError("the result is the last of them")


@dataclass(frozen=True)
class _Settings:
    """How to merge, apart from the recipe."""

    seed: int
    threads: int | None
    shard_size: int
    verify: bool
    allow_pickle: bool
    helpers: Helpers | None


def _carry_out(
    plan: MergePlan,
    out: Path,
    settings: _Settings,
    progress: Progress,
    stage: str = RESULT,
    earlier: Mapping[str, MergePlan] | None = None,
    folders: Mapping[str, Path] | None = None,
) -> tuple[str, ...]:
    """Write the model of one plan; ``earlier`` plans were merged into ``folders``.

    Returns:
        The plan's notes, and what could not be checked.
    """
    seed = seed_of_stage(settings.seed, stage)
    lineage.check_target(plan, out)
    if settings.verify and (unchecked := check_architecture(plan.config, plan.outputs)):
        note = f"whether the model can be loaded was not checked: {unchecked}"
        plan = replace(plan, notes=(*plan.notes, note))
    shards = lay_out(plan.outputs, settings.shard_size)
    with workplace(out, _key(plan, settings, stage)) as folder:
        forget_claims(folder)
        if settings.helpers is None or len(shards) == 1:
            write_shards(
                plan,
                shards,
                folder,
                seed=seed,
                threads=settings.threads,
                verify=settings.verify,
                progress=progress,
            )
        else:
            job = Job(
                recipe=plan.recipe.model_dump(mode="json", exclude_defaults=True),
                folder=str(Path.cwd()),
                stages={name: str(path) for name, path in (folders or {}).items()},
                seed=seed,
                shard_size=settings.shard_size,
                verify=settings.verify,
                allow_pickle=settings.allow_pickle,
            )
            write_together(plan, job, folder, settings.helpers, settings.threads, progress)
        plan.check_unchanged()
        if needs_index(shards):
            write_text(folder / INDEX, index_text(plan.outputs, shards))
        lineage.copy_donor_files(plan, folder)
        lineage.write_lineage(plan, folder, settings.seed, earlier)
    return plan.notes


def _key(plan: MergePlan, settings: _Settings, stage: str) -> str:
    """Hash everything that decides the bytes of the weights, and for a stage of all files."""
    inputs = [checkpoint.fingerprint for checkpoint in plan.checkpoints]
    recipe = recipe_text(plan.recipe)
    tokens = plan.vocabulary.fingerprint if plan.vocabulary is not None else None
    known = [VERSION, recipe, settings.seed, settings.shard_size, inputs, tokens]
    if stage != RESULT:
        known += [stage, lineage.fingerprint_of_small_files(plan)]
    return fingerprint(known)
