"""Read every row of the user's data files before a study is written about them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptColumns, PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.filters import HeldOut, deduplicate
from mixmerge.mixing.sources import Loaded, load
from mixmerge.mixing.spec import Form, SourceSpec, TrainingRow
from mixmerge.records import (
    Conversation,
    LabelledCompletion,
    Message,
    PreferencePair,
    Prompt,
    TrainingPrompt,
)
from mixmerge.tables import read_file

_UNSAID = "und"
"""ISO 639's code for an undetermined language, for rows that do not state theirs."""
ACCEPTED = ("accepted", "answer", "answers", "completion", "output", "response", "target")
"""Columns in which evaluation files have the reference answers."""
_MOST_HELD_OUT = 200
LEAST_PROMPTS = 30
"""Fewer prompts allow no interval."""


@dataclass
class DataLook:
    """A file of training rows and what it holds."""

    name: str
    file: Path
    loaded: Loaded
    form: Form
    """``preferences`` where its rows make pairs, ``labelled`` where they are marked good or bad."""
    languages: list[str]
    """Languages that its rows state, the most frequent first; empty if they state none."""

    @property
    def rows(self) -> list[TrainingRow]:
        """The usable rows."""
        return self.loaded.rows

    def lines(self) -> list[str]:
        """Describe what the file holds, a sentence each."""
        turns = [len(messages(row)) for row in self.rows]
        length = median(len(answer(row)) for row in self.rows)
        chats = sum(n > 2 for n in turns)
        said = [
            f"{self.name}: {self.file}: read as {self.loaded.read_as}; {len(self.rows):,} rows"
            + (f", {chats:,} of several turns" if chats else "")
            + f"; answers of {length:,.0f} characters (median)"
            + (f"; in {', '.join(self.languages)}" if self.languages else "")
            + "."
        ]
        if self.loaded.unread:
            names = ", ".join(f"`{column}`" for column in self.loaded.unread)
            said.append(f"{self.name}: not read: {names}.")
        left_out = self.loaded.left_out.items()
        said += [f"{self.name}: left out: {count:,} rows: {why}." for why, count in left_out]
        if self.loaded.broken:
            count = len(self.loaded.broken)
            said.append(
                f"{self.name}: {count:,} rows cannot be used and are dropped (`broken: drop`); the "
                f"first: {self.loaded.broken[0]}"
            )
        return said


@dataclass
class PromptLook:
    """The prompts of an axis: a file to use as it is, or rows to write to one."""

    name: str
    file: Path
    """The path in the study file."""
    count: int
    answers: list[str] = field(default_factory=list)
    """Reference answers; empty where the file has none."""
    accepted: str | None = None
    """The column of the reference answers, if it is not called ``accepted``."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Prompts to write to ``file``; empty if the file exists."""
    held_out: list[Prompt] = field(default_factory=list)
    comment: str = ""
    languages: list[str] = field(default_factory=list)


def messages(row: TrainingRow) -> tuple[Message, ...]:
    """Return the turns of a row, ending with the target answer."""
    assert not isinstance(row, TrainingPrompt)  # data are read as pairs or conversations here
    return row.messages if isinstance(row, Conversation) else row.as_conversation().messages


def answer(row: TrainingRow) -> str:
    """Return the target answer of a row."""
    return messages(row)[-1].content


FORMS: tuple[Form, ...] = ("preferences", "labelled", "conversations")
"""The forms in which a file is read, in order of preference."""


def look_at_data(name: str, file: Path, *, forms: Sequence[Form] = FORMS) -> DataLook:
    """Read a file of training rows in the first of these forms that its rows have.

    Raises:
        DataError: the file cannot be read, or has no usable rows.
    """
    spec = SourceSpec(files=file, broken="drop")
    *others, form = forms
    for each in others:  # if there are no rows at all, the last reading raises
        if _has(name, spec, each) and (
            each != "labelled" or _contrasted(load(name, spec, each, _UNSAID))
        ):
            form = each
            break
    try:
        loaded = load(name, spec, form, _UNSAID)
    except DataError as error:
        if not _has(name, spec, "prompts"):
            raise
        raise DataError(
            f"{file}: its rows are prompts without answers to learn. They train by rewards "
            "(`method: grpo`) or on the answers of other models (`teachers`), which follow a "
            "first study of data with answers; give such a file."
        ) from error
    if len(loaded.rows) <= len(loaded.broken):
        why = "; ".join([*loaded.broken[:1], *loaded.left_out])
        many = "none" if not loaded.rows else f"only {len(loaded.rows):,}"
        raise DataError(f"{file}: {many} of its rows can be trained on: {why}")
    counts = Counter(row.language for row in loaded.rows)
    said = [language for language, _ in counts.most_common() if language != _UNSAID]
    return DataLook(name, file, loaded, form, said)


def _has(name: str, spec: SourceSpec, form: Form) -> bool:
    """Return whether the first row of a file has a form."""
    with suppress(DataError):
        return bool(load(name, spec, form, _UNSAID, first=1))
    return False


def _contrasted(loaded: Loaded) -> bool:
    """Return whether some answers are marked as good and others as bad."""
    return len({row.label for row in loaded.rows if isinstance(row, LabelledCompletion)}) == 2


def in_language(looks: Sequence[DataLook], language: str) -> None:
    """Set the language of rows that do not state theirs."""
    for look in looks:
        look.loaded.rows = [
            row.model_copy(update={"language": language}) if row.language == _UNSAID else row
            for row in look.rows
        ]


def hold_out(look: DataLook, languages: Sequence[str], file: Path) -> PromptLook:
    """Choose rows of a training file whose prompts become an evaluation.

    A fifth of the distinct prompts in the study's languages, at most 200, and at least 30 if there
    are twice as many. A hash of each prompt decides, so the choice does not depend on the order.
    """
    first = {
        row.prompt_text: row
        for row in reversed(look.rows)
        if row.language in languages and getattr(row, "label", True)  # a bad answer is no reference
    }
    ranked = sorted(first.values(), key=lambda row: fingerprint([row.prompt_text]))
    fifth = max(len(ranked) // 5, min(LEAST_PROMPTS, len(ranked) // 2), 1)
    chosen = ranked[: min(fifth, _MOST_HELD_OUT)]
    return _of_rows(
        look.name,
        file,
        chosen,
        comment=f"{len(chosen)} of the {len(first):,} prompts of {look.file.name}, held out: no "
        "training sees them",
    )


def look_at_prompts(name: str, file: Path, converted: Path, language: str | None) -> PromptLook:
    """Read an evaluation file; training rows count as prompts with reference answers.

    Raises:
        DataError: the file holds neither prompts nor training rows.
    """
    rows = [cells for _, cells in read_file(file)]
    first: Mapping[str, Any] = rows[0] if rows else {}
    own_languages = list(dict.fromkeys(str(row["language"]) for row in rows if row.get("language")))
    languages = own_languages or [language or "en"]
    column = next((key for key in ACCEPTED if isinstance(first.get(key), (str, list))), None)
    if {"id", "cluster", "messages"} <= {*first}:
        column = "accepted" if "accepted" in first else None
    columns = PromptColumns(accepted=column if column != "accepted" else None)
    try:
        prompts = load_prompts(PromptSetSpec(files=file, columns=columns), languages)
    except DataError as error:
        try:
            look = look_at_data(name, file, forms=("conversations",))
        except DataError:
            raise error from None
        in_language([look], languages[0])
        comment = f"the {len(look.rows):,} questions of {file.name}, with their answers"
        return _of_rows(name, converted, look.rows, comment)
    whole = all(prompt.accepted for prompt in prompts)
    return PromptLook(
        name,
        file,
        len(prompts),
        answers=[prompt.accepted[0] for prompt in prompts] if whole else [],
        accepted=columns.accepted if whole else None,
        held_out=prompts,
        comment=f"{len(prompts):,} prompts",
        languages=own_languages,
    )


def _of_rows(name: str, file: Path, rows: Sequence[TrainingRow], comment: str) -> PromptLook:
    written, prompts = [], []
    for row in rows:
        asked = messages(row)[:-1]
        alone = len(asked) == 1 and asked[0].role == "user"
        turns = [message.model_dump(include={"role", "content"}) for message in asked]
        cells = {
            "id": row.id,
            "prompt": asked[0].content if alone else turns,
            "accepted": answer(row),
            "language": row.language,
        }
        written.append(cells)
        own = {"id": row.id, "cluster": row.id, "language": row.language, "messages": asked}
        prompts.append(Prompt.model_validate(own))
    return PromptLook(
        name,
        file,
        len(rows),
        answers=[answer(row) for row in rows],
        rows=written,
        held_out=prompts,
        comment=comment,
        languages=list(dict.fromkeys(row.language for row in rows)),
    )


def supply(
    looks: Sequence[DataLook], axes: Sequence[PromptLook], languages: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Return the number of training rows of each source in each language.

    Duplicates and overlap with evaluation prompts are left out, as in a mixture.
    """
    held_out = HeldOut(prompt for axis in axes for prompt in axis.held_out)
    rows = [row for look in sorted(looks, key=lambda look: look.name) for row in look.rows]
    counts = Counter(
        (row.source, row.language)
        for row in deduplicate(row for row in rows if row.language in languages).rows
        if held_out.overlap(row) is None
    )
    return {(look.name, language): counts[look.name, language]
            for look in looks for language in languages}  # fmt: skip


def longest(rows: Sequence[TrainingRow]) -> int:
    """Return the characters of the longest row; a pair counts with its longer answer."""

    def size(row: TrainingRow) -> int:
        rejected = row.rejected if isinstance(row, PreferencePair) else ""
        texts = [message.content for message in messages(row)]
        return sum(map(len, texts[:-1])) + max(len(texts[-1]), len(rejected))

    return max(map(size, rows), default=0)
