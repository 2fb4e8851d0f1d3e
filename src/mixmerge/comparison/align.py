"""Line up the scores of several models on the items of one task, and refuse what does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixmerge.errors import DataError
from mixmerge.logs.scores import Scores
from mixmerge.records.results import Better, Interval
from mixmerge.stats.bootstrap import Codes, Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mismatch = Literal["refuse", "common", "ignore"]
"""What to do with items whose question or prompt differs between two logs: an error, leave them
out, or compare them all the same."""

_TEMPLATE = "chat_template_sha"
_REMEDY = "Compare what is equal with --mismatch common, or all items with --mismatch ignore."


@dataclass(frozen=True)
class TaskTable:
    """The scores of all models on one task, one row an item."""

    task: str
    logs: list[Scores]
    """One a model; the baseline's first, if it has the task."""
    items: list[str]
    values: Floats
    """Means over epochs and seeds, shape (items, models); NaN without a score."""
    epochs: list[int]
    """Most answers of each model to one item."""
    cluster: Codes
    """Shape (items,)."""
    language: list[str]
    """Of each item; empty if unknown."""
    better: Better
    bounds: Interval
    notes: list[str] = field(default_factory=list)
    by_seed: Floats | None = None
    """Means over epochs, shape (seeds, items, models); a model with one training is the same in
    all. None if no log says its seeds."""

    @property
    def shares(self) -> Floats:
        """The values as shares of the range from the lowest to the highest score."""
        return self.as_shares(self.values)

    def as_shares(self, values: Floats) -> Floats:
        """Return scores as shares of the range from the lowest to the highest."""
        low, high = self.bounds
        shares: Floats = (values - low) / (high - low)
        return shares


def align(
    task: str,
    logs: Sequence[Scores],
    *,
    mismatch: Mismatch = "refuse",
    better: Better | None = None,
    bounds: Interval | None = None,
) -> TaskTable:
    """Line up several models' scores, the baseline's first.

    Raises:
        DataError: the logs have other metrics, versions, questions or prompts (see `Mismatch`), no
            item in common, or a score outside the ``bounds``.
    """
    first = logs[0]
    notes: list[str] = []
    for log in logs[1:]:
        _check_metric(first, log, better)
        if mismatch == "refuse":
            _check_version(first, log)
        notes += _settings_that_differ(first, log)
    items = list(dict.fromkeys(item for log in logs for item in log.items))
    place = {item: row for row, item in enumerate(items)}
    rows = [np.fromiter((place[item] for item in log.items), np.intp, len(log.items))
            for log in logs]  # fmt: skip
    columns = [_by_item(log, own, len(items)) for log, own in zip(logs, rows, strict=True)]
    by_seed = _by_seed(logs, rows, len(items))
    values = np.stack([mean for mean, _ in columns], axis=1)
    for column, log in enumerate(logs[1:], 1):
        odd = [place[item] for item in _odd_items(first, log)] if mismatch != "ignore" else []
        if odd and mismatch == "refuse":
            raise DataError(_other_questions(first, log, [items[row] for row in odd]))
        if odd:
            notes.append(f"{log.model} on {task}: {len(odd)} items have another question or prompt "
                         f"than those of {first.model} and are left out")  # fmt: skip
            values[odd, column] = np.nan
            if by_seed is not None:
                by_seed[:, odd, column] = np.nan
        notes += _not_common(task, first, log, ~np.isnan(values[:, [0, column]]))
    clusters, languages = (_one_each(kind, logs) for kind in ("cluster", "language"))
    if 0 < len(clusters) < len(items):
        notes.append(f"{task}: {len(items) - len(clusters)} items have no cluster, so each of them "
                     "is its own")  # fmt: skip
    return TaskTable(
        task=task,
        logs=list(logs),
        items=items,
        values=values,
        epochs=[most for _, most in columns],
        cluster=_codes([clusters.get(item, f"\0{item}") for item in items]),
        language=[languages.get(item, "") for item in items] if languages else [],
        better=better or _better(logs),
        bounds=_bounds(task, logs, values, bounds, notes),
        notes=notes,
        by_seed=by_seed,
    )


def _better(logs: Sequence[Scores]) -> Better:
    said: list[Better] = [log.better for log in logs if log.better is not None]
    return said[0] if said else "higher"


def _by_item(log: Scores, rows: Codes, count: int) -> tuple[Floats, int]:
    """Return the mean of each item's scores, and how many an item has at most."""
    scores = log.array
    seen = ~np.isnan(scores)
    sums = np.bincount(rows[seen], scores[seen], count)
    times = np.bincount(rows[seen], minlength=count)
    with np.errstate(invalid="ignore"):
        return sums / times, int(times.max(initial=0))


def _by_seed(logs: Sequence[Scores], rows: Sequence[Codes], count: int) -> Floats | None:
    """Return the mean of each item's scores by seed, shape (seeds, items, models).

    Seeds are paired in the order of the logs.
    """
    seeds = [list(dict.fromkeys(log.seeds)) for log in logs]
    if not any(seeds):
        return None
    most = max(seeds, key=len)
    found = np.empty((len(most), count, len(logs)))
    for column, (log, own, named) in enumerate(zip(logs, rows, seeds, strict=True)):
        if len(named) not in (1, len(most)):
            raise DataError(
                f"{log.task}: as many seeds of every model are required, or one of a model that is "
                f"not trained anew (seen: {len(named)} of {log.model}, {len(most)} of others)."
            )
        scores, seed = log.array, np.array(log.seeds)
        for place, name in enumerate(named):
            kept = (seed == name) & ~np.isnan(scores)
            with np.errstate(invalid="ignore"):
                found[place, :, column] = np.bincount(own[kept], scores[kept], count) / np.bincount(
                    own[kept], minlength=count
                )
        found[len(named) :, :, column] = found[0, :, column]
    return found


def _check_metric(first: Scores, log: Scores, better: Better | None) -> None:
    where = f"{first.origin} and {log.origin}"
    if first.metric != log.metric:
        raise DataError(f"{first.task}: one metric is required (seen: {first.metric} and "
                        f"{log.metric}, {where}). Name one with --metric.")  # fmt: skip
    said = {each for each in (first.better, log.better) if each}
    if better is None and len(said) > 1:
        raise DataError(f"{first.task}: {where} say that other directions of {first.metric} are "
                        "good. Give --better.")  # fmt: skip


def _check_version(first: Scores, log: Scores) -> None:
    if first.version and log.version and first.version != log.version:
        raise DataError(
            f"{first.task}: {first.model} was evaluated with version {first.version} of the task, "
            f"{log.model} with version {log.version} ({first.origin}, {log.origin}). {_REMEDY}"
        )


def _settings_that_differ(first: Scores, log: Scores) -> Iterator[str]:
    for key, own in first.settings.items():
        other = log.settings.get(key, own)
        if own != other:
            yield (f"{first.task}: {key} differs: {own[:60] or 'none'} for {first.model}, "
                   f"{other[:60] or 'none'} for {log.model}")  # fmt: skip


def _odd_items(first: Scores, log: Scores) -> list[str]:
    """Return the items with another question, target or prompt than the first log's.

    With chat templates of their own two models never have the same prompt, so then only question
    and target count.
    """
    odd: dict[str, None] = {}
    same_template = first.settings.get(_TEMPLATE) == log.settings.get(_TEMPLATE)
    kinds = [(first.contents, log.contents)]
    kinds += [(first.prompts, log.prompts)] if same_template else []
    for own, other in kinds:
        if own and other:
            known = dict(zip(first.items, own, strict=True))
            odd |= {item: None for item, said in zip(log.items, other, strict=True)
                    if known.get(item, said) != said}  # fmt: skip
    return list(odd)


def _other_questions(first: Scores, log: Scores, odd: list[str]) -> str:
    common = len({*first.items} & {*log.items})
    why = next((f" ({key} is {first.settings[key]} and {log.settings[key]})"
                for key in ("n-shot", "system_instruction_sha", "task arguments")
                if key in first.settings and key in log.settings
                and first.settings[key] != log.settings[key]), "")  # fmt: skip
    return (
        f"{first.task}: {len(odd)} of {common} common items have another question or prompt in the "
        f"logs of {first.model} and {log.model}{why}, first {odd[0]!r} ({first.origin}, "
        f"{log.origin}). {_REMEDY}"
    )


def _not_common(task: str, first: Scores, log: Scores, seen: NDArray[np.bool_]) -> Iterator[str]:
    common = int(seen.all(axis=1).sum())
    if not common:
        raise DataError(
            f"{task}: {first.model} and {log.model} have no item with a score in common "
            f"({first.origin}: {first.items[0]!r}, …; {log.origin}: {log.items[0]!r}, …). "
            "Items are matched by their id."
        )
    either = int(seen.any(axis=1).sum())
    if common < either:
        counts = seen.sum(axis=0)
        yield (f"{task}: {first.model} has a score for {counts[0]:,} items, {log.model} for "
               f"{counts[1]:,}; compared on the {common:,} common ones")  # fmt: skip


def _one_each(kind: str, logs: Sequence[Scores]) -> dict[str, str]:
    """Return the cluster or language of every item, by whichever log has it."""
    found: dict[str, str] = {}
    for log in logs:
        own = log.clusters if kind == "cluster" else log.languages
        for item, name in zip(log.items, own, strict=bool(own)):
            if found.setdefault(item, name) != name:
                raise DataError(
                    f"{log.task}: the item {item!r} has one {kind} (seen: {found[item]!r} and "
                    f"{name!r}, {log.origin})."
                )
    return found


def _codes(names: Sequence[str]) -> Codes:
    codes: dict[str, int] = {}
    return np.fromiter((codes.setdefault(n, len(codes)) for n in names), np.intp, len(names))


def _bounds(
    task: str, logs: Sequence[Scores], values: Floats, asked: Interval | None, notes: list[str]
) -> Interval:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    stated = asked or next((log.bounds for log in logs if log.bounds), None)
    for each in (stated, None if stated else (0.0, 1.0)):
        if each and each[0] <= low and high <= each[1]:
            return each
    if stated:
        raise DataError(f"{task}: scores from {stated[0]:g} to {stated[1]:g} are required (seen: "
                        f"{low:g} to {high:g}). Give others with --bounds.")  # fmt: skip
    notes.append(f"{task}: scores are from {low:g} to {high:g}, taken as their range (--bounds)")
    return (low, high) if low < high else (low, low + 1)
