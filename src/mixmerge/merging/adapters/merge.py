"""Merge adapters into one adapter."""

import shutil
from contextlib import closing
from pathlib import Path

from mixmerge.fingerprint import fingerprint
from mixmerge.merging.adapters.folder import Target, notes_on_vllm, write_adapter
from mixmerge.merging.adapters.merged import adapted_inputs, merged_changes
from mixmerge.merging.models.donor_files import donated
from mixmerge.merging.output import lineage
from mixmerge.merging.output.workplace import workplace
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import recipe_text
from mixmerge.progress import Progress, silent

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""Types of factors, as recipes and as safetensors spell them."""


def merge_adapters(
    recipe: MergeRecipe,
    out: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    verify: bool = False,
    allow_pickle: bool = False,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Carry out a recipe with `MergeRecipe.adapter`; see `mixmerge.merging.engine.merge`.

    Returns:
        Notes, the last of which says what was lost.

    Raises:
        SpecError: the recipe has no exact sum and gives no rank, or ``out`` cannot be used.
        ModelError: the models are not adapters of one base, or one of them is broken.
    """
    assert recipe.adapter is not None
    with closing(plan_merge(recipe, allow_pickle=allow_pickle)) as plan:
        changes = merged_changes(plan, recipe.adapter.most, seed)
        lineage.check_target(plan, out)
        first = adapted_inputs(plan)[0]
        inputs = [model.fingerprint for model in plan.checkpoints]
        with workplace(out, fingerprint([recipe_text(recipe), seed, inputs])) as folder:
            report = write_adapter(
                changes,
                Target(first.base, first.unadapted),
                folder,
                recipe.declaration,
                dtype=DTYPES[recipe.dtype or "float32"],
                seed=seed,
                threads=threads,
                verify=verify,
                progress=progress,
            )
            plan.check_unchanged()
            for name, file in donated(first.adapter.folder).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, folder / name)
            notes = (*changes.notes, *notes_on_vllm(changes), report.sentence)
            lineage.write_lineage(plan, folder, seed, notes=notes)
    return notes
