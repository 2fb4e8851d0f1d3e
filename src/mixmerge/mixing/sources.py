"""Read a source's rows as typed training rows, each checked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import DataError
from mixmerge.files import first_problem
from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.contents import CHECKS, LeftOutError, Values, as_prompt
from mixmerge.mixing.formats import Format, recognise
from mixmerge.mixing.spec import Form, SourceSpec, TrainingRow
from mixmerge.records import Conversation, LabelledCompletion, PreferencePair, TrainingPrompt
from mixmerge.records.turns import columns_of_prompt, from_text, joined
from mixmerge.tables import Place


@dataclass
class Loaded:
    """The usable rows of one source, and the reasons why others were left out."""

    rows: list[TrainingRow] = field(default_factory=list)
    read_as: str = ""
    """The format in one line, e.g. ``Alpaca: instruction + input → output``."""
    broken: list[str] = field(default_factory=list)
    """Place and reason of each dropped row."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that do not suit this form, by reason."""
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Which columns are read, by what they hold."""
    unread: dict[str, int] = field(default_factory=dict)
    """Rows by what they hold and nobody reads: columns, and keys of messages."""


def load(
    name: str, spec: SourceSpec, form: Form, only: str | None = None, *, first: int | None = None
) -> Loaded:
    """Read all rows of a source, or the first of each file, in the order of the data.

    ``name`` becomes `Conversation.source`. Preference pairs are also read as ``conversations``
    (prompt and chosen answer) and as ``labelled`` (a row for each answer), and all rows as
    ``prompts``. ``only`` is the language
    of rows that do not state theirs; ``first`` limits the rows read of each file.

    Raises:
        DataError: a file is missing or has no rows, columns are missing, or a row is broken and
            `SourceSpec.broken` does not say ``drop``; the message has the file and line.
    """
    loaded = Loaded()
    seen: dict[tuple[str, str], tuple[Place, TrainingRow]] = {}
    reader: _Reader | None = None
    for fixed_language, (place, cells) in spec.records(first):
        if reader is None:
            reader = _Reader(name, spec, form, only, recognise(name, spec, form, place, cells))
        try:
            rows = reader.read(cells, fixed_language)
            for row in rows:
                _refuse_second_use_of_an_id(seen, place, row)
        except LeftOutError as reason:
            loaded.left_out[str(reason)] += 1
        except ValueError as error:
            if spec.broken == "refuse":
                raise DataError(f"{place}: {_reason(error)}") from error
            loaded.broken.append(f"{place.short}: {_reason(error)}")
        else:
            loaded.rows += rows
    if reader is None:
        raise DataError(f"source `{name}` has no rows ({_origin(spec)} is empty).")
    loaded.columns = reader.columns
    loaded.read_as = reader.format.line(reader.columns)
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


_KINDS: dict[str, type[TrainingRow]] = {
    "accepted": TrainingPrompt,
    "chosen": PreferencePair,
    "label": LabelledCompletion,
    "messages": Conversation,
}
"""The type of a row by one of its fields."""


class _Reader:
    """Reads the columns of one source as rows of the given form."""

    def __init__(
        self, name: str, spec: SourceSpec, form: Form, only: str | None, found: Format
    ) -> None:
        self.format = found
        self.columns = {key: [*named] for key, named in found.columns.items()}
        """Which columns are read, by what they hold."""
        self.unread: Counter[str] = Counter()
        """Rows by what they hold and nobody reads: columns, and keys of messages."""
        self._name = name
        self._spec = spec
        self._form: Form = form
        self._only = only
        self._prompt: str | list[str] = found.columns.get("prompt", [])
        if len(self._prompt) == 1 and not isinstance(spec.columns.prompt, list):
            self._prompt = self._prompt[0]

    def read(self, cells: Mapping[str, Any], fixed_language: str | None) -> list[TrainingRow]:
        """Return the checked rows of one record: one, or both answers of a pair as two.

        Raises:
            ValueError: a column is missing or has an invalid value; the message names it.
            LeftOutError: the row does not suit this form.
        """
        values = self._values(cells, fixed_language)
        read = {column for named in self.columns.values() for column in named}
        self.unread.update({name for name, cell in cells.items() if cell and name not in read})
        content, unread = self.format.shape.make(values, self._form)
        self.unread.update(unread)
        if self._form == "prompts":
            content = as_prompt(content, values)
        kind = next(kind for key, kind in _KINDS.items() if key in content)
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
        if isinstance(row, PreferencePair) and self._form == "labelled":
            return [*row.as_labelled()]
        if isinstance(row, PreferencePair) and self._form == "conversations":
            return [row.as_conversation()]
        return [row]

    def _values(self, cells: Mapping[str, Any], fixed_language: str | None) -> Values:
        values: Values = {}
        for key, columns in self.format.columns.items():
            named = columns_of_prompt(self._prompt, cells) if key == "prompt" else columns
            known = self.columns[key]
            known += [column for column in named if column not in known]
            found = [cells[name] for name in named if cells.get(name) is not None]
            if found:
                values[key] = found[0] if len(named) == 1 else joined(named, found)
            elif key == "scores" and named[0] not in cells:
                values[key] = named[0]
            elif not self._may_be_empty(key, cells, fixed_language):
                raise ValueError(f"column `{named[0]}` is missing or empty")
        return values

    def _may_be_empty(self, key: str, cells: Mapping[str, Any], fixed_language: str | None) -> bool:
        if key == "language":
            return fixed_language is not None or self._only is not None
        if key in ("system", *CHECKS):
            return True
        # Answers given as conversations contain the prompt.
        if key != "prompt" or "chosen" not in self.format.columns:
            return False
        return isinstance(from_text("chosen", cells.get(self.columns["chosen"][0])), list)

    def _language(self, values: Values, fixed: str | None) -> str:
        said = fixed or values.get("language") or self._only
        if not said:
            raise ValueError(
                "the language is not known: map `columns.language`, or give the source a `language`"
            )
        return self._spec.language_names.get(str(said), str(said))
