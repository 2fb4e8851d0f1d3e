"""Tables on the terminal for `inspect`."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mixmerge.merging.inspection.result import (
    Comparison,
    Inspection,
    Interference,
    ModelSummary,
    Part,
)
from mixmerge.merging.models.layout import place
from mixmerge.records.behaviour import Behaviour

_RELATIONS = {"sibling": "green", "cousin": "yellow", "stranger": "red"}


def inspection_tables(inspection: Inspection) -> list[RenderableType]:
    """Return all tables about models, each below its title, the verdicts last."""
    first, comparison = inspection.models[0].name, inspection.comparison
    shown: list[RenderableType] = [_models_table(inspection)]
    if inspection.vocabularies:
        shown += [Text(f"Tokens, compared with {first}"), _vocabularies_table(inspection)]
    if comparison is not None:
        title = "Size of the difference, relative to the first model, and cosine of the weights"
        if inspection.base:
            title = f"Size of the change, relative to {inspection.base}"
        shown += [Text(title), _sizes_table(comparison, inspection.base)]
        if comparison.whole.interferences:
            first_pair, *others = comparison.whole.interferences
            title = f"Between the changes of {first_pair.first} and {first_pair.second}"
            if others:
                title = "Between the changes (by layer: --figure, --json)"
            shown += [Text(title), _interference_table(comparison)]
        shown += [Text("How the models are related"), _relatedness_table(comparison)]
    if inspection.behaviour is not None:
        title = f"What they are about to answer to {inspection.behaviour.prompts} prompts"
        shown += [Text(title), _behaviour_table(inspection.behaviour)]
    return shown


def _table(*headings: str, left: Sequence[str] = ("",)) -> Table:
    """Return an empty table; columns are right-aligned but for those named."""
    table = Table()
    for heading in headings:
        table.add_column(
            Text(heading), justify="left" if heading in left else "right", overflow="fold"
        )
    return table


def _models_table(inspection: Inspection) -> Table:
    """Return one column per model."""
    models = inspection.models
    roles = {inspection.base: "\n(base)"}
    table = _table("", *(model.name + roles.get(model.name, "") for model in models))
    rows = {
        "architecture": [model.architecture for model in models],
        "parameters": [f"{model.parameters:,}" for model in models],
        "size": [f"{model.nbytes / 1e6:,.1f} MB" for model in models],
        "tensors": [f"{model.tensors:,}" for model in models],
        "types": [
            ", ".join(f"{name} {count}" for name, count in model.dtypes.items()) for model in models
        ],
        "layers": [str(model.layers) for model in models],
        "tokens": [f"{model.vocabulary:,}" for model in models],
        "embedding rows": [f"{model.rows:,}" for model in models],
        "head": [_head(model) for model in models],
    }
    for label, values in rows.items():
        table.add_row(label, *(Text(value) for value in values))
    return table


def _behaviour_table(behaviour: Behaviour) -> Table:
    """Return one row per pair of models."""
    table = _table("", "KL, nats", "same token", "CKA", "cosine of the changes")
    for pair in behaviour.agreements:
        cosine = "–" if pair.change_cosine is None else f"{pair.change_cosine:+.3f}"
        table.add_row(
            Text(f"{pair.first} · {pair.second}"),
            f"{pair.kl:.4g}",
            f"{pair.same_token:.0%}",
            f"{pair.cka:.3f}",
            cosine,
        )
    return table


def _head(model: ModelSummary) -> str:
    if model.stores_head:
        return "own, though tied" if model.tied else "own"
    return "tied" if model.tied else "none"


def _vocabularies_table(inspection: Inspection) -> Table:
    """Return one row per model whose vocabulary differs from the first model's."""
    headings = ("", "same id", "other id", "missing", "new", "for example")
    table = _table(*headings, left=headings[-1:])
    for each in inspection.vocabularies:
        examples = ", ".join(
            f"{token.token!r} {_id(token.first_id)}→{_id(token.second_id)}"
            for token in each.examples[:3]
        )
        counts = (each.same, each.moved, each.only_first, each.only_second)
        table.add_row(Text(each.second), *(f"{count:,}" for count in counts), Text(examples))
    return table


def _id(number: int | None) -> str:
    return "–" if number is None else str(number)


def _parts(comparison: Comparison) -> list[tuple[str, Part, bool]]:
    """Return the rows of a table: label, part, and whether a line follows."""
    stacks = {layer.stack for part in comparison.layers if (layer := place(part.name))}
    rows = []
    for part in comparison.layers:
        layer = place(part.name)
        label = f"layer {layer.layer}" if layer and len(stacks) == 1 else part.name
        rows.append((label, part, part is comparison.layers[-1]))
    rows += [(part.name, part, part is comparison.kinds[-1]) for part in comparison.kinds]
    return [*rows, ("whole", comparison.whole, False)]


def _sizes_table(comparison: Comparison, base: str | None) -> Table:
    """Return the norm of each change from the base or, without one, of each difference."""
    whole = [each for each in comparison.whole.differences if base in (None, each.first)]
    table = _table("", *(e.second if base else f"{e.first} · {e.second}" for e in whole))
    for label, part, ends in _parts(comparison):
        cells = [
            _share(each.relative_size) + ("" if base else f"  {_cosine(each.cosine)}")
            for each in part.differences
            if base in (None, each.first)
        ]
        table.add_row(label, *cells, end_section=ends)
    return table


def _interference_table(comparison: Comparison) -> Table:
    """Return how the changes of two models interfere, by part; of more models, by pair."""
    pairs = comparison.whole.interferences
    table = _table("", "cosine", "sign conflict", "cancels")
    if len(pairs) > 1:
        for pair in pairs:
            table.add_row(Text(f"{pair.first} · {pair.second}"), *_interference(pair))
        return table
    for label, part, ends in _parts(comparison):
        table.add_row(label, *_interference(part.interferences[0]), end_section=ends)
    return table


def _interference(pair: Interference) -> tuple[str, str, str]:
    return _cosine(pair.cosine, sign="+"), _share(pair.opposed), _share(pair.cancelled)


def _relatedness_table(comparison: Comparison) -> Table:
    """Return the verdict on every pair of models, and what SLERP would do to them."""
    headings = ("", "verdict", "cosine", "why", "SLERP linear")
    table = _table(*headings, left=("", "verdict", "why"))
    for each, difference in zip(comparison.relatedness, comparison.whole.differences, strict=True):
        table.add_row(
            Text(f"{each.first} · {each.second}"),
            Text(each.relation, style=_RELATIONS[each.relation]),
            _cosine(each.cosine),
            Text(each.reason),
            f"{difference.straight} of {comparison.whole.tensors}",
        )
    return table


def _share(value: float | None) -> str:
    """Format a fraction as a percentage with three digits; an exact zero as 0."""
    if not value:
        return "–" if value is None else "0"
    return f"{value:.1%}" if value >= 0.1 else f"{value:.2%}"


def _cosine(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.4f}"
