"""From a source's columns to typed training rows, each checked."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import DataError
from mixmerge.files import first_problem
from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.spec import FORMS, Form, SourceSpec, TrainingRow
from mixmerge.records import Conversation, PreferencePair
from mixmerge.records.turns import (
    PROMPTS,
    Turns,
    columns_of_prompt,
    from_text,
    joined,
    read_turns,
)
from mixmerge.tables import Place
from mixmerge.yaml_file import one_line

_CONTENT = ("messages", "prompt", "answer", "chosen", "rejected")
_USUAL = {
    "messages": ("conversations", "conversation"),
    "prompt": PROMPTS,
    "answer": ("completion", "output", "response"),
}
"""What common formats call them: ShareGPT, Alpaca, TRL's prompt and completion."""


@dataclass
class Loaded:
    """The usable rows of one source, and why others are not among them."""

    rows: list[TrainingRow] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Place and reason of each dropped row."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Which columns are read, by what they hold."""
    unread: dict[str, int] = field(default_factory=dict)
    """Rows by what they hold and nobody reads: columns, and keys of messages."""


def load(
    name: str, spec: SourceSpec, form: Form, only: str | None = None, *, first: int | None = None
) -> Loaded:
    """Read all rows of a source, or the first of each file, in the order of the data.

    Its ``name`` becomes `Conversation.source`; the form ``conversations`` also takes preference
    pairs (prompt and chosen answer). ``only`` is the language of rows that do not say theirs; of
    each file only the ``first`` rows are read, where that is asked.

    Raises:
        DataError: a file is missing or has no rows, columns are missing, or a row is broken and
            `SourceSpec.broken` does not say ``drop``; the message has the file and line.
    """
    loaded = Loaded()
    seen: dict[tuple[str, str], tuple[Place, TrainingRow]] = {}
    reader: _Reader | None = None
    for fixed_language, (place, columns) in spec.records(first):
        if reader is None:
            reader = _Reader(name, spec, form, only, place, columns)
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
    loaded.columns = reader.columns
    loaded.unread = dict(sorted(reader.unread.items()))
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
        self,
        name: str,
        spec: SourceSpec,
        form: Form,
        only: str | None,
        place: Place,
        first: dict[str, Any],
    ) -> None:
        mapped: dict[str, list[str]] = {
            key: [named] if isinstance(named, str) else named
            for key, named in spec.columns.model_dump(exclude_none=True).items()
        }
        missing = [column for named in mapped.values() for column in named if column not in first]
        if missing:
            raise DataError(
                f"{place}: no column `{missing[0]}`, which source `{name}` maps "
                f"(columns: {one_line(', '.join(first))})."
            )
        self._name = name
        self._spec = spec
        self._only = only
        self._as_conversation = FORMS[form] is Conversation
        found, made_of = self._found(first, mapped, form)
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
        self.columns = {key: columns for key, columns in found.items() if key in read}
        """Which columns are read, by what they hold."""
        self._read = {column for columns in self.columns.values() for column in columns}
        self.unread: Counter[str] = Counter()
        """Rows by what they hold and nobody reads: columns, and keys of messages."""

    def _found(
        self, first: dict[str, Any], mapped: dict[str, list[str]], form: Form
    ) -> tuple[dict[str, list[str]], tuple[str, ...] | None]:
        """Return the columns of each field, and the fields that make a row."""
        # What is set to null is not looked up either: the `id` of a data set may name its parents.
        free = [key for key in ("id", "language") if key not in self._spec.columns.model_fields_set]
        plain = {key: [key] for key in free if key in first} | mapped
        own = {key: [key] for key in _CONTENT if key in first}
        usual = {
            key: [next(name for name in names if name in first)]
            for key, names in _USUAL.items()
            if any(name in first for name in names)
        }
        # A mapping of content columns that makes a row is complete: others are not content.
        for found in (plain, own | plain, usual | own | plain):
            if len(found.get("prompt", ())) == 1:
                listed = isinstance(self._spec.columns.prompt, list)
                asked = found["prompt"] if listed else found["prompt"][0]
                found["prompt"] = columns_of_prompt(asked, first)
            for each in _MADE_OF[form]:
                if set(each) <= set(found):
                    return found, each
        return found, None

    def read(self, columns: dict[str, Any], fixed_language: str | None) -> TrainingRow:
        """Return one checked row.

        Raises:
            ValueError: a column is missing or holds what it must not; the message says which.
        """
        values = {}
        for key, named in self.columns.items():
            cells = [columns[name] for name in named if columns.get(name) is not None]
            if cells:
                values[key] = cells[0] if len(named) == 1 else joined(named, cells)
            elif not self._may_be_empty(key, columns, fixed_language):
                raise ValueError(f"column `{named[0]}` is missing or empty")
        content, turns = self._make(values)
        unread = {name for name, cell in columns.items() if cell and name not in self._read}
        self.unread.update(unread | turns.unread)
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
            return fixed_language is not None or self._only is not None
        # Answers as conversations bring their own prompt.
        if key != "prompt" or self._make is not _pair:
            return False
        return isinstance(from_text("chosen", columns.get(self.columns["chosen"][0])), list)

    def _language(self, values: dict[str, Any], fixed: str | None) -> str:
        said = fixed or values.get("language") or self._only
        if not said:
            raise ValueError(
                "the language is not known: map `columns.language`, or give the source a `language`"
            )
        return self._spec.language_names.get(str(said), str(said))


def _conversation(values: dict[str, Any]) -> tuple[dict[str, Any], Turns]:
    turns = read_turns("messages", values["messages"])
    return {"messages": turns}, turns


def _question_and_answer(values: dict[str, Any]) -> tuple[dict[str, Any], Turns]:
    prompt = _prompt(values["prompt"])
    before, answer = _split_answer("answer", values["answer"], prompt.unread)
    if not isinstance(answer, dict):
        answer = {"role": "assistant", "content": answer}
    return {"messages": [*prompt, *before, answer]}, prompt


def _pair(values: dict[str, Any]) -> tuple[dict[str, Any], Turns]:
    """Read a pair whose answers are texts, answers as messages, or whole conversations."""
    read = Turns()
    before_chosen, chosen = _split_answer("chosen", values["chosen"], read.unread)
    before_rejected, rejected = _split_answer("rejected", values["rejected"], read.unread)
    if before_chosen != before_rejected:
        raise ValueError("`chosen` and `rejected` must answer the same turns; theirs differ")
    if not before_chosen:
        if "prompt" not in values:
            raise ValueError("there is no prompt: map `columns.prompt`")
        before_chosen = _prompt(values["prompt"])
        read.unread |= before_chosen.unread
    answers = {"chosen": _text_of("chosen", chosen), "rejected": _text_of("rejected", rejected)}
    return {"prompt": before_chosen, **answers}, read


def _text_of(column: str, answer: Any) -> Any:
    if isinstance(answer, dict):
        if "weight" in answer:
            raise ValueError(f"the answer of `{column}` has a weight of 0")
        return answer["content"]
    return answer


def _split_answer(column: str, value: Any, unread: set[str]) -> tuple[list[dict[str, Any]], Any]:
    """Return the turns before the answer, and the answer: a message, or as it is given."""
    value = from_text(column, value)
    if not isinstance(value, (list, dict)):
        return [], value
    turns = read_turns(column, value)
    unread |= turns.unread
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError(f"`{column}` must end with the assistant's message")
    return turns[:-1], turns[-1]


def _prompt(value: Any) -> Turns:
    value = from_text("prompt", value)
    turns = value if isinstance(value, (list, dict)) else {"role": "user", "content": value}
    return read_turns("prompt", turns)


_MAKERS: dict[tuple[str, ...], Callable[[dict[str, Any]], tuple[dict[str, Any], Turns]]] = {
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
