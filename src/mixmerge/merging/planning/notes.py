"""What a plan decided and might surprise, in sentences: for the screen and the model card."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import code_needed, has_tokenizer, lacks_tokens, modules
from mixmerge.merging.models.layout import belongs_to_embedding, head
from mixmerge.merging.planning.architecture import QUANTISATION
from mixmerge.merging.planning.composition import Composition
from mixmerge.merging.recipes.recipe import MergeRecipe


def buffer_notes(
    models: Sequence[Checkpoint], donor: Checkpoint, untrained: Sequence[str]
) -> Iterator[str]:
    """Say which tensors are no weights, and what became of them."""
    if buffers := list(dict.fromkeys(name for model in models for name in model.buffers)):
        what = "left out, since loaders compute this buffer themselves"
        yield f"tensor {first_of(buffers)}: {what}"
    if untrained:
        what = f"is no weight; copied from {donor.name} where it has it"
        yield f"tensor {first_of(untrained)}: {what}"


def donor_notes(
    models: Sequence[Checkpoint], donor: Checkpoint, config: Mapping[str, Any]
) -> Iterator[str]:
    """Say what of the donor's folder the output does not have, or cannot do without."""
    gone = [key for key in QUANTISATION if key in donor.config and key not in config]
    if gone:
        yield f"config.json: {gone[0]} is left out, since the weights are plain numbers"
    for code in code_needed(donor.path, config):
        if code.endswith(".py"):
            yield (
                f"the output needs {code}, which is code and was not copied: copy it by hand from "
                f"{donor.path}, with what it imports"
            )
        else:
            yield f"the output needs code of {code}, which loaders take from the hub"
    with_modules = [model.name for model in models if modules(model.path)]
    if with_modules and donor.name not in with_modules:
        yield (
            f"{with_modules[0]} is a sentence-transformers model and {donor.name} is not, so the "
            "output is none"
        )


def tokenizer_notes(models: Sequence[Checkpoint], donor: Checkpoint) -> list[str]:
    """Say which models lack a tokenizer, and what that means for the output's."""
    bare = [model.name for model in models if not has_tokenizer(model.tokenizer_folder)]
    if donor.name in bare:
        return [f"{donor.name} has no tokenizer, so the output has none"]
    notes = [
        f"{name} has no tokenizer; its ids are taken to be those of {donor.name}" for name in bare
    ]
    if lacks_tokens(donor.tokenizer_folder):
        notes.append(f"the tokenizer of {donor.name} has no vocabulary file that is known here")
    return notes


def slice_notes(recipe: MergeRecipe, composition: Composition) -> list[str]:
    """Say what a recipe of several slices decides without saying so."""
    if not recipe.slices:
        return []
    sources = [[source.model for source in part.sources] for part in recipe.slices]
    if sources[0] == sources[-1]:
        return []
    notes = []
    strange = [name for name in composition.before if not belongs_to_embedding(name)]
    if strange:
        notes.append(
            f"tensor {first_of(strange)}: outside of the layers and neither embedding nor norm "
            f"nor head; from the first slice ({', '.join(sources[0])})"
        )
    if head(origin.name for origin in composition.tensors) is None:
        notes.append(
            f"the head is the embedding, so it is that of the first slice ({', '.join(sources[0])})"
        )
    return notes


def first_of(names: Sequence[str]) -> str:
    """Return the first of some names, and how many follow."""
    return names[0] + (f" and {len(names) - 1} more" if names[1:] else "")
