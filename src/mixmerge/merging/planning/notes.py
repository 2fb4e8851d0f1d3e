"""Notes on decisions that may surprise users, for the screen and the model card."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixmerge.hub import module_folders
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import code_needed, has_tokenizer, lacks_tokens
from mixmerge.merging.models.layout import belongs_to_embedding, head
from mixmerge.merging.planning.architecture import QUANTISATION
from mixmerge.merging.planning.composition import Composition
from mixmerge.merging.recipes.recipe import MergeRecipe


def buffer_notes(
    models: Sequence[Checkpoint], donor: Checkpoint, untrained: Sequence[str]
) -> Iterator[str]:
    """Yield notes on stored buffers and counters."""
    if buffers := list(dict.fromkeys(name for model in models for name in model.buffers)):
        what = "left out, since loaders compute this buffer themselves"
        yield f"tensor {first_of(buffers)}: {what}"
    if untrained:
        what = f"is not a weight; copied from {donor.name} if it has it"
        yield f"tensor {first_of(untrained)}: {what}"


def donor_notes(
    models: Sequence[Checkpoint], donor: Checkpoint, config: Mapping[str, Any]
) -> Iterator[str]:
    """Yield notes on what the output lacks of the donor's files, or still needs."""
    gone = [key for key in QUANTISATION if key in donor.config and key not in config]
    if gone:
        yield f"config.json: {gone[0]} is left out, since no weight is quantised"
    for code in code_needed(donor.path, config):
        if code.endswith(".py"):
            yield (
                f"the output needs {code}, which is code and was not copied: copy it by hand from "
                f"{donor.path}, with what it imports"
            )
        else:
            yield f"the output needs code of {code}, which loaders take from the hub"
    with_modules = [model.name for model in models if module_folders(model.path)]
    if with_modules and donor.name not in with_modules:
        yield (
            f"{with_modules[0]} is a sentence-transformers model and {donor.name} is not, so "
            "neither is the output"
        )


def tokenizer_notes(models: Sequence[Checkpoint], donor: Checkpoint) -> list[str]:
    """Return notes on models without a tokenizer."""
    bare = [model.name for model in models if not has_tokenizer(model.tokenizer_folder)]
    if donor.name in bare:
        return [f"{donor.name} has no tokenizer, so the output has none"]
    notes = [
        f"{name} has no tokenizer; its ids are taken to be those of {donor.name}" for name in bare
    ]
    if lacks_tokens(donor.tokenizer_folder):
        notes.append(f"the tokenizer of {donor.name} has no vocabulary file that mixmerge knows")
    return notes


def slice_notes(recipe: MergeRecipe, composition: Composition) -> list[str]:
    """Return notes on what comes from the first slice only."""
    if not recipe.slices:
        return []
    sources = [[source.model for source in part.sources] for part in recipe.slices]
    if sources[0] == sources[-1]:
        return []
    notes = []
    strange = [name for name in composition.before if not belongs_to_embedding(name)]
    if strange:
        notes.append(
            f"tensor {first_of(strange)}: outside the layers and neither embedding nor norm "
            f"nor head; from the first slice ({', '.join(sources[0])})"
        )
    if head(origin.name for origin in composition.tensors) is None:
        what = "the head is tied to the embedding, so it comes from the first slice"
        notes.append(f"{what} ({', '.join(sources[0])})")
    return notes


def first_of(names: Sequence[str]) -> str:
    """Return the first name, and how many follow."""
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "")
