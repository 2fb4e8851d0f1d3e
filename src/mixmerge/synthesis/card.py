"""The data card of generated rows: ``README.md`` with the metadata that the Hugging Face hub reads.

Everything in it follows from the rows and from the report of their generation (Gebru et al., 2021,
Datasheets for Datasets). What nobody measured is said under its limits.
"""

import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mixmerge.files import write_text
from mixmerge.spec_model import parts
from mixmerge.synthesis.filters.filter import FilterSpec
from mixmerge.synthesis.filters.personal_data import NOT_SEEN
from mixmerge.synthesis.report import GenerationReport, SeedReport, by_language
from mixmerge.synthesis.row import ROWS, MadeBy, Row
from mixmerge.synthesis.spec import GenerateDataSpec

CARD = "README.md"
UNKNOWN = "unknown"
_MOST_VALUES = 6
"""Values of a parameter that are listed; of more, their number."""
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


def write_card(
    folder: Path, spec: GenerateDataSpec, rows: Sequence[Row], report: GenerationReport
) -> Path:
    """Write the card of the rows in ``folder``, under its name; returns the card's path."""
    write_text(folder / CARD, card(folder.resolve().name, spec, rows, report))
    return folder / CARD


def card(name: str, spec: GenerateDataSpec, rows: Sequence[Row], report: GenerationReport) -> str:
    """Return the card: metadata as YAML, and what was made from what, how, and at what price."""
    sections = [
        _metadata(name, rows, report),
        f"# {_line(name)}",
        _size(rows),
        "## Sources",
        _sources(rows, report.seeds),
        "## How it was made",
        _steps(rows, report),
        "## What was left out",
        _dropped(report),
        *(["## Quotas", _quotas(report)] if spec.quotas else []),
        "## Price",
        _price(report),
        "## Limits",
        _listed(_limits(spec, rows, report)),
    ]
    return "\n\n".join(sections) + "\n"


def _metadata(name: str, rows: Sequence[Row], report: GenerationReport) -> str:
    from huggingface_hub import DatasetCardData

    licences = _licences(rows, report)
    languages = sorted({row.language for row in rows})
    data = DatasetCardData(
        pretty_name=" ".join(name.split()),
        language=languages or None,
        license=licences[0] if len(licences) == 1 else licences or None,
        size_categories=next((s for most, s in _SIZES.items() if len(rows) < most), "n>1M"),
        multilinguality="monolingual" if len(languages) < 2 else "multilingual",
        annotations_creators="machine-generated",
        language_creators="machine-generated",
        task_categories=["text-generation"],
        tags=["synthetic", "mixmerge"],
        configs=[{"config_name": "default", "data_files": ROWS}],
    )
    return f"---\n{data.to_yaml().strip()}\n---"


def _licences(rows: Iterable[Row], report: GenerationReport) -> list[str]:
    """Return the licence of every source that a row comes from."""
    by_source = {source: seed.licence for source, seed in report.seeds.items()}
    named = {
        row.provenance.licence or by_source.get(row.provenance.source, UNKNOWN) for row in rows
    }
    return sorted(licence.lower() for licence in named)


def _size(rows: Sequence[Row]) -> str:
    kinds = Counter(row.kind for row in rows)
    what = {"prompt": "prompts", "messages": "conversations", "pair": "preference pairs"}
    said = ", ".join(f"{count:,} {what[kind]}" for kind, count in kinds.items())
    if not any(row.category for row in rows):
        table = _table(("language", "rows"), by_language(rows).items())
    else:
        cells = Counter((row.category or "none", row.language) for row in rows)
        languages = sorted({language for _, language in cells})
        table = _table(
            ("category", *languages),
            [
                (category, *(cells[category, language] for language in languages))
                for category in sorted({category for category, _ in cells})
            ],
        )
    return f"{said}, in `{ROWS}`.\n\n{table}"


def _sources(rows: Sequence[Row], seeds: Mapping[str, SeedReport]) -> str:
    made = Counter(row.provenance.source for row in rows)
    used: dict[str, set[str]] = {}
    for row in rows:
        used.setdefault(row.provenance.source, set()).add(row.provenance.seed)
    table = _table(
        ("source", "licence", "read as", "seeds", "seeds with rows here", "rows from them"),
        [
            (name, seed.licence, seed.read_as, seed.rows, len(used.get(name, ())), made[name])
            for name, seed in seeds.items()
        ],
    )
    return (
        f"{table}\n\nEvery row names its source, its seed and the source's licence under "
        "`provenance`. Licences of the models that made the rows may restrict their use, too."
    )


def _steps(rows: Sequence[Row], report: GenerationReport) -> str:
    by_step: dict[str, list[MadeBy]] = {}
    for row in rows:
        for by in row.provenance.made_by:
            by_step.setdefault(by.step, []).append(by)
    table = _table(
        ("step", "recipe", "models", "instruction", "parameters", "took", "made", "of these rows"),
        [
            (
                step.name,
                step.recipe,
                _values(by.model for by in by_step.get(step.name, ())) or ", ".join(step.models),
                _values(by.prompt for by in by_step.get(step.name, ())),
                _parameters(by_step.get(step.name, ())),
                step.took,
                step.made,
                len(by_step.get(step.name, ())),
            )
            for step in report.steps
        ],
    )
    measured = [
        f"{step.name}: {name} {value:.4g}"
        for step in report.steps
        for name, value in step.measured.items()
    ]
    said = "An instruction is named by the beginning of the SHA-256 of its text."
    return f"{table}\n\n{said}" + ("\n\n" + _listed(measured) if measured else "")


def _parameters(steps: Iterable[MadeBy]) -> str:
    found: dict[str, dict[str, None]] = {}
    for by in steps:
        for name, value in by.parameters.items():
            found.setdefault(name, {})[
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            ] = None
    return "; ".join(f"{name}: {_values(values)}" for name, values in found.items())


def _values(values: Iterable[str]) -> str:
    different = list(dict.fromkeys(values))
    if len(different) > _MOST_VALUES:
        return f"{len(different):,} values"
    return ", ".join(different)


def _dropped(report: GenerationReport) -> str:
    rows: list[tuple[str, str, int]] = []
    for source, seed in report.seeds.items():
        rows += [(f"seeds {source}", reason, count) for reason, count in seed.filtered.items()]
    for step in report.steps:
        rows += [(step.name, reason, count) for reason, count in step.dropped.items()]
        rows += [(step.name, reason, count) for reason, count in step.filtered.items()]
    rows += [("result", reason, count) for reason, count in report.filtered.items()]
    if report.outside_quotas:
        rows.append(("result", "beyond the quotas", report.outside_quotas))
    if not rows:
        return "Nothing."
    return _table(("at", "reason", "rows"), rows)


def _quotas(report: GenerationReport) -> str:
    return _listed(report.short) if report.short else "All quotas are filled exactly."


def _price(report: GenerationReport) -> str:
    lines = [
        (step.name, model, f"{usage.calls:,}", _count(usage.input_tokens),
         _count(usage.output_tokens), _dollars(usage.dollars))
        for step in report.steps
        for model, usage in step.models.items()
    ]  # fmt: skip
    said = f"{report.calls:,} calls; together {_dollars(report.dollars)}, failed attempts included."
    headings = ("step", "model", "calls", "tokens in", "tokens out", "price")
    return f"{said}\n\n{_table(headings, lines)}" if lines else said


def _count(tokens: int | None) -> str:
    return "not counted" if tokens is None else f"{tokens:,}"


def _dollars(value: float | None) -> str:
    return "no price given" if value is None else f"${value:,.2f}"


def _limits(spec: GenerateDataSpec, rows: Sequence[Row], report: GenerationReport) -> list[str]:
    """Return what a reader must not take for granted."""
    made = sum(bool(row.provenance.made_by) for row in rows)
    first = (
        f"{made:,} of {len(rows):,} rows were written or changed by models; no person has checked "
        "them. They have the errors, habits and refusals of these models."
    )
    said = [first]
    by = Counter(row.provenance.translated for row in rows)
    if by["machine"]:
        said.append(f"{by['machine']:,} rows are machine translations without a person's check.")
    used = {each.key for _, each in parts(spec) if isinstance(each, FilterSpec)}
    said.append(NOT_SEEN if "personal_data" in used else "Nobody searched for personal data.")
    if "overlap" not in used:
        said.append("The rows were not compared with the prompts of any evaluation.")
    if UNKNOWN in _licences(rows, report):
        said.append("The licence of a source is not known: find it out before you share the rows.")
    notes = [*report.notes, *(note for step in report.steps for note in step.notes)]
    return said + notes + [note for seed in report.seeds.values() for note in seed.notes]


def _table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _line(str(value)).replace("|", "\\|")


def _line(text: str) -> str:
    """Return a text of one line that is shown as it is: names come from data and may be markup."""
    marked = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]#" else char for char in marked)


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_line(line)}" for line in lines)
