"""Look at models before merging them: what they hold, and whether they fit together."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mixmerge.merge.checkpoint import Checkpoint
from mixmerge.merge.compatibility import problems
from mixmerge.merge.schedules import layers
from mixmerge.records.row import RowModel


class ModelSummary(RowModel):
    """What the headers and the configuration of one model say."""

    name: str
    """The last parts of its path: as many as tell the models apart."""
    path: Path
    architecture: str
    """The model class, for example ``CohereForCausalLM``; empty where it is not named."""
    tensors: int
    parameters: int
    """Elements of all tensors; a tied head counts once."""
    nbytes: int
    """Bytes of weights."""
    dtypes: dict[str, int]
    """Tensors of each type (safetensors spelling), most first."""
    layers: int
    """Layers of the longest stack; 0 where no tensor has a number in its name."""
    tied: bool
    """The head is the embedding: the configuration says so."""
    vocabulary: int
    """Tokens of ``tokenizer.json``; 0 where there is none."""


class Inspection(RowModel):
    """What several models hold, and why they cannot be merged, if they cannot."""

    models: tuple[ModelSummary, ...]
    problems: tuple[str, ...]
    """One sentence for each tensor or file that does not fit; empty: they can be merged."""
    notes: tuple[str, ...]
    """Differences that do not prevent a merge, but may make it useless."""

    @property
    def compatible(self) -> bool:
        """Whether the models can be merged."""
        return not self.problems


def inspect(models: Sequence[Path]) -> Inspection:
    """Read the headers of models and compare them with the first.

    Args:
        models: one or more model folders.

    Raises:
        ModelError: a folder is not a model, or a header is wrong.
    """
    names = _short_names(models)
    checkpoints = [Checkpoint(name, path) for name, path in zip(names, models, strict=True)]
    return Inspection(
        models=tuple(_summary(model) for model in checkpoints),
        problems=tuple(problems(checkpoints)),
        notes=tuple(
            note for other in checkpoints[1:] for note in _config_notes(checkpoints[0], other)
        ),
    )


def _short_names(models: Sequence[Path]) -> list[str]:
    """Name each folder by as many of its last parts as tell all of them apart."""
    parts = [path.resolve().parts for path in models]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in models]


def _summary(model: Checkpoint) -> ModelSummary:
    stored = model.tensors.values()
    named = model.config.get("architectures") or [""]
    return ModelSummary(
        name=model.name,
        path=model.path,
        architecture=str(named[0]),
        tensors=len(stored),
        parameters=sum(tensor.size for tensor in stored),
        nbytes=model.nbytes,
        dtypes=dict(Counter(tensor.dtype for tensor in stored).most_common()),
        layers=max(layers(model.tensors).values(), default=0),
        tied=model.ties_embeddings,
        vocabulary=len(model.vocabulary),
    )


def _config_notes(first: Checkpoint, other: Checkpoint) -> list[str]:
    """Name every setting of the configuration that differs, in the order of the keys."""
    keys = dict.fromkeys([*first.config, *other.config])
    passing = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "model_type"}
    return [
        f"config.json: {key} is {first.config.get(key)!r} in {first.name} "
        f"and {other.config.get(key)!r} in {other.name}"
        for key in keys
        if key not in passing and first.config.get(key) != other.config.get(key)
    ]
