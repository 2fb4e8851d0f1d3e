"""The output folder besides weights: its location, small files, recipe and model card."""

import json
import platform
import shutil
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge.errors import SpecError
from mixmerge.files import PARTIAL
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import donated
from mixmerge.merging.models.references import parse
from mixmerge.merging.planning.plan import MergePlan
from mixmerge.merging.recipes.recipe import BaseInput, MergeRecipe, ModelInput, stage_of
from mixmerge.merging.recipes.recipe_file import recipe_text
from mixmerge.merging.vocabularies.chat_template import write_template

RECIPE_FILE = "mixmerge_recipe.yml"
"""The recipe in mixmerge's own format, which ``mixmerge merge`` reads."""

ADAPTER_REPORT = "mixmerge_adapter.json"
"""What an adapter that was merged or extracted holds, and what it lost."""


def is_ours(folder: Path) -> bool:
    """Whether a folder was written by a merge or an extraction."""
    return any((folder / name).is_file() for name in (RECIPE_FILE, ADAPTER_REPORT))


def check_target(plan: MergePlan, out: Path) -> None:
    """Check that the output folder is missing, empty, or an older merge, and not an input.

    Raises:
        SpecError: the folder is, contains or lies inside an input, or is not a merge.
    """
    target = out.resolve()
    unfinished = target.parent / (target.name + PARTIAL)
    for folder in plan.folders:
        path = folder.resolve()
        written = path in (target, unfinished) or {target, unfinished} & {*path.parents}
        if written or path in target.parents:
            raise SpecError(
                f"{out}: is, contains or lies inside the input {folder}; choose another folder."
            )
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not is_ours(out))):
        raise SpecError(f"{out}: exists and is not a merged model; remove it or choose another.")


def _donor_files(plan: MergePlan) -> dict[str, Path]:
    # An adapter's tokenizer wins if it has tokens that its model lacks.
    return donated(plan.donor.path) | donated(plan.donor.tokenizer_folder)


def fingerprint_of_small_files(plan: MergePlan) -> str:
    """Return a hash of everything that `copy_donor_files` writes from."""
    folder = None if plan.vocabulary is None else plan.vocabulary.folder
    sources = [_donor_files(plan), {} if folder is None else donated(folder)]
    files = [{name: file_fingerprint(file) for name, file in some.items()} for some in sources]
    return fingerprint([json.dumps(plan.config), plan.chat_template, files])


def copy_donor_files(plan: MergePlan, folder: Path) -> None:
    """Write configuration, tokenizer and chat template."""
    for name, file in _donor_files(plan).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    if plan.vocabulary is not None:
        plan.vocabulary.write(folder, plan.donor.name)
    if plan.chat_template is not None:
        write_template(plan.chat_template, folder)
    config = json.dumps(plan.config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(config, encoding="utf-8")


def write_lineage(
    plan: MergePlan,
    folder: Path,
    seed: int,
    stages: Mapping[str, MergePlan] | None = None,
    notes: Iterable[str] | None = None,
) -> None:
    """Write the recipe and the model card, which also lists the inputs of earlier stages.

    ``notes`` are those of the plan by default.
    """
    text = recipe_text(_from_anywhere(plan.recipe))
    (folder / RECIPE_FILE).write_text(text, encoding="utf-8")
    made = {*plan.recipe.stages}
    inputs = [line for stage in (plan, *(stages or {}).values()) for line in _inputs(stage, made)]
    method, adapter = plan.recipe.declaration, plan.recipe.adapter is not None
    said = [
        f"Merged by mixmerge with `{method.name}` ({method.paper}), seed {seed}.",
        *([] if adapter else [_origin_of_files(plan)]),
        *(f"Note: {note}." for note in (plan.notes if notes is None else notes)),
        "",
        f"To merge again: `mixmerge merge {RECIPE_FILE} OUT --seed {seed}`.",
        "",
        "```yaml",
        text.rstrip(),
        "```",
    ]
    title = f"A merge of {', '.join(model.name for model in plan.recipe.models)}"
    write_card(folder, title, said, inputs, library="peft" if adapter else "transformers")


def write_card(
    folder: Path, title: str, said: Iterable[str], inputs: Iterable[str], *, library: str
) -> None:
    """Write a model card: what was done, the inputs with their fingerprints, and the versions."""
    lines = [
        "---",
        f"library_name: {library}",
        "tags: [merge, mixmerge]",
        "---",
        "",
        f"# {title}",
        "",
        *said,
        "",
        "| input | folder | fingerprint of its weights |",
        "|---|---|---|",
        *dict.fromkeys(inputs),
        "",
        "| made with | version |",
        "|---|---|",
        f"| mixmerge | {version('mixmerge')} |",
        f"| numpy | {np.__version__} |",
        f"| python | {platform.python_version()} |",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _from_anywhere(recipe: MergeRecipe, stages: Iterable[str] = ()) -> MergeRecipe:
    """Return a recipe with absolute paths."""
    known = {*stages, *recipe.stages}

    def moved(item: BaseInput | ModelInput) -> Any:
        return item.model_copy(update={"path": _whole_reference(item.path, known)})

    changes: dict[str, Any] = {
        "models": tuple(map(moved, recipe.models)),
        "base": moved(recipe.base) if recipe.base is not None else None,
        "stages": {name: _from_anywhere(stage, known) for name, stage in recipe.stages.items()},
    }
    if recipe.tokenizer is not None and recipe.tokenizer.source in recipe.references:
        source = _whole_reference(recipe.tokenizer.source, known)
        changes["tokenizer"] = recipe.tokenizer.model_copy(update={"source": source})
    return recipe.model_copy(update=changes)


def _whole_reference(text: str, stages: Container[str]) -> str:
    if stage_of(text) in stages:
        stage, plus, adapter = text.partition("+")
        return stage + plus + (_whole(adapter) if adapter else "")
    return "+".join(_whole(part) for part in parse(text) if part is not None)


def _whole(text: str) -> str:
    folder = Path(text).expanduser()
    return str(folder.absolute()) if folder.exists() else text


def _inputs(plan: MergePlan, stages: Container[str]) -> list[str]:
    """Return a table row for each input: name, folder and fingerprint."""
    lines = []
    for item, model in zip(plan.recipe.inputs, plan.checkpoints, strict=True):
        stage = stage_of(item.path)
        place = f"stage `{stage}`" if stage in stages else f"`{model.path}`"
        lines.append(input_line(model, place))
    return lines


def input_line(model: Checkpoint, place: str) -> str:
    """Return an input's row of a model card."""
    return f"| {model.name} | {place} | `{model.fingerprint}` |"


def _origin_of_files(plan: MergePlan) -> str:
    donor = f"`{plan.donor.name}`"
    tokenizer = "the donor's" if plan.recipe.tokenizer is None else plan.recipe.tokenizer.source
    template = "the donor's" if plan.recipe.chat_template is None else "the recipe's"
    if tokenizer == template:
        return f"Configuration, tokenizer and chat template are those of {donor}."
    return f"Configuration of {donor}; tokenizer: {tokenizer}; chat template: {template}."
