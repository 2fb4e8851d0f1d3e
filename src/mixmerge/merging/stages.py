"""Every stage of a merge planned before the first one is carried out."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from mixmerge.merging.output.lineage import copy_donor_files
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe

RESULT = ""
"""What the result is called among the stages."""


def plan_stages(recipe: MergeRecipe, *, allow_pickle: bool = False) -> dict[str, MergePlan]:
    """Plan every stage of a recipe and its result, from headers alone.

    What can be known of a later stage is checked before an earlier one is carried out.

    Returns:
        The plans by the names of the stages, in the order of their making, the last one under
        `RESULT`. Inputs that are stages themselves have no weights that could be read.

    Raises:
        ModelError: a model is incomplete, or models do not fit together.
        SpecError: the recipe has no value, or no usable combination of values, for a tensor.
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
    """Write the model that a plan would make, with a hole of the right size for its numbers."""
    folder.mkdir()
    copy_donor_files(plan, folder)
    header, end = {}, 0
    for output in (row.output for row in plan.rows):
        header[output.name] = {
            "dtype": output.dtype,
            "shape": output.shape,
            "data_offsets": [end, end + output.nbytes],
        }
        end += output.nbytes
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
