"""Carry out a specification: read the seeds, make each step's rows, filter, fill quotas, write."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixmerge.durable import claimed
from mixmerge.errors import DataError
from mixmerge.evaluation.calls.connection import key_from_environment
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.judges import JudgeContext, JudgeSpec, members
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.judges.panel import PanelJudgeSpec
from mixmerge.files import explained_disk_errors, write_json, write_rows
from mixmerge.mixing.sources import load
from mixmerge.mixing.spec import TrainingRow
from mixmerge.progress import Progress, silent
from mixmerge.records import Conversation, Judge, PreferencePair, TrainingPrompt
from mixmerge.synthesis.asking import CALLS, Models, Usage, journalled, spent, usage
from mixmerge.synthesis.card import write_card
from mixmerge.synthesis.filters import (
    AnyFilter,
    FilterContext,
    RowFilter,
    apply_filters,
    build_filters,
)
from mixmerge.synthesis.quotas import fill
from mixmerge.synthesis.recipes.recipe import ModelRecipe, Recipe, StepContext
from mixmerge.synthesis.report import (
    REPORT,
    GenerationReport,
    SeedReport,
    StepReport,
    by_category,
    by_language,
    counted,
)
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Provenance, Row
from mixmerge.synthesis.spec import GenerateDataSpec, SeedSpec

Filters = Sequence[tuple[str, RowFilter]]

LOCK = ".lock"
_SECONDS_TO_START = 5.0
"""To wait for another command in the folder, such as one that was just killed."""


def generate(
    spec: GenerateDataSpec,
    out: Path,
    *,
    rule_judges: Mapping[str, Judge] | None = None,
    progress: Progress = silent,
) -> GenerationReport:
    """Make the rows of a specification in the folder ``out``.

    Writes ``rows.jsonl``, ``dropped.jsonl``, the data card ``README.md`` and, last,
    ``report.json``. Every reply is kept in ``calls/``, so the same call goes on where a killed one
    stopped and asks nothing twice.

    Raises:
        UserError: a source, model or judge cannot be used, calls failed, the budget is spent, or no
            row is left.
    """
    with explained_disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    with claimed(out / LOCK, "generation", patience=_SECONDS_TO_START):
        with explained_disk_errors(out):  # no old report beside new rows
            (out / REPORT).unlink(missing_ok=True)
        drop = spec.failed_calls == "drop"
        limited = _limited(spec)
        models = Models(limited.models, out / CALLS, drop_failed=drop, progress=progress)
        with closing(models):
            _check(limited, models, rule_judges or {})
            work = _Work(limited, models, out / CALLS, rule_judges or {}, progress)
            work.run()
        report = work.report()
        write_rows(out / ROWS, work.result)
        write_rows(out / DROPPED, work.dropped)
        write_card(out, spec, work.result, report)
        write_json(out / REPORT, report.model_dump(mode="json"))
    if not work.result:
        why = ", ".join(f"{count:,} {reason}" for reason, count in counted(work.dropped).items())
        raise DataError(
            f"{out}: no row is left ({why or 'no step made any'}). {DROPPED} has every row with "
            "the reason, and the calls are kept."
        )
    return report


def plan(
    spec: GenerateDataSpec, out: Path, *, rule_judges: Mapping[str, Judge] | None = None
) -> GenerationReport:
    """Count the calls that `generate` would make in ``out``, and the most that they may cost.

    Nothing is asked or written. Replies that ``out`` has already are used.

    Raises:
        UserError: a source cannot be read.
    """
    models = Models(spec.models, out / CALLS, planning=True)
    work = _Work(spec, models, out / CALLS, rule_judges or {}, silent)
    work.run()
    return work.report()


def _check(spec: GenerateDataSpec, models: Models, rule_judges: Mapping[str, Judge]) -> None:
    """Find what is missing for a later step before an earlier one is paid for.

    Raises:
        UserError: a key, folder, instruction, rubric or judge is missing.
    """
    for _, endpoint in spec.endpoints():
        key_from_environment(endpoint)
    for step in spec.wired():
        for model in step.asked_models():
            models.name(model)
        if isinstance(step, ModelRecipe):
            assert step.text is not None  # reads the instruction
        if step.judge is not None:
            step.judge.build(JudgeContext(Path(), rule_judges=rule_judges))


def _limited(spec: GenerateDataSpec) -> GenerateDataSpec:
    """Return the specification with its budget in every endpoint: all share one ledger."""
    if spec.budget is None:
        return spec
    own = {"budget": spec.budget}
    models = {
        name: model.model_copy(update=own) if isinstance(model, EndpointSpec) else model
        for name, model in spec.models.items()
    }
    steps = [
        step if step.judge is None else step.with_judge(_with(step.judge, own))
        for step in spec.steps
    ]
    return spec.model_copy(update={"models": models, "steps": tuple(steps)})


def _with(judge: JudgeSpec, update: Mapping[str, Any]) -> JudgeSpec:
    if isinstance(judge, PanelJudgeSpec):
        panel = tuple(_with(member, update) for member in judge.panel)
        return judge.model_copy(update={"panel": panel})
    return judge.model_copy(update=update) if isinstance(judge, EndpointJudgeSpec) else judge


@dataclass
class _Work:
    """One run of a specification."""

    spec: GenerateDataSpec
    asker: Models
    calls: Path
    rule_judges: Mapping[str, Judge]
    progress: Progress
    result: list[Row] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._filters: dict[str, Filters] = {}
        self._seeds: dict[str, SeedReport] = {}
        self._steps: list[StepReport] = []
        self._filtered: dict[str, int] = {}
        self._beyond = 0
        self._short: list[str] = []
        self._notes: list[str] = []

    def run(self) -> None:
        """Do everything but write."""
        seeds = {name: _read(name, own) for name, own in self.spec.seeds.items()}
        context = FilterContext(self._languages(seeds), self.rule_judges)
        # All filters are made first: one that cannot be must not be found after calls were paid.
        self._filters = {step.title: self._built(step.filters, context) for step in self.spec.steps}
        last = self._built(self.spec.filters, context)
        for name, (rows, report) in seeds.items():
            own = [*self.spec.seeds[name].filters]
            before = len(self.dropped)
            kept = self._filter(build_filters(own, context), rows, report.notes)
            # Evaluation sets may have to be downloaded, and a plan needs no network.
            listed = () if self.asker.planning else self.spec.filters
            first = build_filters(listed, context, seeds=True)
            kept = self._filter(first, kept, report.notes)
            gone = counted(self.dropped[before:], by_filter=True)
            self._rows[name] = kept
            self._seeds[name] = report.model_copy(update={"filtered": gone})
        for step in self.spec.wired():
            self._rows[step.title] = self._step(step)
        self._finish(last)

    def _languages(self, seeds: Mapping[str, tuple[list[Row], SeedReport]]) -> list[str]:
        found = {row.language: None for rows, _ in seeds.values() for row in rows}
        for step in self.spec.steps:
            found |= dict.fromkeys(step.languages)
        return list(found)

    def _step(self, step: Recipe) -> list[Row]:
        rows = [row for name in step.of for row in self._rows[name]]
        journal = self.calls / f"judge-{step.title}.jsonl"
        made = step.make(
            rows,
            StepContext(
                step.title,
                self.asker,
                JudgeContext(journal=journal, rule_judges=self.rule_judges),
                seed=self.spec.seed,
                drop_failed=self.spec.failed_calls == "drop",
                progress=self.progress,
            ),
        )
        self.dropped += made.dropped
        before = len(self.dropped)
        kept = self._filter(self._filters[step.title], made.rows, made.notes)
        self._steps.append(
            StepReport(
                name=step.title,
                recipe=step.key,
                took=len(rows),
                made=len(made.rows),
                dropped=counted(made.dropped),
                filtered=counted(self.dropped[before:], by_filter=True),
                measured=made.measured,
                notes=made.notes,
                models=self._usage(step, journal),
            )
        )
        return kept

    def _usage(self, step: Recipe, journal: Path) -> dict[str, Usage]:
        """Return what the models of a step did, or its judge."""
        judges = members(step.judge) if step.judge is not None else ()
        prices = {each.model: each.price for each in judges if isinstance(each, EndpointJudgeSpec)}
        if prices and not self.asker.planning:  # the judges of a panel share a journal
            first = next(iter(prices))
            return {" and ".join(prices): usage(journalled(journal).values(), prices[first])}
        for name, model in self.spec.models.items():
            prices |= {name: model.price} if isinstance(model, EndpointSpec) else {}
        asked = {model: own for (s, model), own in self.asker.replies.items() if s == step.title}
        return {model: usage(own.values(), prices.get(model)) for model, own in asked.items()}

    def _built(self, specs: Sequence[AnyFilter], context: FilterContext) -> Filters:
        """Return the filters of rows that are made; a plan, which knows no texts, has none."""
        return [] if self.asker.planning else build_filters(specs, context)

    def _filter(self, filters: Filters, rows: Sequence[Row], notes: list[str]) -> list[Row]:
        found = apply_filters(filters, rows)
        self.dropped += found.dropped
        notes += [f"{count:,} rows: {key}: {why}" for (key, why), count in found.unread.items()]
        return found.rows

    def _finish(self, filters: Filters) -> None:
        """Filter the rows of the last steps, and choose those that fill the quotas."""
        rows = [row for name in self.spec.final() for row in self._rows[name]]
        before = len(self.dropped)
        rows = self._filter(filters, rows, self._notes)
        self._filtered = counted(self.dropped[before:], by_filter=True)
        if self.spec.quotas is not None:
            filled = fill(self.spec.quotas, rows, self.spec.seed)
            rows = filled.rows
            for reason, left in (("quota is full", filled.over), ("no quota", filled.outside)):
                self.dropped += [DroppedRow(step="quotas", reason=reason, row=row) for row in left]
            self._beyond = len(filled.over) + len(filled.outside)
            self._short = filled.messages(self.spec.quotas)
        self.result = rows

    def report(self) -> GenerationReport:
        """Return what was done."""
        usages = [usage for step in self._steps for usage in step.models.values()]
        priced = [usage.dollars for usage in usages if usage.dollars is not None]
        planned = self.asker.planning
        dollars = (sum(priced) if priced else None) if planned else spent(self.calls)
        return GenerationReport(
            planned=planned,
            seeds=self._seeds,
            steps=self._steps,
            filtered=self._filtered,
            outside_quotas=self._beyond,
            short=self._short,
            rows=len(self.result),
            languages=by_language(self.result),
            categories=by_category(self.result),
            dropped=len(self.dropped),
            calls=sum(usage.calls for usage in usages),
            dollars=None if dollars is None else round(dollars, 6),
            notes=self._notes,
        )


def _read(name: str, spec: SeedSpec) -> tuple[list[Row], SeedReport]:
    """Return the different rows of a source."""
    found = load(name, spec, spec.form)
    rows = {row.id: row for row in (_seed(row, spec) for row in found.rows)}
    notes = [f"{len(found.broken):,} broken rows: {found.broken[0]}"] if found.broken else []
    notes += [f"{count:,} rows left out: {why}" for why, count in found.left_out.items()]
    notes += [
        f"{count:,} rows with {what}, which is not read" for what, count in found.unread.items()
    ]
    if repeated := len(found.rows) - len(rows):
        notes.append(f"{repeated:,} rows are the same as an earlier one")
    report = SeedReport(
        rows=len(rows), licence=spec.licence, read_as=found.read_as, filtered={}, notes=notes
    )
    return [*rows.values()], report


def _seed(row: TrainingRow, spec: SeedSpec) -> Row:
    content: dict[str, Any] = {"language": row.language, "category": spec.category}
    if isinstance(row, Conversation):
        content["messages"] = row.messages
    elif isinstance(row, PreferencePair):
        content |= {"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected}
    elif isinstance(row, TrainingPrompt):
        content |= {"prompt": row.prompt, "category": row.category or spec.category}
    where = Provenance(source=row.source, seed=row.id, licence=spec.licence)
    return Row.made(**content, provenance=where)
