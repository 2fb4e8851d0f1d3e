"""What a merged model carries besides weights: configuration, tokenizer, and where it came from."""

import json
import platform
import shutil
from collections.abc import Container, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge.merge.chat_template import write_template
from mixmerge.merge.plan import MergePlan
from mixmerge.merge.recipe import BaseInput, MergeRecipe, ModelInput
from mixmerge.merge.recipe_file import recipe_text
from mixmerge.merge.references import parse
from mixmerge.merge.stages import stage_of

RECIPE_FILE = "mixmerge_recipe.yml"
"""The recipe in mixmerge's own form; ``mixmerge merge`` reads it back."""

_DONATED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)


def copy_donor_files(plan: MergePlan, folder: Path) -> None:
    """Write configuration, tokenizer, chat template: the donor's, or what the recipe says."""
    donor = plan.donor.path
    for name in _DONATED:
        if (donor / name).is_file():
            shutil.copyfile(donor / name, folder / name)
    if plan.vocabulary is not None:
        plan.vocabulary.write(folder, plan.donor.name)
    if plan.chat_template is not None:
        write_template(plan.chat_template, folder)
    _write(folder / "config.json", json.dumps(plan.config, indent=2, ensure_ascii=False) + "\n")


def write_lineage(plan: MergePlan, folder: Path, seed: int) -> None:
    """Write the recipe and the model card.

    Args:
        plan: the merge that was carried out.
        folder: the model folder, still under its temporary name.
        seed: of the merge.
    """
    text = recipe_text(_from_anywhere(plan.recipe))
    _write(folder / RECIPE_FILE, text)
    _write(folder / "README.md", _card(plan, text, seed))


def _from_anywhere(recipe: MergeRecipe, stages: Iterable[str] = ()) -> MergeRecipe:
    """Return a recipe whose folders are found from any folder it is read in."""
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


def _card(plan: MergePlan, text: str, seed: int) -> str:
    method = plan.recipe.declaration
    inputs = [
        f"| {model.name} | `{model.path}` | `{model.fingerprint}` |" for model in plan.checkpoints
    ]
    versions = [f"| {name} | {number} |" for name, number in _versions().items()]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "tags: [merge, mixmerge]",
            "---",
            "",
            f"# A merge of {', '.join(model.name for model in plan.recipe.models)}",
            "",
            f"Merged by mixmerge with `{method.name}` ({method.paper}), seed {seed}.",
            f"Configuration, tokenizer and chat template are those of `{plan.donor.name}`.",
            "",
            f"To merge again: `mixmerge merge {RECIPE_FILE} OUT --seed {seed}`.",
            "",
            "```yaml",
            text.rstrip(),
            "```",
            "",
            "| input | folder | fingerprint of its weights |",
            "|---|---|---|",
            *inputs,
            "",
            "| made with | version |",
            "|---|---|",
            *versions,
            "",
        ]
    )


def _versions() -> dict[str, str]:
    return {
        "mixmerge": version("mixmerge"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
