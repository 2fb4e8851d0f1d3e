"""Encode rows as token ids, with a loss mask of the assistant's tokens.

The assistant's tokens are found in one of three ways, the first that applies:

1. ``generation markers``: the chat template marks them with ``{% generation %}``.
2. ``TRL's template``: TRL has a copy of the model's template with these markers.
3. ``turn boundaries``: a turn starts where the conversation before it, with the generation prompt,
   ends, and stops where the conversation including it ends. This is checked for each row; a
   template that renders earlier turns differently once more turns follow is refused.

In each case, a row begins with exactly the tokens of the prompt before its last answer, and teaches
the model to end its turn. Rows are never truncated.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mixmerge.chat.chat import Chat
from mixmerge.chat.sandbox import RefusedError
from mixmerge.chat.template import Written
from mixmerge.errors import DataError, ModelError
from mixmerge.progress import Progress, silent
from mixmerge.records import Conversation, LabelledCompletion, Message, PreferencePair

IGNORED = -100
"""Label of tokens without a loss, as in ``torch.nn.CrossEntropyLoss``."""

INSEPARABLE = "the answer's first characters form one token with the prompt's last"
EMPTY = "its prompt has no tokens"
SAME = "both answers are the same tokens once the chat template is applied"

Row = TypeVar("Row")
Made = TypeVar("Made")
Turns = Sequence[Message]
Ids = list[int]


class LeftOutError(Exception):
    """A row that cannot be trained on; it is left out and counted under this reason."""


@dataclass(frozen=True)
class Encoded:
    """Rows as token ids, by column."""

    columns: dict[str, list[Any]]
    """The trainer's input: ``input_ids`` and ``labels`` of conversations, ``prompt_ids``,
    ``chosen_ids`` and ``rejected_ids`` of pairs. Names of token ids end in ``_ids``."""
    longest: npt.NDArray[np.int64]
    """Tokens of the longest sequence of each row, shape ``(rows,)``."""
    read: npt.NDArray[np.int64]
    """Tokens that the model reads for each row, shape ``(rows,)``."""
    targets: npt.NDArray[np.int64]
    """Of these, the tokens with a loss, shape ``(rows,)``."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """The reasons why rows were left out, by their index among the given rows."""

    def only(self, keep: npt.NDArray[np.bool_]) -> "Encoded":
        """Return the rows where ``keep`` (shape ``(rows,)``) is true."""
        chosen = np.flatnonzero(keep)
        columns = {name: [cells[i] for i in chosen] for name, cells in self.columns.items()}
        kept = (self.longest[keep], self.read[keep], self.targets[keep])
        return Encoded(columns, *kept, self.left_out)


class Encoder:
    """Encodes rows with a tokenizer and its chat template; see `mixmerge.chat.chat.Chat`.

    Raises:
        ModelError: the tokenizer has no chat template.
    """

    def __init__(
        self,
        tokenizer: Any,
        model: str,
        training_template: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.chat = Chat(tokenizer, model, options or {}, training_template)
        if self.chat.template.marks_the_assistant:
            self.mask = "generation markers"
        elif self.chat.trained.marks_the_assistant:
            self.mask = "TRL's template"
        else:
            self.mask = "turn boundaries"
        self.turn_ends: set[int] = set()
        """The tokens that end the assistant's last turn in the rows so far."""

    def conversations(self, rows: Sequence[Conversation], progress: Progress = silent) -> Encoded:
        """Encode supervised rows.

        Raises:
            DataError: the template refuses a row.
            ModelError: the assistant's tokens cannot be found, or the template's prompt differs
                from the beginning of the row.
        """
        made, left_out = self.each(rows, self._labelled, progress)
        columns = columns_of(made, "input_ids", "labels")
        lengths = lengths_of(columns["input_ids"])
        # The first token is never predicted.
        targets = [sum(label != IGNORED for label in row[1:]) for row in columns["labels"]]
        return Encoded(columns, lengths, lengths, np.array(targets, dtype=np.int64), left_out)

    def pairs(self, rows: Sequence[PreferencePair], progress: Progress = silent) -> Encoded:
        """Encode preference rows.

        Raises:
            DataError: the template refuses a row.
            ModelError: the template renders the prompt differently once an answer follows.
        """
        made, left_out = self.each(rows, self._pair, progress)
        columns = columns_of(made, "prompt_ids", "chosen_ids", "rejected_ids")
        asked, wanted, avoided = map(lengths_of, columns.values())
        answers = wanted + avoided
        longest = asked + np.maximum(wanted, avoided)
        return Encoded(columns, longest, 2 * asked + answers, answers, left_out)

    def labelled(self, rows: Sequence[LabelledCompletion], progress: Progress = silent) -> Encoded:
        """Encode answers with a label.

        Raises:
            DataError: the template refuses a row.
            ModelError: the template renders the prompt differently once an answer follows.
        """
        made, left_out = self.each(rows, self._answered, progress)
        columns = columns_of(made, "prompt_ids", "completion_ids", "label")
        answers = lengths_of(columns["completion_ids"])
        whole = answers + lengths_of(columns["prompt_ids"])
        return Encoded(columns, whole, whole, answers, left_out)

    def prompts(self, rows: Sequence[Conversation], progress: Progress = silent) -> Encoded:
        """Encode the turns before each last answer, which the model will write itself.

        Raises:
            DataError: the template refuses a row.
            ModelError: no end of turn follows an answer, so that none would end.
        """
        made, left_out = self.each(rows, self._unanswered, progress)
        columns = columns_of(made, "prompt_ids", "source")
        lengths = lengths_of(columns["prompt_ids"])
        return Encoded(columns, lengths, lengths, np.zeros_like(lengths), left_out)

    def each(
        self, rows: Sequence[Row], encode: Callable[[Row], Made], progress: Progress = silent
    ) -> tuple[list[Made], dict[int, str]]:
        """Encode rows with a function.

        Returns:
            The encoded rows, and the reason by index for each that raised `LeftOutError`.
        """
        made: list[Made] = []
        left_out: dict[int, str] = {}
        for place, row in enumerate(rows):
            try:
                made.append(encode(row))
            except LeftOutError as error:
                left_out[place] = str(error)
            if (done := place + 1) % 200 == 0 or done == len(rows):
                progress(done, len(rows), "reading rows")
        return made, left_out

    def prompt(self, row: str, turns: Turns) -> Ids:
        """Encode a prompt: turns up to where the assistant begins to answer.

        Raises:
            DataError: the template refuses the row.
        """
        return self.chat.tokens(self._asked(row, turns))

    def answer(self, row: str, turns: Turns, prompt: Ids, text: str) -> Ids:
        """Encode the answer to ``turns``, which `prompt` has encoded, and its end of turn.

        If the answer would share a token with the prompt, it is encoded separately, since
        generation starts after the prompt's last token. ``row`` is the row's id for messages.

        Raises:
            DataError: the template refuses the row.
            LeftOutError: the answer cannot be separated from the prompt.
            ModelError: the template renders the prompt differently once an answer follows, or no
                end of turn follows the answer.
        """
        asked = self._asked(row, turns)
        whole = self._written(row, (*turns, Message(role="assistant", content=text))).text
        self._check_prefix(row, asked, whole)
        ids, _ = self._split(whole, [len(asked)])
        answer = ids[len(prompt) :]
        if ids[: len(prompt)] != prompt:
            raise LeftOutError(INSEPARABLE)
        self._check_stop(row, answer, answer)
        return answer

    def _pair(self, row: PreferencePair) -> tuple[Ids, Ids, Ids]:
        prompt = self.prompt(row.id, row.prompt)
        chosen = self.answer(row.id, row.prompt, prompt, row.chosen)
        rejected = self.answer(row.id, row.prompt, prompt, row.rejected)
        if chosen == rejected:
            raise LeftOutError(SAME)
        return prompt, chosen, rejected

    def _answered(self, row: LabelledCompletion) -> tuple[Ids, Ids, bool]:
        prompt = self.prompt(row.id, row.prompt)
        return prompt, self.answer(row.id, row.prompt, prompt, row.completion), row.label

    def _unanswered(self, row: Conversation) -> tuple[Ids, str]:
        *turns, last = row.messages
        prompt = self.prompt(row.id, turns)
        if not prompt:
            raise LeftOutError(EMPTY)
        if not self.turn_ends:  # one answer shows how the template ends a turn
            with suppress(LeftOutError):
                self.answer(row.id, turns, prompt, last.content)
        return prompt, row.source

    def _labelled(self, row: Conversation) -> tuple[Ids, Ids]:
        written = self._written(row.id, row.messages)
        asked = self._questions(row, written.text)
        said = self._said(row, written, asked)
        ids, places = self._split(written.text, [*asked.values(), *sum(said, ())])
        labels = [IGNORED] * len(ids)
        for start, end in said:
            labels[places[start] : places[end]] = ids[places[start] : places[end]]
        if row.messages[-1].weight:
            self._check_stop(row.id, ids, labels)
        return ids, labels

    def _questions(self, row: Conversation, text: str) -> dict[int, int]:
        """Return where the prompt before each of the assistant's messages ends, by its index.

        With markers only the last one is needed: the template may render earlier turns differently
        (reasoning is often removed), and only the last one is prompted with this history.
        """
        turns = [n for n, message in enumerate(row.messages) if message.role == "assistant"]
        if self.chat.trained.marks_the_assistant:
            turns = turns[-1:]
        found = {}
        for number in turns:
            self._check_asked(row.id, number)
            asked = self._asked(row.id, row.messages[:number])
            self._check_prefix(row.id, asked, text)
            found[number] = len(asked)
        return found

    def _said(
        self, row: Conversation, written: Written, asked: Mapping[int, int]
    ) -> list[tuple[int, int]]:
        """Return start and end of the assistant's text with a loss, in characters."""
        turns = [n for n, message in enumerate(row.messages) if message.role == "assistant"]
        if not self.chat.trained.marks_the_assistant:
            spans = [(asked[number], self._end(row, written.text, number)) for number in turns]
        else:
            spans = list(written.spans)
        silent_turns = [n for n in turns if not row.messages[n].weight]
        if silent_turns and len(spans) != len(turns):
            raise ModelError(
                f"{self.chat.model}: its chat template marks {len(spans)} parts as the "
                f"assistant's, but row {row.id!r} has {len(turns)} assistant messages, so those "
                "with `weight: 0` cannot be found. Remove the weights, or fix the markers."
            )
        if not silent_turns:
            return spans
        told = zip(turns, spans, strict=True)
        return [span for number, span in told if row.messages[number].weight]

    def _end(self, row: Conversation, text: str, number: int) -> int:
        after = self._written(row.id, row.messages[: number + 1]).text
        self._check_prefix(row.id, after, text)
        return len(after)

    def _split(self, text: str, cuts: Iterable[int]) -> tuple[Ids, dict[int, int]]:
        """Encode a text so that no token crosses a cut.

        The pieces between special tokens are encoded separately, which gives the same tokens, so
        that a long conversation is not encoded again for each of its turns.

        Returns:
            The tokens, and the number of tokens before each cut.

        Raises:
            LeftOutError: the separately encoded parts do not decode to the text.
        """
        tokens = cache(lambda start, end: self.chat.tokens(text[start:end]))
        places = sorted(set(cuts))
        whole = tokens(0, len(text))
        bounds = [0, *self.chat.breaks(text, places), len(text)]
        if _joined(tokens, bounds) != whole:  # some tokenizers depend on text beyond special tokens
            bounds = [0, len(text)]
        for cut in places:
            at = bisect_right(bounds, cut)
            if at < len(bounds) and not _begins(tokens, bounds[at - 1], cut, bounds[at]):
                bounds.insert(at, cut)
        ids, before = _joined(tokens, bounds), {}
        for cut in places:
            at = bisect_right(bounds, cut)
            if at < len(bounds) and not _begins(tokens, bounds[at - 1], cut, bounds[at]):
                raise LeftOutError(INSEPARABLE)
            before[cut] = len(_joined(tokens, [*bounds[:at], cut]))
        spell = self.chat.tokenizer.decode
        if ids != whole and spell(ids) != spell(whole):
            raise LeftOutError(INSEPARABLE)
        return ids, before

    def _asked(self, row: str, turns: Turns) -> str:
        with self._explained(row, turns):
            return self.chat.prompt([_plain(turn) for turn in turns])

    def _written(self, row: str, turns: Turns) -> Written:
        with self._explained(row, turns):
            return self.chat.conversation([_plain(turn) for turn in turns])

    @contextmanager
    def _explained(self, row: str, turns: Turns) -> Iterator[None]:
        try:
            yield
        except RefusedError as error:
            roles = ", ".join(turn.role for turn in turns)
            raise DataError(
                f"Row {row!r}: the chat template of {self.chat.model} refuses it: {error} "
                f"(roles seen: {roles}). Change the row or the template."
            ) from error

    def _check_asked(self, row: str, turns_before: int) -> None:
        if not turns_before:
            raise DataError(
                f"Row {row!r}: it starts with the assistant, but the chat template of "
                f"{self.chat.model} does not mark the assistant's tokens, which can then only be "
                "found after another turn. Put a user or system turn first, or put {% generation "
                "%} and {% endgeneration %} around the assistant's content and end of turn in the "
                "template."
            )

    def _check_prefix(self, row: str, start: str, whole: str) -> None:
        """Refuse a template whose prompts differ from what the model would be trained on."""
        if whole.startswith(start):
            return
        shared = next(
            (i for i, (one, other) in enumerate(zip(start, whole, strict=False)) if one != other),
            min(len(start), len(whole)),
        )
        asked, trained = (text[max(0, shared - 20) : shared + 30] for text in (start, whole))
        cure = "Make the template begin every answer with its generation prompt"
        if self.chat.template.knows_thoughts:
            cure = f"Set `chat_template: {{enable_thinking: false}}`. {cure}"
        raise ModelError(
            f"{self.chat.model}: its chat template renders a prompt differently once an answer "
            f"follows it (seen in row {row!r}): the model is prompted with {asked!r}, but would be "
            f"trained on {trained!r}. {cure}."
        )

    def _check_stop(self, row: str, ids: Ids, labels: Ids) -> None:
        """Refuse a row that does not teach the model to end its turn."""
        for token, label in zip(reversed(ids), reversed(labels), strict=True):
            if label in self.chat.ends:
                self.turn_ends.add(token)
                return
            if label != IGNORED and self.chat.tokenizer.decode([token]).strip():
                break
        raise ModelError(
            f"{self.chat.model}: with its chat template no end-of-turn token with a loss follows "
            f"the assistant's text (seen in row {row!r}, assistant found by {self.mask}), so the "
            "model would never learn to stop. Make the template write a special token after the "
            "content, inside the {% generation %} block if it has one."
        )


def _joined(tokens: Callable[[int, int], Ids], bounds: Sequence[int]) -> Ids:
    """Return the tokens of the pieces between bounds."""
    pieces = (tokens(start, end) for start, end in pairwise(bounds) if start < end)
    return [token for piece in pieces for token in piece]


def _begins(tokens: Callable[[int, int], Ids], start: int, cut: int, end: int) -> bool:
    """Return whether the piece's tokens begin with those of its text before a cut."""
    head = tokens(start, cut) if start < cut else []
    return tokens(start, end)[: len(head)] == head


def _plain(turn: Message) -> dict[str, str]:
    return {"role": turn.role, "content": turn.content}


def columns_of(made: Sequence[tuple[Any, ...]], *names: str) -> dict[str, list[Any]]:
    """Return encoded rows by column; each row has one value for each name."""
    return {name: [row[side] for row in made] for side, name in enumerate(names)}


def lengths_of(column: Sequence[Ids]) -> npt.NDArray[np.int64]:
    """Return the number of tokens in each row, shape ``(rows,)``."""
    return np.array([len(ids) for ids in column], dtype=np.int64)
