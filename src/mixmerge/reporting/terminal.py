"""Tables for the terminal: the results of a study, and the trial of its judges."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from mixmerge.records import Axis
from mixmerge.records.judge_card import Grade, JudgeCard
from mixmerge.records.results import Results
from mixmerge.reporting import formats
from mixmerge.reporting.advice import Step, tell
from mixmerge.reporting.arms import arm_sentences
from mixmerge.reporting.cells import ABSENT, Cell, of_axis, relative
from mixmerge.reporting.judges import share
from mixmerge.reporting.lengths import length_sentences
from mixmerge.reporting.models import arm_name, base_models, mark, models_of, names_arms, stages
from mixmerge.reporting.verdict import conclude

_STYLES = {
    "base": "dim", "given": "magenta", "mixture": "blue", "expert": "yellow", "merge": "green",
}  # fmt: skip
_GRADE_STYLES: dict[Grade, str] = {"useless": "bold red", "doubtful": "yellow", "usable": "green"}

_ROOM = 2
"""Most axes whose intervals fit into 80 columns, beside the values of one more."""


def result_table(results: Results) -> Table:
    """Return every model with its values, one line each, with intervals if they fit."""
    table = _table(results.study)
    table.add_column("Model", overflow="fold")
    if names_arms(results):
        table.add_column("Arm")
    axes = sorted(results.axes, key=lambda axis: not results.axes[axis].primary)
    wide = axes[:_ROOM] if len(axes) <= _ROOM + 1 else []
    for axis in axes:
        info = results.axes[axis]
        title = f"{axis}\n{info.title}" if axis != info.title else axis
        table.add_column(Text(title), justify="right", no_wrap=axis in wide)
        if axis in wide and info.relative:
            table.add_column("vs base", justify="right", no_wrap=True)
    _add_rows(table, results, base_models(results), axes, wide)
    for stage in stages(results):
        table.add_section()
        _add_rows(table, results, models_of(results, stage), axes, wide)
    return table


def closing(results: Results, run: Path) -> list[Text]:
    """Return the lines below the table: the verdict, its evidence, and the advice.

    Args:
        results: with advice.
        run: the run folder, to which the folders of models are relative.
    """
    conclusion, told = conclude(results), tell(results)
    lines = [Text(conclusion.headline, "bold")]
    said = [conclusion.evidence, *arm_sentences(results)]
    said += [*length_sentences(results), conclusion.prompts]
    lines += [Text(each) for each in said if each]
    lines += [Text(each, "yellow") for each in (*conclusion.too_small, *results.warnings)]
    if told:
        lines += [Text(), _to_do(told.take, run, "bold"), *map(Text, told.why)]
        lines += [_to_do(each, run) for each in told.otherwise]
        lines += [Text(f"Open: {each}", "dim") for each in told.open]
    return lines


def _to_do(step: Step, run: Path, style: str = "") -> Text:
    return Text.assemble((step.sentence, style), f" {run / step.folder}" if step.folder else "")


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)


def _add_rows(
    table: Table, results: Results, names: Sequence[str], axes: Sequence[Axis], wide: Sequence[Axis]
) -> None:
    for name in names:
        model = results.models[name]
        # A Text, since a string's square brackets would be markup.
        row = [Text(name, style=_STYLES.get(mark(results, name), "cyan"))]
        row += [Text(arm_name(results, name))] * names_arms(results)
        for axis in axes:
            score, info = model.axes.get(axis), results.axes[axis]
            ci = score.ci if score and axis in wide else None
            row.append(_with_interval(of_axis(info, score.value, ci) if score else ABSENT))
            if axis in wide and info.relative:
                change = score.change_from_base if score else None
                row.append(Text(relative(change.relative if change else None, None).text))
        table.add_row(*row)


def _with_interval(cell: Cell) -> Text:
    if not cell.interval:
        return Text(cell.text)
    return Text.assemble(cell.text, (f" {cell.interval.replace(' to ', '–')}", "dim"))


def trial_table(card: JudgeCard) -> Table:
    """Return each judge's grade with its main numbers, one line each."""
    table = _table("judge card")
    for heading in ("Axis", "Grade"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Sensitivity", "Specificity", "Alpha", "Missing", "Labelled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for axis, trial in card.axes.items():
        found = trial.accuracy
        table.add_row(
            axis,
            Text(trial.grade, style=_GRADE_STYLES[trial.grade]),
            _with_interval(share(found.sensitivity)),
            _with_interval(share(found.specificity)),
            "–" if trial.alpha is None else f"{trial.alpha.value:.2f}",
            formats.count(found.missing),
            formats.count(found.n),
        )
    return table
