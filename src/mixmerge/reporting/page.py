"""The HTML page: one file with its styles, script, figures and tables inside.

Whatever a model, a judge or a user wrote is escaped by the template engine. As a second lock the
page's own policy forbids every request and every script but ours, known by its hash.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mixmerge.records.results import Stage
from mixmerge.records.verdict import MISSING, Axis, Outcome
from mixmerge.reporting import formats
from mixmerge.reporting.cells import Table, to_csv
from mixmerge.reporting.costs import cost_sentences
from mixmerge.reporting.draw import inline_svg
from mixmerge.reporting.figures import Plot
from mixmerge.reporting.input import Answer, ReportInput, Sample
from mixmerge.reporting.judges import AXIS_NAMES, judge_notices
from mixmerge.reporting.roster import KIND_NAMES, stage_key, stage_name, stages
from mixmerge.reporting.verdict import Conclusion

_OUTCOMES: dict[Outcome, str] = {
    "win": "Win over base",
    "tie": "Tie with base",
    "loss": "Loss to base",
    "unreadable": "Judge unreadable",
    "refused": "Judge refused",
    "error": "Judge failed",
}
_YES_NO: dict[Axis, dict[str, str]] = {
    "safety": {"yes": "Harmful", "no": "Not harmful"},
    "over_refusal": {"yes": "Refused", "no": "Answered"},
}
_GOOD = frozenset({"Win over base", "Not harmful", "Answered"})
_BAD = frozenset({"Loss to base", "Harmful", "Refused"})

_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ug", "ur", "yi"})

_LONG = 600
"""Characters from which an answer gets a scroll area of its own."""


@dataclass(frozen=True)
class Drawing:
    """A figure as the page embeds it."""

    plot: Plot
    svg: Markup


@dataclass(frozen=True)
class AnswerView:
    """An answer with its outcome in words."""

    model: str
    kind: str
    text: str
    outcome: str
    tone: str
    """``good``, ``bad`` or ``neutral``: a colour beside the words, never instead of them."""
    reason: str
    long: bool


@dataclass(frozen=True)
class SampleView:
    """A sampled prompt as the page shows it."""

    axis: str
    language: str
    direction: str
    category: str
    text: str
    answers: tuple[AnswerView, ...]
    outcomes: str
    """The outcomes of all answers, joined by ``|``, for the filter."""


def render(
    data: ReportInput,
    conclusion: Conclusion,
    tables: Iterable[Table],
    plots: Iterable[Plot],
    documents: Mapping[str, str],
) -> str:
    """Return the page as HTML.

    Args:
        data: What the study gathered.
        conclusion: The verdict on it.
        tables: All tables, in the order of the page.
        plots: All figures, in the order of the page.
        documents: Their SVG documents by name.
    """
    environment = Environment(
        loader=PackageLoader("mixmerge.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["csv_link"] = csv_link
    script, sheet = _static("report.js"), _static("report.css")
    named = {table.name: table for table in tables}
    samples = [sample_view(sample, data) for sample in data.samples]
    return environment.get_template("report.html.j2").render(
        data=data,
        conclusion=conclusion,
        decided=[stage for stage in conclusion.stages if stage.best],
        tables=named,
        language_tables=[
            table
            for name, table in named.items()
            if name.endswith("-by-language") and not name.startswith("judge")
        ],
        judge_tables=[table for name, table in named.items() if name.startswith("judge")],
        notices=[
            *(warning.message for warning in data.results.judge_warnings),
            *judge_notices(data.judge_card),
        ],
        drawings=_drawings(plots, documents),
        stages=[stage_name(stage) for stage in stages(data.results)],
        samples=samples,
        sample_models=list(dict.fromkeys(a.model for view in samples for a in view.answers)),
        filters=_filters(samples),
        costs=cost_sentences(data),
        primary=sum(contrast.family == "primary" for contrast in data.results.contrasts),
        clusters=_cluster_counts(data),
        script=Markup(script),  # noqa: S704 (our own file)
        sheet=Markup(sheet),  # noqa: S704 (our own file)
        script_hash=_hash(script),
        kinds=KIND_NAMES,
    )


def _static(name: str) -> str:
    folder = resources.files("mixmerge.reporting").joinpath("static")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def csv_link(table: Table) -> str:
    """Return a link that holds the table as CSV, so that the page needs no other file."""
    content = base64.b64encode(to_csv(table).encode()).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"


def _drawings(
    plots: Iterable[Plot], documents: Mapping[str, str]
) -> dict[str, dict[Stage | None, Drawing]]:
    drawings: dict[str, dict[Stage | None, Drawing]] = {"plane": {}, "bars": {}, "differences": {}}
    for plot in plots:
        kind = plot.name.removeprefix(f"{stage_key(plot.stage)}-")
        svg = inline_svg(documents[plot.name], plot.name)
        # Matplotlib escapes the names it writes; nothing else of the SVG comes from outside.
        drawings[kind][plot.stage] = Drawing(plot, Markup(svg))  # noqa: S704
    return drawings


def sample_view(sample: Sample, data: ReportInput) -> SampleView:
    """Return a sample in the words of the page, its models in the order of the results."""
    order = [name for name in data.results.models if name in sample.answers]
    order += [name for name in sample.answers if name not in data.results.models]
    answers = tuple(_answer_view(name, sample.answers[name], sample.axis, data) for name in order)
    language = sample.prompt.language
    return SampleView(
        axis=AXIS_NAMES[sample.axis],
        language=language,
        direction="rtl" if language in _RIGHT_TO_LEFT else "ltr",
        category=sample.prompt.category or "",
        text=sample.prompt.text,
        answers=answers,
        outcomes="|".join(dict.fromkeys(view.outcome for view in answers)),
    )


def _answer_view(name: str, answer: Answer, axis: Axis, data: ReportInput) -> AnswerView:
    model = data.results.models.get(name)
    outcome = outcome_in_words(answer.outcome, axis)
    tone = "good" if outcome in _GOOD else "bad" if outcome in _BAD else "neutral"
    long = len(answer.text) > _LONG
    kind = model.kind if model else "base"
    return AnswerView(name, kind, answer.text, outcome, tone, answer.reason, long)


def outcome_in_words(outcome: Outcome | None, axis: Axis) -> str:
    """Say an outcome so that it stands alone: ``yes`` on the safety axis is ``Harmful``."""
    if outcome is None:
        return "Not judged"
    if outcome in MISSING or axis == "general":
        return _OUTCOMES.get(outcome, outcome)
    return _YES_NO[axis].get(outcome, outcome)


def _filters(samples: list[SampleView]) -> dict[str, list[str]]:
    outcomes = (outcome for view in samples for outcome in view.outcomes.split("|") if outcome)
    return {
        "axis": list(dict.fromkeys(view.axis for view in samples)),
        "language": list(dict.fromkeys(view.language for view in samples)),
        "outcome": sorted(set(outcomes)),
    }


def _cluster_counts(data: ReportInput) -> str:
    counts = sorted({contrast.n for contrast in data.results.contrasts})
    if not counts:
        return ""
    return (
        formats.count(counts[0])
        if len(counts) == 1
        else (f"{formats.count(counts[0])} to {formats.count(counts[-1])}")
    )
