"""``mixmerge plan --power``: options, and the tables of what a study can show."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mixmerge.cli.console import Console
from mixmerge.cli.screen import working
from mixmerge.errors import SpecError

if TYPE_CHECKING:
    from mixmerge.evaluation.measures import Measure
    from mixmerge.study.power import ContrastPower, StudyPower

_PANEL = "Power"
_NONE = "–"


def _option(*names: str, help: str) -> typer.models.OptionInfo:  # noqa: A002 - typer's own name
    option: typer.models.OptionInfo = typer.Option(*names, help=help, rich_help_panel=_PANEL)
    return option


Power = Annotated[bool, _option("--power", help="Simulate what differences the study can show.")]
Pilots = Annotated[
    list[Path] | None,
    _option("--pilot", help="A run folder to draw scores from; again for runs of other seeds."),
]
Differences = Annotated[
    list[str] | None,
    _option("--difference", help="A wanted difference, 0.05 or AXIS=0.05: what it takes."),
]
Prompts = Annotated[
    list[str] | None,
    _option("--prompts", help="AXIS=500, or AXIS=200x6 for 200 questions in 6 languages."),
]
Rates = Annotated[
    list[str] | None, _option("--rate", help="AXIS=0.3: the baseline's value; by default 0.5.")
]
Correlation = Annotated[
    float | None, _option("--correlation", help="Of two models on one prompt; by default 0.5.")
]
Within = Annotated[
    float | None,
    _option("--within", help="Of differences within a source question; by default 0.3."),
]
Card = Annotated[
    Path | None, _option("--judge-card", help="A judge_card.json: the judge's errors.")
]
Sensitivity = Annotated[
    float | None, _option("--sensitivity", help="Of the judge, without a card; by default 1.")
]
Specificity = Annotated[float | None, _option("--specificity", help="The same.")]
Seeds = Annotated[
    int | None, _option("--seeds", help="Training seeds; needs a --pilot of each of several.")
]
Studies = Annotated[int | None, _option("--studies", help="Simulated studies; by default 2,000.")]
AsJson = Annotated[bool, _option("--json", help="Print the power as JSON for other tools.")]


def show_power(
    study: Path,
    out: Path | None,
    seed: int | None,
    options: Mapping[str, Any],
    *,
    as_json: bool,
) -> int:
    """Simulate and print the power of a study; ``options`` are those that were given."""
    with working("simulating studies"):
        from mixmerge.study.power import power
        from mixmerge.study.power_inputs import Assumed

        found = power(study, out, Assumed(**_assumed(options)), seed=seed)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        Console(highlight=False).print(tables(found, _measures(study)))
    return 0


def _measures(study: Path) -> dict[str, "Measure"]:
    from mixmerge.study.check import read_study

    return {axis: spec.measure for axis, spec in read_study(study).evaluate.axes.items()}


def _assumed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Assumed` for options as they were typed."""
    found = {name: value for name, value in options.items() if value not in (None, [])}
    for name in ("rates", "differences"):
        if name in found:
            found[name] = {axis: _number(name, text) for axis, text in _by_axis(name, found[name])}
    if "prompts" in found:
        found["prompts"] = {
            axis: _size(text) for axis, text in _by_axis("prompts", found["prompts"])
        }
    return found


def _by_axis(option: str, given: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    for text in given:
        axis, equals, value = text.rpartition("=")
        if not equals and option != "differences":
            raise SpecError(f"--{option.rstrip('s')} {text}: AXIS=NUMBER is required.")
        yield (axis if equals else None), value


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecError(f"--{option.rstrip('s')} {text}: a number is required.") from None


def _size(text: str) -> tuple[int, int]:
    clusters, _, each = text.partition("x")
    try:
        return int(clusters), int(each or 1)
    except ValueError:
        raise SpecError(
            f"--prompts {text}: a number of source questions is required, as AXIS=500, or with the "
            "prompts of each, as AXIS=200x6."
        ) from None


def tables(found: "StudyPower", measures: Mapping[str, "Measure"]) -> Group:
    """Return the power of all contrasts, what a wanted difference takes, and the assumptions."""
    parts: list[Table | Text] = [_smallest(found, measures)]
    if any(each.needed for each in found.contrasts):
        parts += [Text(), _needed(found, measures)]
        whys = [each.needed.why for each in found.contrasts if each.needed and each.needed.why]
        parts += [Text(f"! {why}", style="yellow") for why in dict.fromkeys(whys)]
    notes = [*_notes(found), *_seeds(found, measures)]
    return Group(*parts, Text(), *map(Text, notes))


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    for heading in headings:
        left = heading in ("Axis", "Models")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    return table


def _named(each: "ContrastPower") -> tuple[str, str]:
    return each.axis, "each pair" if each.pair is None else f"{each.pair[0]} – {each.pair[1]}"


def _smallest(found: "StudyPower", measures: Mapping[str, "Measure"]) -> Table:
    seeds = any(each.over_seeds is not None for each in found.contrasts)
    headings = ("Axis", "Models", "Prompts", "Questions", "Smallest", "±", "Beats", "Not worse")
    title = f"{found.study}: the smallest difference seen at 80% power"
    table = _table(title, *headings, *(["Over seeds"] if seeds else []))
    for each in found.contrasts:
        measure = measures[each.axis]
        cells = [f"{each.prompts:,}", f"{each.clusters:,}"]
        cells += [_amount(each.smallest, measure), _amount(each.error, measure)]
        cells += [f"{each.beats:.0%}", f"{each.not_worse:.0%}"]
        cells += [_amount(each.over_seeds, measure)] if seeds else []
        table.add_row(*_named(each), *cells)
    return table


def _amount(value: float | None, measure: "Measure") -> str:
    if value is None:
        return "none"
    return f"{100 * value:.1f} pt" if measure.unit == "percent" else f"{value:.2g}"


def _needed(found: "StudyPower", measures: Mapping[str, "Measure"]) -> Table:
    seeds = any(each.needed and each.needed.seeds for each in found.contrasts)
    headings = ("Axis", "Models", "Wanted", "Power now", "Prompts", "Questions")
    table = _table(
        "What a wanted difference takes, at 80% power",
        *headings,
        *(["Seeds"] if seeds else []),
        "Judge calls",
        "Price",
    )
    for each in found.contrasts:
        if (own := each.needed) is None:
            continue
        cells = [_amount(own.difference, measures[each.axis]), f"{own.power:.0%}"]
        cells += [_count(own.prompts), _count(own.clusters)]
        cells += [_count(own.seeds)] if seeds else []
        price = (
            _NONE if own.calls is None else "?" if own.dollars is None else f"≤ ${own.dollars:,.2f}"
        )
        table.add_row(*_named(each), *cells, _count(own.calls), price)
    return table


def _count(number: int | None) -> str:
    return _NONE if number is None else f"{number:,}"


def _notes(found: "StudyPower") -> Iterator[str]:
    error = 196 * (0.16 / found.studies) ** 0.5
    yield (
        f"{found.studies:,} simulated studies (seed {found.seed}), with the tests, margins and "
        f"decisions of the results, adjusted for {found.tests} contrasts. In 19 of 20 cases a "
        f"power of 80% is within {error:.1f} points of its true value, and a smallest difference "
        "within ±."
    )
    yield (
        "Beats: share of studies that decide so with this difference and none on other axes. Not "
        "worse: share that show it, by the margin, where there is no difference. To show that in "
        f"80% of studies takes about {_not_worse(found)} source questions."
    )
    yield from found.assumptions


def _seeds(found: "StudyPower", measures: Mapping[str, "Measure"]) -> Iterator[str]:
    for each in found.contrasts:
        if each.seed_sd is not None:
            sd, low, high = (_amount(value, measures[each.axis]) for value in each.seed_sd)
            yield (
                f"{': '.join(_named(each))}: between the pilot's seeds the difference has a "
                f"standard deviation of {sd} (95% interval {low} to {high})."
            )


def _not_worse(found: "StudyPower") -> str:
    most: dict[str, int] = {}
    for each in found.contrasts:
        if each.for_not_worse is not None:
            most[each.axis] = max(most.get(each.axis, 0), each.for_not_worse)
    return ", ".join(f"{count:,} ({axis})" for axis, count in most.items()) or "no number of"
