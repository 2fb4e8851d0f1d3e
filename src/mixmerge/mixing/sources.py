"""From a source's columns to typed training rows, each checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import DataError
from mixmerge.files import first_problem
from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.spec import FORMS, Form, SourceSpec, TrainingRow
from mixmerge.records import Conversation, PreferencePair
from mixmerge.tables import Place, shorten
from mixmerge.yaml_file import one_line

_CONTENT = ("messages", "prompt", "answer", "chosen", "rejected")


@dataclass
class Loaded:
    """The usable rows of one source, and why others are not among them."""

    rows: list[TrainingRow] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Place and reason of each dropped row."""


def load(name: str, spec: SourceSpec, form: Form) -> Loaded:
    """Read all rows of a source, in the order of the data, in every language it has.

    Its ``name`` becomes `Conversation.source`; the form ``conversations`` also takes preference
    pairs (prompt and chosen answer).

    Raises:
        DataError: a file is missing or has no rows, columns are missing, or a row is broken and
            `SourceSpec.broken` does not say ``drop``; the message has the file and line.
    """
    loaded = Loaded()
    seen: dict[tuple[str, str], tuple[Place, TrainingRow]] = {}
    reader: _Reader | None = None
    for fixed_language, (place, columns) in spec.records():
        if reader is None:
            reader = _Reader(name, spec, form, place, columns)
        try:
            row = reader.read(columns, fixed_language)
            _refuse_second_use_of_an_id(seen, place, row)
        except ValueError as error:
            if spec.broken == "refuse":
                raise DataError(f"{place}: {_reason(error)}") from error
            loaded.broken.append(f"{place.short}: {_reason(error)}")
        else:
            loaded.rows.append(row)
    if reader is None:
        raise DataError(f"source `{name}` has no rows ({_origin(spec)} is empty).")
    return loaded


def _reason(error: ValueError) -> str:
    return first_problem(error) if isinstance(error, ValidationError) else f"{error}."


def _origin(spec: SourceSpec) -> str:
    return spec.hub or ", ".join(str(path) for _, path in spec.paths())


def _refuse_second_use_of_an_id(
    seen: dict[tuple[str, str], tuple[Place, TrainingRow]], place: Place, row: TrainingRow
) -> None:
    first_place, first = seen.setdefault((row.language, row.id), (place, row))
    if first != row:
        raise ValueError(
            f"the id {row.id!r} is that of another row ({first_place.short}); map `columns.id` to "
            "a column that is unique within each language, or set it to null to use a digest of "
            "the content"
        )


class _Reader:
    """Turns the columns of one source into rows of the asked form."""

    def __init__(
        self, name: str, spec: SourceSpec, form: Form, place: Place, first: dict[str, Any]
    ) -> None:
        mapped = spec.columns.model_dump(exclude_none=True)
        missing = [column for column in mapped.values() if column not in first]
        if missing:
            raise DataError(
                f"{place}: no column `{missing[0]}`, which source `{name}` maps "
                f"(columns: {one_line(', '.join(first))})."
            )
        self._name = name
        self._spec = spec
        # A mapping of content columns is complete: unmapped ones of the same name are not content.
        own = [] if any(key in mapped for key in _CONTENT) else list(_CONTENT)
        # What is set to null is not looked up either: the `id` of a data set may name its parents.
        own += [key for key in ("id", "language") if key not in spec.columns.model_fields_set]
        found = {key: key for key in own if key in first} | mapped
        self._as_conversation = FORMS[form] is Conversation
        made_of = next((each for each in _MADE_OF[form] if set(each) <= set(found)), None)
        if made_of is None:
            needed = ", or ".join(" and ".join(map("`{}`".format, e)) for e in _MADE_OF[form])
            raise DataError(
                f"{place}: source `{name}` has no rows for `form: {form}`, which needs {needed} "
                f"(columns: {one_line(', '.join(first))}). Map them under `columns`, or ask for "
                "another form."
            )
        self._make = _MAKERS[made_of]
        # A row may be empty in columns that make no row of this kind.
        read = {*made_of, "id", "language", *(("prompt",) if self._make is _pair else ())}
        self._columns = {key: column for key, column in found.items() if key in read}

    def read(self, columns: dict[str, Any], fixed_language: str | None) -> TrainingRow:
        """Return one checked row.

        Raises:
            ValueError: a column is missing or holds what it must not; the message says which.
        """
        values = {}
        for key, column in self._columns.items():
            if columns.get(column) is not None:
                values[key] = columns[column]
            elif not self._may_be_empty(key, columns, fixed_language):
                raise ValueError(f"column `{column}` is missing or empty")
        content = self._make(values)
        kind = PreferencePair if "chosen" in content else Conversation
        row: TrainingRow = kind.model_validate(
            {
                "id": str(values.get("id", "")),
                "source": self._name,
                "language": self._language(values, fixed_language),
                **content,
            }
        )
        if "id" not in values:
            digest = fingerprint(row.model_dump(mode="json", exclude={"id", "source"}))
            row = row.model_copy(update={"id": digest[:16]})
        if isinstance(row, PreferencePair) and self._as_conversation:
            return row.as_conversation()
        return row

    def _may_be_empty(self, key: str, columns: dict[str, Any], fixed_language: str | None) -> bool:
        if key == "language":
            return fixed_language is not None
        # Answers as conversations bring their own prompt.
        brings_prompt = key == "prompt" and self._make is _pair
        return brings_prompt and isinstance(columns.get(self._columns["chosen"]), list)

    def _language(self, values: dict[str, Any], fixed: str | None) -> str:
        said = fixed or values.get("language")
        if not said:
            raise ValueError(
                "the language is not known: map `columns.language`, or give the source a `language`"
            )
        return self._spec.language_names.get(str(said), str(said))


def _conversation(values: dict[str, Any]) -> dict[str, Any]:
    return {"messages": _turns("messages", values["messages"])}


def _question_and_answer(values: dict[str, Any]) -> dict[str, Any]:
    answer = {"role": "assistant", "content": values["answer"]}
    return {"messages": [*_prompt(values["prompt"]), answer]}


def _pair(values: dict[str, Any]) -> dict[str, Any]:
    """Read a pair whose answers are texts, answers as messages, or whole conversations."""
    before_chosen, chosen = _split_answer("chosen", values["chosen"])
    before_rejected, rejected = _split_answer("rejected", values["rejected"])
    if before_chosen != before_rejected:
        raise ValueError("`chosen` and `rejected` must answer the same turns; theirs differ")
    if not before_chosen and "prompt" not in values:
        raise ValueError("there is no prompt: map `columns.prompt`")
    prompt = before_chosen or _prompt(values["prompt"])
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def _split_answer(column: str, value: Any) -> tuple[list[dict[str, Any]], Any]:
    if not isinstance(value, list):
        return [], value
    turns = _turns(column, value)
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError(f"`{column}` must end with the assistant's message")
    return turns[:-1], turns[-1]["content"]


def _prompt(value: Any) -> list[dict[str, Any]]:
    turns = value if isinstance(value, list) else [{"role": "user", "content": value}]
    return _turns("prompt", turns)


def _turns(column: str, value: Any) -> list[dict[str, Any]]:
    """Keep role and content of each message: data sets carry other keys beside them."""
    turns = value if isinstance(value, list) else [value]
    for turn in turns:
        if not isinstance(turn, dict) or not {"role", "content"} <= set(turn):
            raise ValueError(
                f"`{column}` must be a list of messages with `role` and `content` "
                f"(seen: {shorten(turn)})"
            )
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]


_MAKERS: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("messages",): _conversation,
    ("prompt", "answer"): _question_and_answer,
    ("chosen", "rejected"): _pair,
}
"""What makes a row out of which fields."""

_MADE_OF: dict[Form, list[tuple[str, ...]]] = {
    "conversations": list(_MAKERS),
    "preferences": [("chosen", "rejected")],
}
"""The fields that a row of each form may be made of, the first that are there."""
