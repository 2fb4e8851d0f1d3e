"""An adapter from the difference between two models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mixmerge.errors import SpecError
from mixmerge.fingerprint import fingerprint
from mixmerge.merging.adapters.changes import (
    Change,
    Changes,
    Dense,
    Whole,
    check_ranks,
    difference,
)
from mixmerge.merging.adapters.folder import Target, notes_on_vllm, write_adapter
from mixmerge.merging.adapters.merge import DTYPES
from mixmerge.merging.models.equivalences import common_key
from mixmerge.merging.models.layout import embedding, is_head
from mixmerge.merging.output import lineage
from mixmerge.merging.output.workplace import workplace
from mixmerge.merging.planning.architecture import empty_model
from mixmerge.merging.planning.plan import MergePlan, Row, plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.merging.streaming.workers import Workers
from mixmerge.progress import Progress, silent


def extract(
    base: Path | str,
    finetuned: Path | str,
    out: Path,
    *,
    rank: int,
    modules: Sequence[str] = (),
    modules_to_save: bool = False,
    dtype: str = "float32",
    threads: int | None = None,
    allow_pickle: bool = False,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Write the LoRA adapter of a given rank that comes closest to a fine-tuned model.

    Each matrix of a linear layer gets the closest product of two factors to its change. Only the
    tensors being computed are in memory.

    Args:
        base: the model that was fine-tuned: a folder or hub name.
        finetuned: the result, of the same shapes; also ``MODEL+ADAPTER``.
        out: the adapter's folder; it appears complete or not at all.
        rank: of the factors; at most that of the matrix.
        modules: last words of the layers to take, such as ``q_proj``; none: all linear layers.
        modules_to_save: also keep everything else that changed: norms, embeddings, and heads as
            whole tensors, biases of linear layers as theirs. Without it, notes say what is left
            out.
        dtype: of the factors: float32, bfloat16 or float16.
        threads: number of threads; None: one per processor.
        allow_pickle: also read weights in ``.bin`` and ``.pt`` files (data only).
        progress: told of bytes.

    Returns:
        Notes, the last of which says what was lost.

    Raises:
        SpecError: the rank or ``out`` cannot be used, or no layer has the name of a module.
        ModelError: the models do not fit together, are equal, or transformers does not know them.
    """
    if rank < 1 or dtype not in DTYPES:
        raise SpecError(
            f"rank ({rank}) must be at least 1, and dtype ({dtype}) {' or '.join(DTYPES)}."
        )
    whole = {"name": str(finetuned), "path": str(finetuned), "parameters": {"weight": 1.0}}
    before = {"name": str(base), "path": str(base), "parameters": {"weight": 0.0}}
    if whole["path"] == before["path"]:
        raise SpecError(f"{base}: is both the base and the fine-tuned model; nothing has changed.")
    recipe = MergeRecipe.model_validate({"method": "linear", "models": [whole, before]})
    with closing(plan_merge(recipe, allow_pickle=allow_pickle)) as plan:
        lineage.check_target(plan, out)
        norms = _norms(plan, threads)
        changes = _Search(plan, rank, tuple(modules), modules_to_save, norms).changes()
        settings = [rank, modules, modules_to_save, dtype]
        models = [model.fingerprint for model in plan.checkpoints]
        with workplace(out, fingerprint([settings, models])) as folder:
            report = write_adapter(
                changes,
                Target(str(base), plan.checkpoints[1]),
                folder,
                recipe.declaration,
                dtype=DTYPES[dtype],
                threads=threads,
                verify=False,
                progress=progress,
            )
            plan.check_unchanged()
            notes = (*changes.notes, *notes_on_vllm(changes), report.sentence)
            lines = [lineage.input_line(model, f"`{model.path}`") for model in plan.checkpoints]
            said = [f"The change from {base} to {finetuned}, by mixmerge.", *notes]
            lineage.write_card(folder, f"An adapter from {finetuned}", said, lines, library="peft")
    return notes


def _norms(plan: MergePlan, threads: int | None) -> dict[str, float]:
    """Return the norm of the change of every tensor that changed, in the plan's order."""
    found: dict[str, float] = {}

    def measure(row: Row, parallel_map: ParallelMap, hold: int) -> None:
        change = _difference(row, plan)(parallel_map, hold)
        found[row.output.name] = float(np.linalg.norm(change.astype(np.float64)))

    with Workers(threads) as pool:
        pool.run(
            (prod(row.output.shape), partial(measure, row))
            for row in plan.rows
            if row.arguments is not None
        )
    names = (row.output.name for row in plan.rows)
    return {name: found[name] for name in names if found.get(name)}


def _difference(row: Row, plan: MergePlan) -> Dense:
    # The models of the plan are the fine-tuned one, with weight 1, and the base, with weight 0.
    return difference(row, row.models[1], plan.recipe.declaration, 0)


LayerKind = Literal["linear", "transposed", "embedding", "other"]
"""Of a module: transposed linear layers are stored as (in, out)."""


class _Place(NamedTuple):
    """Where a tensor is in the model that transformers builds."""

    module: str
    parameter: str
    kind: LayerKind


@dataclass(frozen=True)
class _Search:
    """Decides what an adapter holds of a change."""

    plan: MergePlan
    rank: int
    wanted: tuple[str, ...]
    keeps_rest: bool
    norms: Mapping[str, float]

    def changes(self) -> Changes:
        """Return the adapter's content.

        Raises:
            SpecError: no layer that changed has the name of a wanted module.
            ModelError: no matrix changed, or the rank is above that of all.
        """
        rows = {row.output.name: row for row in self.plan.rows}
        taken = [name for name in self.norms if self._is_taken(name)]
        for word in self.wanted:
            if not any(_ends_with(self._places[name].module, word) for name in taken):
                raise SpecError(f"modules: no layer called {word!r} has changed.")
        changes = tuple(self._change(rows[name]) for name in taken)
        check_ranks(changes, self.rank)
        whole = self._rest(taken) if self.keeps_rest else []
        left = {name: self.norms[name] for name in self.norms if name not in {*taken, *whole}}
        notes = tuple(self._left_out(left))
        kept = tuple(Whole(self._names(name), rows[name]) for name in whole)
        return Changes(changes, kept, notes, left)

    def _is_taken(self, name: str) -> bool:
        """Whether a tensor's change becomes a product of factors."""
        place = self._places.get(name)
        if place is None or place.parameter != "weight" or place.kind == "other":
            return False
        if is_head(name) and name not in self.plan.checkpoints[1].tensors:
            return False  # peft would change the embedding that it is tied to
        if not self.wanted:
            return place.kind != "embedding"
        return any(_ends_with(place.module, word) for word in self.wanted)

    def _change(self, row: Row) -> Change:
        place = self._places[row.output.name]
        rows, columns = row.output.shape
        transposed = place.kind != "linear"  # embeddings, too, are stored as (in, out)
        shape = (columns, rows) if transposed else (rows, columns)
        return Change(
            module=place.module,
            shape=shape,
            rank=min(self.rank, *shape),
            dense=_difference(row, self.plan),
            transposed=transposed,
            embedding=place.kind == "embedding",
        )

    def _rest(self, taken: Sequence[str]) -> list[str]:
        """Return the tensors that are kept whole.

        Of a layer with factors that is its bias. Otherwise peft keeps whole modules, so what has
        not changed in one is kept with it.
        """
        layers = {self._places[name].module for name in taken}
        places = {self._places[name] for name in self.norms if name in self._places}
        modules = {place.module for place in places if place.module not in layers}
        modules = {module for module in modules if not any(self._below(module))}
        return [
            name
            for name, place in self._places.items()
            if place.module in modules or (place in places and place.parameter == "bias")
        ]

    def _below(self, module: str) -> Iterator[str]:
        """Yield tensors inside of a module's parts, which peft would copy with it."""
        for place in self._places.values():
            if place.module.startswith(f"{module}."):
                yield place.module

    def _names(self, name: str) -> tuple[str, ...]:
        """Return the names of a tensor that is kept whole: two for a tied embedding."""
        place = self._places[name]
        own = f"{place.module}.{place.parameter}"
        base, outputs = self.plan.checkpoints[1], self.plan.outputs
        is_table = name == embedding(base.tensors, base.config)
        is_tied = is_table and not any(is_head(output.name) for output in outputs)
        # Without the head, a loader would leave the old embedding there.
        return (own, *(self._heads if is_tied else ()))

    def _left_out(self, left: Mapping[str, float]) -> Iterator[str]:
        """Say once what an adapter does not hold."""
        if not left:
            return
        total = sum(norm * norm for norm in self.norms.values())
        share = sum(norm * norm for norm in left.values()) / total
        most = sorted(left, key=lambda name: -left[name])[:3]
        hint = "" if self.keeps_rest else "; `--modules-to-save` keeps what can be kept whole"
        yield (
            f"{len(left)} changed tensors are left out, with {share:.2g} of the squared norm of "
            f"the change (most in {', '.join(most)}){hint}"
        )

    @cached_property
    def _heads(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._parameters if is_head(name))

    @cached_property
    def _parameters(self) -> list[tuple[str, LayerKind]]:
        """Return the names of the model's parameters, and the kinds of their modules."""
        from torch import nn
        from transformers.pytorch_utils import Conv1D

        kinds: dict[type, LayerKind] = {
            nn.Linear: "linear",
            Conv1D: "transposed",
            nn.Embedding: "embedding",
        }
        base = self.plan.checkpoints[1]
        model = empty_model(base.name, base.config)
        names = (name for name, _ in model.named_parameters(remove_duplicate=False))
        modules = {name: type(module) for name, module in model.named_modules()}
        return [(name, kinds.get(modules[name.rpartition(".")[0]], "other")) for name in names]

    @cached_property
    def _places(self) -> dict[str, _Place]:
        """Return the place of every tensor of the plan that the model has."""
        kinds = dict(self._parameters)
        by_key = {common_key(name): name for name in kinds}
        by_ending = {key.partition(".")[2]: name for key, name in by_key.items()}
        found = {}
        for row in self.plan.rows:
            name, key = row.output.name, common_key(row.output.name)
            own = name if name in kinds else by_key.get(key) or by_ending.get(key)
            if own is not None:
                module, _, parameter = own.rpartition(".")
                found[name] = _Place(module, parameter, kinds[own])
        return found


def _ends_with(module: str, word: str) -> bool:
    """Whether peft's `target_modules` would take a module for a word."""
    return module == word or module.endswith(f".{word}")
