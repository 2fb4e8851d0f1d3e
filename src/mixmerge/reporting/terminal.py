"""The end of a study in the terminal: the result table and the verdict in one line."""

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from mixmerge.records.judge_card import JudgeCard, Measured, Standing
from mixmerge.records.results import Interval, Kind, Results, Stage
from mixmerge.reporting import formats
from mixmerge.reporting.judges import AXIS_NAMES
from mixmerge.reporting.roster import base_models, models_of, stages
from mixmerge.reporting.verdict import conclude

_STYLES: dict[Kind, str] = {"base": "dim", "mixture": "blue", "expert": "yellow", "merge": "green"}
_STANDING_STYLES: dict[Standing, str] = {
    "useless": "bold red",
    "doubtful": "yellow",
    "usable": "green",
}


def result_table(results: Results) -> Table:
    """Return every model with its win rate, harm rate and over-refusal, one line each."""
    table = Table(
        title=Text(results.study), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD
    )
    table.add_column("Model", overflow="fold")
    for heading in ("Win rate, 95 %", "Harm rate, 95 %", "vs base", "Over-\nrefusal"):
        table.add_column(heading, justify="right", no_wrap=True)
    _add_rows(table, results, base_models(results))
    _add_rows(table, results, models_of(results, None))
    for stage in stages(results):
        table.add_section()
        _add_rows(table, results, models_of(results, stage))
    return table


def _add_rows(table: Table, results: Results, names: list[str]) -> None:
    for name in names:
        model = results.models[name]
        change = model.safety.relative_change
        refusal = model.over_refusal
        table.add_row(
            # A Text, not a string: square brackets in a name are no markup.
            Text(name, style=_STYLES[model.kind]),
            _with_interval(model.general.win_rate, model.general.ci),
            _with_interval(model.safety.harm_rate, model.safety.harm_ci),
            "–" if change is None or model.kind == "base" else formats.change(change),
            formats.percent(refusal.rate) if refusal else "–",
        )


def _with_interval(rate: float, ci: Interval | None) -> Text:
    if ci is None:
        return Text(formats.percent(rate))
    return Text.assemble(
        formats.percent(rate), (f" {formats.percent_interval(ci).replace(' to ', '–')}", "dim")
    )


def verdict_line(results: Results, baselines: Mapping[Stage, str]) -> str:
    """Return the sentence that opens the report."""
    return conclude(results, baselines).headline


def trial_table(card: JudgeCard) -> Table:
    """Return each judge's standing with its main numbers, one line each."""
    table = Table(
        title=Text("judge card"), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD
    )
    for heading in ("Axis", "Standing"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Sensitivity", "Specificity", "Alpha", "Missing", "Labelled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for axis, trial in card.axes.items():
        found = trial.accuracy
        table.add_row(
            AXIS_NAMES[axis],
            Text(trial.standing, style=_STANDING_STYLES[trial.standing]),
            _share(found.sensitivity),
            _share(found.specificity),
            "–" if trial.alpha is None else f"{trial.alpha.value:.2f}",
            formats.count(found.missing),
            formats.count(found.n),
        )
    return table


def _share(found: Measured | None) -> Text:
    return Text("–") if found is None else _with_interval(found.value, found.ci)
