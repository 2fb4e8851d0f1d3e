"""From a merge of adapters to the adapter that gives the merged model.

The merge is that of the whole models, base plus adapter. Where a method is a weighted sum, the
changes are summed exactly, module by module, and the base is not read. Otherwise, and for DoRA,
which is not linear, the change is the merged tensor minus that of the base.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.adapters.changes import (
    Change,
    Changes,
    Term,
    Whole,
    check_ranks,
    difference,
    unwrapped,
)
from mixmerge.merging.models.adapter import AdaptedCheckpoint, AdaptedSource
from mixmerge.merging.models.layout import is_embedding, is_head
from mixmerge.merging.models.sources import Source
from mixmerge.merging.planning.plan import MergePlan, Row

_SUM = 1e-9
"""Weights of a mean sum to one up to this."""


def adapted_inputs(plan: MergePlan) -> list[AdaptedCheckpoint]:
    """Return the adapters of a plan, which must all be adapters of one base.

    Raises:
        ModelError: a model is none, or the adapters are of different models.
    """
    adapted = [model for model in plan.checkpoints if isinstance(model, AdaptedCheckpoint)]
    if not adapted:
        raise ModelError(
            f"{plan.checkpoints[0].name}: is a whole model, and `adapter` merges adapters into one;"
            " write the models as `BASE+ADAPTER`, or use `mixmerge extract` on the merged model."
        )
    first = adapted[0]
    for model in plan.checkpoints:
        base = model.unadapted if isinstance(model, AdaptedCheckpoint) else model
        if base.fingerprint == first.unadapted.fingerprint:
            continue
        if base is model and (plan.recipe.base is None or model is not plan.checkpoints[0]):
            raise ModelError(
                f"{model.name}: is a whole model, and `adapter` merges adapters into one; use "
                "`mixmerge extract` to turn it into an adapter first."
            )
        raise ModelError(
            f"{first.name} adapts {first.unadapted.path}, {model.name} "
            f"{'is' if base is model else 'adapts'} {base.path}, whose weights are others: only "
            "adapters of the same base are merged into one."
        )
    return adapted


def merged_changes(plan: MergePlan, rank: int | None, seed: int) -> Changes:
    """Return what the adapter of a merge holds; ``rank`` None: whatever is exact.

    Raises:
        ModelError: the inputs are not adapters of one base, or nothing is changed.
        SpecError: the merge is not a sum of adapters, and no rank is given.
    """
    adapted = adapted_inputs(plan)
    work = _Work(plan, rank, seed)
    changes: list[Change] = []
    whole: list[Whole] = []
    for row in plan.rows:
        inputs = [unwrapped(source) for source in row.inputs]
        sources = [source for _, source in inputs]
        if names := work.names_of_whole(sources):
            whole.append(Whole(names, row))
            continue
        found = [own for own, _ in inputs]
        biases = {f"{each.change.module}.bias" for own in found for each in own if each.is_bias}
        if biases:
            whole.append(Whole(tuple(biases), row))
        elif any(found):
            changes += work.low_rank(row, found, sources[0])
    check_ranks(changes, rank)
    notes = [*plan.recipe.notes, *_missing(adapted, changes, whole)]
    return Changes(tuple(changes), tuple(whole), tuple(notes))


@dataclass(frozen=True)
class _Work:
    plan: MergePlan
    rank: int | None
    seed: int

    def names_of_whole(self, own: list[Source]) -> tuple[str, ...]:
        """Return the adapter's names for a tensor that an adapter replaces; none if none does."""
        for model, source in zip(self.plan.checkpoints, own, strict=True):
            if not isinstance(model, AdaptedCheckpoint):
                continue
            stored = getattr(source, "tensor", None)
            if stored is None or stored.file != model.adapter.file:
                continue
            if name := model.trained_whole.get(stored.name):
                heads = [each for each in model.adapter.whole if is_head(each)]
                still_tied = is_embedding(name) and not any(
                    is_head(other.name) for other in self.plan.outputs
                )
                # Without the head, a loader would leave the old embedding there.
                return (name, *(heads if still_tied else []))
        return ()

    def low_rank(
        self, row: Row, found: list[list[AdaptedSource]], base: Source
    ) -> Iterator[Change]:
        """Yield the change of each module that a tensor belongs to: two for a tied head."""
        shares = self._shares(row)
        by_module: dict[str, list[Term]] = {}
        for share, own in zip(shares or [0.0] * len(found), found, strict=True):
            for source in own:
                by_module.setdefault(source.change.module, []).append(Term(share, source))
        norms = [each for own in found for each in own if each.change.magnitude is not None]
        exact = shares is not None and not norms
        if not exact:
            self._check_dense(row, norms, list(by_module))
        for module, terms in by_module.items():
            dense = None
            if not exact:
                dense = difference(row, base, self.plan.recipe.declaration, self.seed)
            change = terms[0].source.change
            assert change.left is not None
            rows, _, columns = terms[0].sizes
            total = sum(term.sizes[1] for term in terms) if exact else min(rows, columns)
            embedding, most = "lora_embedding" in change.left.name, self.rank
            yield Change(
                module,
                (rows, columns),
                total if most is None or total <= most else min(most, rows, columns),
                tuple(terms),
                dense,
                change.transposed,
                embedding,
            )

    def _shares(self, row: Row) -> list[float] | None:
        """Return the weight of each input in a sum, or None if the result is not such a sum."""
        method = self.plan.recipe.declaration
        if method.shares is None or row.arguments is None:
            return None
        shares = method.shares(**row.arguments)
        rest = 1.0 - math.fsum(shares)
        if row.base is not None:
            return [rest, *shares]
        return shares if abs(rest) < _SUM else None

    def _check_dense(self, row: Row, norms: list[AdaptedSource], modules: list[str]) -> None:
        """Refuse what has no exact sum where one is asked for, or where it cannot be told apart."""
        method = self.plan.recipe.declaration
        if norms:
            why = f"{norms[0].change.module} is trained with DoRA, which is not linear"
        elif method.shares is None:
            why = f"{method.name} is not a weighted sum of the adapters"
        else:
            why = (
                f"the weights of {row.output.name} do not sum to one, so the base changes as well; "
                "`task_arithmetic` adds up adapters alone"
            )
        if self.rank is None:
            raise SpecError(
                f"adapter: `rank: exact` is not possible here: {why}. Give a rank, for example "
                "`adapter: {rank: 32}`."
            )
        if len(modules) > 1:
            raise ModelError(
                f"tensor {row.output.name}: is shared by {' and '.join(modules)}, and {why}, so it "
                "is not known which of them changes. Merge into a whole model instead."
            )


def _missing(
    adapted: list[AdaptedCheckpoint], changes: list[Change], whole: list[Whole]
) -> Iterator[str]:
    """Say once for each adapter which modules of the result it leaves as they are."""
    modules = {change.module for change in changes}
    kept = {name for each in whole for name in each.names}
    for model in adapted:
        lacks = modules - {*model.adapter.modules}
        if lacks:
            yield (f"{model.name} does not change {_some(lacks)}; its change there counts as zero")
        others = kept - {*model.trained_whole.values()}
        if others:
            yield f"{model.name} does not train {_some(others)} whole; the base's counts for it"


def _some(names: set[str]) -> str:
    words = Counter(name.rpartition(".")[2] for name in sorted(names))
    shown = ", ".join(f"{word} ({count})" for word, count in words.most_common(4))
    return f"{len(names)} of the modules: {shown}" if len(names) > 1 else next(iter(names))
