"""The HTML page: one file with its styles, script, figures and tables inside.

Whatever a model, a judge or a user wrote is escaped by the template engine. As a second lock the
page's own policy forbids every request and every script but ours, known by its hash.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mixmerge.records.results import AxisInfo
from mixmerge.records.verdict import Outcome
from mixmerge.reporting import axes, formats
from mixmerge.reporting.cells import Table, to_csv
from mixmerge.reporting.costs import cost_sentences
from mixmerge.reporting.draw import inline_svg
from mixmerge.reporting.figures import Plot, Section
from mixmerge.reporting.input import Answer, ReportInput, Sample
from mixmerge.reporting.judges import judge_notices
from mixmerge.reporting.verdict import Conclusion

_OUTCOMES: dict[Outcome, str] = {
    "win": "Win over base",
    "tie": "Tie with base",
    "loss": "Loss to base",
    "unreadable": "Judge unreadable",
    "refused": "Judge refused",
    "error": "Judge failed",
}

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
    tables: Mapping[str, Sequence[Table]],
    plots: Iterable[Plot],
    documents: Mapping[str, str],
) -> str:
    """Return the page as HTML.

    Args:
        data: What the study gathered.
        conclusion: The verdict on it.
        tables: All tables by section.
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
    samples = [sample_view(sample, data) for sample in data.samples]
    drawings: dict[str, list[Drawing]] = {section: [] for section in get_args(Section)}
    for plot in plots:
        # Matplotlib escapes the names it writes; nothing else of the SVG comes from outside.
        svg = Markup(inline_svg(documents[plot.name], plot.name))  # noqa: S704
        drawings[plot.section].append(Drawing(plot, svg))
    return environment.get_template("report.html.j2").render(
        data=data,
        conclusion=conclusion,
        decided=[stage for stage in conclusion.stages if stage.best],
        tables=tables,
        notices=[
            *(warning.message for warning in data.results.judge_warnings),
            *judge_notices(data.judge_card),
        ],
        drawings=drawings,
        samples=samples,
        sample_models=list(dict.fromkeys(a.model for view in samples for a in view.answers)),
        filters=_filters(samples),
        costs=cost_sentences(data),
        primary=sum(contrast.family == "primary" for contrast in data.results.contrasts),
        clusters=_cluster_counts(data),
        script=Markup(script),  # noqa: S704 (our own file)
        sheet=Markup(sheet),  # noqa: S704 (our own file)
        script_hash=_hash(script),
        compares=any(info.of_base is not None for info in data.results.axes.values()),
        relative=any(info.relative for info in data.results.axes.values()),
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


def sample_view(sample: Sample, data: ReportInput) -> SampleView:
    """Return a sample in the words of the page, its models in the order of the results."""
    order = [name for name in data.results.models if name in sample.answers]
    order += [name for name in sample.answers if name not in data.results.models]
    info = data.results.axes.get(sample.axis)
    answers = tuple(_answer_view(name, sample.answers[name], info, data) for name in order)
    language = sample.prompt.language
    return SampleView(
        axis=sample.axis,
        language=language,
        direction="rtl" if language in _RIGHT_TO_LEFT else "ltr",
        category=sample.prompt.category or "",
        text=sample.prompt.text,
        answers=answers,
        outcomes="|".join(dict.fromkeys(view.outcome for view in answers)),
    )


def _answer_view(name: str, answer: Answer, info: AxisInfo | None, data: ReportInput) -> AnswerView:
    model = data.results.models.get(name)
    return AnswerView(
        model=name,
        kind=model.kind if model else "base",
        text=answer.text,
        outcome=outcome_in_words(answer, info),
        tone=_tone(answer.outcome, info),
        reason=answer.reason,
        long=len(answer.text) > _LONG,
    )


def outcome_in_words(answer: Answer, info: AxisInfo | None) -> str:
    """Say an outcome so that it stands alone: ``yes`` of harmful answers is ``Harmful: yes``."""
    if answer.outcome is None:
        return "Not judged"
    if answer.outcome == "graded" and answer.score is not None and info:
        return f"Grade {axes.value(info, answer.score)}"
    if answer.outcome in ("yes", "no") and info:
        return f"{info.title[:1].upper()}{info.title[1:]}: {answer.outcome}"
    return _OUTCOMES.get(answer.outcome, answer.outcome)


def _tone(outcome: Outcome | None, info: AxisInfo | None) -> str:
    if outcome in ("yes", "no") and info:
        return "good" if (outcome == "yes") == (info.better == "higher") else "bad"
    return {"win": "good", "loss": "bad"}.get(outcome or "", "neutral")


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
