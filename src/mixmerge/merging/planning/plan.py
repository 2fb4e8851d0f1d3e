"""The plan of a merge: one row per output tensor, checked before any weight is read."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.methods.method import Arguments
from mixmerge.merging.models import layout
from mixmerge.merging.models.checkpoint import Checkpoint, with_common_names
from mixmerge.merging.models.references import locate, open_model
from mixmerge.merging.models.safetensors_io import TORCH_NAMES, NewTensor
from mixmerge.merging.models.sources import Source, StoredSource
from mixmerge.merging.planning import compatibility
from mixmerge.merging.planning.architecture import output_config
from mixmerge.merging.planning.composition import Origin, Part, compose
from mixmerge.merging.planning.copies import original_of
from mixmerge.merging.planning.notes import buffer_notes, donor_notes, slice_notes, tokenizer_notes
from mixmerge.merging.recipes.recipe import MergeRecipe, stage_of, with_folder
from mixmerge.merging.vocabularies.chat_template import choose, template_of, template_of_adapter
from mixmerge.merging.vocabularies.vocabulary import Vocabulary, align
from mixmerge.merging.vocabularies.vocabulary_rows import RowsSource, first_rows

_DTYPES = {name: dtype for dtype, name in TORCH_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One output tensor and its inputs."""

    output: NewTensor
    models: tuple[Source, ...]
    """The tensor of each model, in the recipe's order."""
    base: Source | None
    positions: tuple[int, ...]
    """Index of each model in the recipe, which keys its random draws."""
    arguments: Arguments | None
    """For the method; None if the tensor is copied."""
    draws: str
    """Name that keys its random draws: its own, or that of its original."""

    @property
    def inputs(self) -> tuple[Source, ...]:
        """All tensors that are read."""
        return self.models if self.base is None else (self.base, *self.models)


@dataclass(frozen=True)
class MergePlan:
    """A recipe with its models, and what to do for every output tensor."""

    recipe: MergeRecipe
    checkpoints: tuple[Checkpoint, ...]
    """The base, if there is one, and the models."""
    rows: tuple[Row, ...]
    config: dict[str, Any]
    """The output's configuration."""
    vocabulary: Vocabulary | None = None
    """The output's tokens, if the recipe aligns vocabularies."""
    chat_template: str | None = None
    """None: the one that is copied with the tokenizer."""
    notes: tuple[str, ...] = ()
    """Decisions that may surprise, one sentence each."""

    @property
    def donor(self) -> Checkpoint:
        """The model whose configuration and tokenizer the output gets."""
        name = self.recipe.donor.name
        return next(model for model in self.checkpoints if model.name == name)

    @property
    def folders(self) -> list[Path]:
        """All folders that are read: of models, adapters and the tokenizer."""
        tokenizer = [] if self.vocabulary is None else [self.vocabulary.folder]
        return [*(path for model in self.checkpoints for path in model.folders), *tokenizer]

    def close(self) -> None:
        """Close the models' files."""
        for checkpoint in self.checkpoints:
            checkpoint.close()

    def check_unchanged(self) -> None:
        """Refuse models whose files changed since planning.

        Raises:
            ModelError: a file was modified or replaced.
        """
        for checkpoint in self.checkpoints:
            checkpoint.check_unchanged()

    @property
    def outputs(self) -> list[NewTensor]:
        """All tensors that will be written."""
        return [row.output for row in self.rows]

    @property
    def nbytes(self) -> int:
        """Bytes of weights to write."""
        return sum(output.nbytes for output in self.outputs)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pause garbage collection: a plan has no cycles, and half its time would go there."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collection()
def plan_merge(
    recipe: MergeRecipe, *, stages: Mapping[str, Path] | None = None, allow_pickle: bool = False
) -> MergePlan:
    """Plan a merge from the headers of its models, and of stages that were merged before.

    Raises:
        ModelError: a model is incomplete, or the models do not fit together.
        SpecError: the recipe has no value, or no valid combination of values, for a tensor.
    """
    folders = stages or {}
    for name in map(stage_of, recipe.references):
        if name in recipe.stages and name not in folders:
            raise SpecError(f"stage `{name}` must be merged first, and its folder given.")
    checkpoints = with_common_names(
        [
            open_model(model.name, with_folder(model.path, folders), allow_pickle=allow_pickle)
            for model in recipe.inputs
        ]
    )
    found = compatibility.model_problems(checkpoints)
    differ = [] if recipe.tokenizer is not None else compatibility.vocabulary_problems(checkpoints)
    if not recipe.unsafe_truncate_embeddings:
        found += differ
    _refuse(found)
    models = {model.name: model for model in checkpoints}
    composition = compose(recipe, models)
    vocabulary = None
    if recipe.tokenizer is not None:
        elsewhere = recipe.references[len(recipe.inputs) :]
        source = locate(with_folder(elsewhere[0], folders)) if elsewhere else None
        vocabulary = align(recipe.tokenizer, checkpoints, recipe.donor.name, source=source)
    planner = _Planner(recipe, models, vocabulary)
    rows = tuple(filter(None, map(planner.row, composition.tensors)))
    _refuse(planner.problems)
    donor = models[recipe.donor.name]
    config = output_config(
        donor.config if vocabulary is None else vocabulary.with_new_ids(donor.config, donor.name),
        [row.output for row in rows],
        [(models[name], layer) for name, layer in composition.layers],
        ties_head=planner.ties_head,
    )
    template = None
    if recipe.chat_template is not None:
        template = choose(recipe.chat_template, map(template_of, checkpoints))
    elif vocabulary is None or vocabulary.folder == donor.tokenizer_folder:
        template = template_of_adapter(donor)
    notes = [*recipe.notes, *planner.notes, *slice_notes(recipe, composition)]
    if recipe.unsafe_truncate_embeddings:
        notes += [f"unsafe: {text}" for text in differ]
    if vocabulary is None:
        notes += tokenizer_notes(checkpoints, donor)
    notes += donor_notes(checkpoints, donor, config)
    notes += buffer_notes(checkpoints, donor, planner.untrained)
    return MergePlan(recipe, tuple(checkpoints), rows, config, vocabulary, template, tuple(notes))


def _refuse(found: Sequence[str]) -> None:
    if found:
        more = f" ({len(found) - 1} more; `mixmerge inspect` lists all.)" if found[1:] else ""
        raise ModelError(f"The models do not fit together: {found[0]}.{more}")


class _Planner:
    """Makes rows, and collects problems and notes."""

    def __init__(
        self, recipe: MergeRecipe, models: Mapping[str, Checkpoint], vocabulary: Vocabulary | None
    ) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.untrained: list[str] = []
        self.ties_head: bool | None = None
        self._dtype = recipe.dtype
        tensors = [each for model in models.values() for each in model.tensors.items()]
        self._modules = {name: tensor.module for name, tensor in tensors}
        self._vocabulary = vocabulary
        truncates = recipe.unsafe_truncate_embeddings and vocabulary is None
        tables = {layout.embedding(model.tensors, model.config) for model in models.values()}
        self._truncated = tables if truncates else None
        self._parts = [
            (Part(recipe, part), [models[source.model] for source in part.sources])
            for part in recipe.parts
        ]

    def row(self, origin: Origin) -> Row | None:
        """Return the row of a tensor, or None if it is not stored or has a problem."""
        part, models = self._parts[origin.part]
        names = [*map(compatibility.counterpart, models, origin.inputs)]
        found = self._found(origin, names)
        lacks = any(source is None or source.dtype in compatibility.COPIED for source in found)
        if lacks and layout.is_untrained(origin.name, models[0].config):
            return self._untrained(origin, found)
        owners = [model.name for model in models]
        wrong = compatibility.tensor_problems(
            origin.name, list(zip(owners, names, found, strict=True))
        )
        if wrong:
            self.problems += wrong
            return None
        sources = [source for source in found if source is not None]
        # Originals are in the first part: a copy from other models is not tied.
        same_models = models == self._parts[0][1]
        original = original_of(origin.name, models) if same_models else None
        if original is not None:
            return self._copy(origin, original, models)
        if layout.is_head(origin.name):
            self._look_at_head(origin, models, names)
        return self._row(origin, part, sources)

    def _untrained(self, origin: Origin, found: Sequence[Source | None]) -> Row:
        """Return a row that copies the preferred model's tensor."""
        self.untrained.append(origin.name)
        part, models = self._parts[origin.part]
        names = [model.name for model in models]
        order = sorted(zip(names, found, strict=True), key=lambda pair: pair[0] != part.preferred)
        source = next(source for _, source in order if source is not None)
        output = self._output(origin.name, source.dtype, source.shape)
        return Row(output, (source,), None, part.positions, None, origin.name)

    def _copy(self, origin: Origin, original: str, models: Sequence[Checkpoint]) -> Row | None:
        """Return the row of a copy of another tensor, if the output needs it."""
        if any(origin.name not in model.tensors for model in models):  # some load without it
            self.ties_head = layout.is_head(origin.name) or self.ties_head
            what = f"equals {original} wherever it is stored, so the output has it once"
            self.notes.append(f"tensor {origin.name}: {what}")
            return None
        first = origin._replace(name=original, part=0, inputs=(original,) * len(models))
        found = self._found(first, [compatibility.counterpart(model, original) for model in models])
        sources = [source for source in found if source is not None]
        row = self._row(first, self._parts[0][0], sources)
        return replace(row, output=replace(row.output, name=origin.name))

    def _found(self, origin: Origin, names: Sequence[str | None]) -> list[Source | None]:
        """Return each model's tensor, None where it has none; rows in the output's order."""
        part, models = self._parts[origin.part]
        present: dict[str, Source] = {
            model.name: model.source(name)
            for model, name in zip(models, names, strict=True)
            if name is not None
        }
        if self._vocabulary is not None and self._vocabulary.covers(origin.name):
            aligned = self._vocabulary.aligned([*present], [*present.values()], part.preferred)
            present = dict(zip(present, aligned, strict=True))  # rows in the output's order
        elif self._is_truncated(origin.name) and all(one.shape for one in present.values()):
            present = dict(zip(present, first_rows([*present.values()]), strict=True))
            self._note_truncation(origin.name, present)
        return [present.get(model.name) for model in models]

    def _is_truncated(self, tensor: str) -> bool:
        if self._truncated is None:
            return False
        return tensor in self._truncated or layout.is_head(f"{tensor.rpartition('.')[0]}.weight")

    def _note_truncation(self, tensor: str, cut: Mapping[str, Source]) -> None:
        longer = [name for name, source in cut.items() if isinstance(source, RowsSource)]
        if longer:
            rows = cut[longer[0]].shape[0]
            self.notes.append(
                f"tensor {tensor}: unsafe: cut to {rows} rows in {', '.join(longer)}; tokens with "
                "higher ids lose theirs"
            )

    def _row(self, origin: Origin, part: Part, sources: Sequence[Source]) -> Row:
        first = sources[0]
        if first.dtype in compatibility.COPIED:
            self.problems += [
                f"tensor {source.name} holds integers, which can only be copied as they are"
                for source in sources
                if not isinstance(source, StoredSource)
            ]
            dtype, arguments = first.dtype, None
        else:
            types = {source.dtype for source in sources}
            kept = first.dtype if len(types) == 1 else "F32"
            dtype = kept if self._dtype is None else _DTYPES[self._dtype]
            arguments = part.of(origin)
        return Row(
            output=self._output(origin.name, dtype, first.shape),
            models=tuple(sources[index] for index in part.merged),
            base=None if part.base is None else sources[part.base],
            positions=part.positions,
            arguments=arguments,
            draws=origin.name,
        )

    def _output(self, name: str, dtype: str, shape: tuple[int, ...]) -> NewTensor:
        return NewTensor(name, dtype, shape, self._modules.get(name, ""))

    def _look_at_head(
        self, origin: Origin, models: Sequence[Checkpoint], names: Sequence[str | None]
    ) -> None:
        """Note that the output stores its own head, if any model does."""
        for model, name in zip(models, names, strict=True):
            if name != origin.name:
                self.ties_head = False
                self.notes.append(
                    f"tensor {origin.name}: {model.name} ties its head to {name}, which is merged "
                    "in its place; the output's head is stored and no longer tied"
                )
            elif layout.denies_tied_head(model.config):
                self.ties_head = False
            elif layout.says_tied_head(model.config):
                self.ties_head = False
                self.notes.append(
                    f"tensor {origin.name}: {model.name} says that it is the embedding and stores "
                    "another; the output's head is stored and no longer tied"
                )
