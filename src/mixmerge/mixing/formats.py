"""Find the columns of a source: by its specification, or by the names in common formats."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mixmerge.errors import DataError
from mixmerge.mixing.contents import CHECKS, SHAPES, Shape, is_good
from mixmerge.mixing.spec import Form, SourceSpec
from mixmerge.records.turns import PROMPTS, from_text
from mixmerge.tables import Place
from mixmerge.yaml_file import one_line

_USUAL = {
    "messages": ("messages", "conversations", "conversation"),
    "prompt": ("prompt", *PROMPTS),
    "answer": ("answer", "completion", "output", "response"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "completions": ("completions", "responses", "generations"),
    "scores": ("scores", "ratings"),
    "text": ("text",),
    "system": ("system", "system_prompt"),
    "accepted": ("accepted", "ground_truth", "solution"),
    "tests": ("tests", "test_list"),
    "category": ("category",),
    "label": ("label",),
    "id": ("id",),
    "language": ("language",),
}
"""Names of each field's column, in order of preference: mixmerge's own, then those of ShareGPT,
Alpaca, Dolly, TRL and UltraFeedback."""
_NEVER_GUESSED = ("id", "language")
_TITLES = {
    ("instruction", "output"): "Alpaca",
    ("instruction", "response"): "Dolly",
    ("prompt", "completion"): "prompt and completion",
}


@dataclass(frozen=True)
class Format:
    """How to read the rows of a source."""

    shape: Shape
    columns: dict[str, list[str]]
    """The columns of each field that is read."""
    title: str
    """The format's name."""
    form: Form
    """The form of training rows that it is read as."""

    def line(self, columns: Mapping[str, list[str]]) -> str:
        """Return the format in one line, with the columns that were not empty."""
        names = {key: " + ".join(named) for key, named in columns.items()}
        if self.form == "prompts":
            right = names.get("accepted") or names.get("answer") or names.get("chosen")
            checks = [text for text in (right, names.get("tests")) if text]
            end = f", checked by {' and '.join(checks)}" if checks else ""
            return f"{self.title}: {names.get('prompt') or names[self.shape.needs[0]]}{end}"
        asked = f"{names['prompt']} → " if "prompt" in names else ""
        worse = {"conversations": "and not", "preferences": "rather than"}
        than = worse.get(self.form, "labelled true,")
        false = " labelled false" if self.form == "labelled" else ""
        last = self.shape.needs[-1]
        answer = names.get("answer") or names.get("messages")
        arrows = {
            "rejected": f"{asked}{names.get('chosen')} {than} {names.get('rejected')}{false}",
            "completions": f"{asked}the best of {names.get(last)}"
            + (f" {than} the worst{false}" if self.form != "conversations" else ""),
            "label": f"{asked}{answer}, good where {names.get('label')} is true",
        }
        parts = [arrows.get(last, asked + names[last])]
        parts += [f"system message: {names['system']}"] if "system" in names else []
        if "label" in names and last != "label":
            parts.append(f"only where {names['label']} is true")
        return f"{self.title}: {', '.join(parts)}"


def recognise(
    name: str, spec: SourceSpec, form: Form, place: Place, first: Mapping[str, Any]
) -> Format:
    """Decide from the first row of a source which columns are read as which fields.

    The mapping in ``columns`` comes first; if it is enough for a row, no other column is content. A
    field set to null is not looked up.

    Raises:
        DataError: a mapped column is missing, or the columns do not make a row of the form.
    """
    mapped: dict[str, list[str]] = {
        key: [named] if isinstance(named, str) else named
        for key, named in spec.columns.model_dump(exclude_none=True).items()
    }
    missing = [column for named in mapped.values() for column in named if column not in first]
    if missing and missing != mapped.get("scores"):  # scores may be a key of each answer
        raise DataError(
            f"{place}: no column `{missing[0]}`, which source `{name}` maps "
            f"(columns: {one_line(', '.join(first))})."
        )
    usual = {
        key: [next(column for column in names if column in first)]
        for key, names in _USUAL.items()
        if key not in spec.columns.model_fields_set and any(column in first for column in names)
    }
    checks = CHECKS if form == "prompts" else ()
    beside = {
        key: usual[key] for key in (*_NEVER_GUESSED, "system", "label", *checks) if key in usual
    }
    own = {key: named for key, named in usual.items() if named == [key]}
    # The surest evidence first: the mapping, then mixmerge's own names, then other formats' names.
    # Otherwise a stray `text` column could win over the columns that the study maps.
    for found in (beside | mapped, beside | own | mapped, usual | mapped):
        for shape in SHAPES:
            if form in shape.forms and {*shape.needs} <= {*found} and _fits(shape, found, first):
                kept = {*shape.needs, *shape.may_have, *_NEVER_GUESSED, *checks}
                columns = {key: found[key] for key in _USUAL if key in kept and key in found}
                asked = "label" in mapped or "label" in shape.needs
                if not asked and not _labels(first, columns):
                    columns.pop("label", None)
                return Format(shape, columns, _title(shape, columns, first), form)
    raise DataError(
        f"{place}: source `{name}` has no rows for `form: {form}`, which needs {_needed(form)} "
        f"(columns: {one_line(', '.join(first))}). Map them under `columns`, or ask for "
        "another form."
    )


def _needed(form: Form) -> str:
    ways = [shape.needs for shape in SHAPES if form in shape.forms]
    return ", or ".join(" and ".join(f"`{field}`" for field in needs) for needs in ways)


def _fits(shape: Shape, found: Mapping[str, list[str]], first: Mapping[str, Any]) -> bool:
    """Return whether `completions` holds a list; in TRL it may hold a single answer."""
    if "completions" not in shape.needs:
        return True
    return isinstance(first.get(found["completions"][0]), list)


def _labels(first: Mapping[str, Any], columns: Mapping[str, list[str]]) -> bool:
    """Return whether a column called `label` holds a KTO label, and not, say, a class."""
    try:
        is_good(first.get(columns.get("label", [""])[0]))
    except ValueError:
        return False
    return True


def _title(shape: Shape, columns: Mapping[str, list[str]], first: Mapping[str, Any]) -> str:
    if shape.needs[0] == "messages":
        turns = from_text("messages", first.get(columns["messages"][0]))
        turn = turns[0] if isinstance(turns, list) and turns else turns
        return "ShareGPT" if isinstance(turn, dict) and "from" in turn else "chat"
    if shape.needs[:2] == ("prompt", "answer"):
        if "label" in columns:
            return "KTO"
        return _TITLES.get((columns["prompt"][0], columns["answer"][0]), "question and answer")
    titles = {
        "prompt": "prompts",
        "rejected": "preference pairs",
        "completions": "several answers with scores",
    }
    return titles.get(shape.needs[-1], "text with marked turns")
