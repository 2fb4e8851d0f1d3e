"""Rows to token ids, and which of the tokens are the assistant's.

The assistant's tokens are found in one of three ways, the first that applies:

1. ``generation markers``: the chat template says so itself (``{% generation %}``).
2. ``TRL's template``: TRL has a copy of the model's template with the markers added.
3. ``turn boundaries``: a turn starts where the conversation before it, with the generation prompt,
   ends, and stops where the conversation up to it ends. Checked row by row: a template that
   renders the past differently once more turns follow is refused.

No row is ever truncated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from jinja2 import TemplateError

from mixmerge.errors import DataError, ModelError
from mixmerge.progress import Progress, silent
from mixmerge.records import Conversation, Message, PreferencePair

IGNORED = -100
"""Label of a token without loss, as in ``torch.nn.CrossEntropyLoss``."""

Row = TypeVar("Row")
Turns = Sequence[Message]
Ids = list[int]


@dataclass(frozen=True)
class Encoded:
    """Rows as token ids, column by column, in the order of the rows.

    Attributes:
        columns: what the objective's trainer reads: ``input_ids`` and ``labels`` of conversations,
            ``prompt_ids``, ``chosen_ids`` and ``rejected_ids`` of pairs. Token ids end in ``_ids``.
        longest: tokens of the longest sequence of each row, shape ``(rows,)``.
        read: tokens that the model reads for each row, shape ``(rows,)``.
        targets: of these, the tokens with a loss, shape ``(rows,)``.
    """

    columns: dict[str, list[Any]]
    longest: npt.NDArray[np.int64]
    read: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]

    def only(self, keep: npt.NDArray[np.bool_]) -> "Encoded":
        """Return the rows where ``keep`` (shape ``(rows,)``) is true."""
        chosen = np.flatnonzero(keep)
        columns = {name: [cells[i] for i in chosen] for name, cells in self.columns.items()}
        return Encoded(columns, self.longest[keep], self.read[keep], self.targets[keep])


class Encoder:
    """Encodes rows with a tokenizer and its chat template.

    Args:
        tokenizer: a transformers tokenizer.
        model: what to call the model in messages.
        training_template: the tokenizer's template with generation markers, where TRL knows one.

    Raises:
        ModelError: the tokenizer has no chat template.
    """

    def __init__(self, tokenizer: Any, model: str, training_template: str | None = None) -> None:
        self._tokenizer = tokenizer
        self._model = model
        self._template = training_template
        template = tokenizer.chat_template
        if not template:
            raise ModelError(
                f"{model}: the tokenizer has no chat template, so conversations cannot be written "
                "for this model. Put a `chat_template.jinja` into its folder."
            )
        if isinstance(template, dict):
            template = template["default"]
        if "endgeneration" in template:
            self.mask = "generation markers"
        elif training_template:
            self.mask = "TRL's template"
        else:
            self.mask = "turn boundaries"
        self._ends = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}

    def conversations(self, rows: Sequence[Conversation], progress: Progress = silent) -> Encoded:
        """Encode supervised rows.

        Raises:
            DataError: the template refuses a row.
            ModelError: the template does not say which tokens are the assistant's.
        """
        ids, labels = [], []
        for row in _told(rows, progress):
            row_ids, row_labels = self._labelled(row)
            self._check_stop(row.id, row_ids, row_labels)
            ids.append(row_ids)
            labels.append(row_labels)
        lengths = np.array([len(row_ids) for row_ids in ids], dtype=np.int64)
        # The first token is never predicted, whatever its label.
        targets = [sum(label != IGNORED for label in row[1:]) for row in labels]
        columns = {"input_ids": ids, "labels": labels}
        return Encoded(columns, lengths, lengths, np.array(targets, dtype=np.int64))

    def pairs(self, rows: Sequence[PreferencePair], progress: Progress = silent) -> Encoded:
        """Encode preference rows.

        Raises:
            DataError: the template refuses a row.
            ModelError: the template writes the prompt differently once an answer follows.
        """
        prompts, chosen, rejected = [], [], []
        for row in _told(rows, progress):
            prompt = self.prompt(row.id, row.prompt)
            prompts.append(prompt)
            chosen.append(self.answer(row.id, row.prompt, prompt, row.chosen))
            rejected.append(self.answer(row.id, row.prompt, prompt, row.rejected))
        columns = {"prompt_ids": prompts, "chosen_ids": chosen, "rejected_ids": rejected}
        asked, wanted, avoided = (
            np.array([len(ids) for ids in ids_of]) for ids_of in columns.values()
        )
        answers = wanted + avoided
        longest = asked + np.maximum(wanted, avoided)
        return Encoded(columns, longest, read=2 * asked + answers, targets=answers)

    def prompt(self, row: str, turns: Turns) -> Ids:
        """Encode turns up to where the assistant begins to answer.

        Raises:
            DataError: the template refuses the row.
        """
        return self._render(row, turns, prompt=True)

    def answer(self, row: str, turns: Turns, prompt: Ids, text: str) -> Ids:
        """Encode what follows a prompt, ``turns``, which `prompt` has encoded as ``prompt``.

        This is the answer and its end of turn; ``row`` is the row's id, for messages.

        Raises:
            DataError: the template refuses the row.
            ModelError: the template writes the prompt differently once an answer follows.
        """
        ids = self._render(row, (*turns, Message(role="assistant", content=text)))
        self._check_prefix(row, prompt, ids)
        return ids[len(prompt) :]

    def _labelled(self, row: Conversation) -> tuple[Ids, Ids]:
        if self.mask == "turn boundaries":
            return self._by_boundaries(row)
        options = {"chat_template": self._template, "return_assistant_tokens_mask": True}
        rendered = self._apply(row.id, row.messages, **options)
        ids: Ids = rendered["input_ids"]
        told = zip(ids, rendered["assistant_masks"], strict=True)
        return ids, [token if of_it else IGNORED for token, of_it in told]

    def _by_boundaries(self, row: Conversation) -> tuple[Ids, Ids]:
        ids = self._render(row.id, row.messages)
        labels = [IGNORED] * len(ids)
        for number, message in enumerate(row.messages):
            if message.role == "assistant":
                self._check_asked(row.id, number)
                before = self._render(row.id, row.messages[:number], prompt=True)
                after = self._render(row.id, row.messages[: number + 1])
                self._check_prefix(row.id, before, after)
                self._check_prefix(row.id, after, ids)
                labels[len(before) : len(after)] = ids[len(before) : len(after)]
        return ids, labels

    def _render(self, row: str, turns: Turns, *, prompt: bool = False) -> Ids:
        ids: Ids = self._apply(row, turns, add_generation_prompt=prompt)["input_ids"]
        return ids

    def _apply(self, row: str, turns: Turns, **options: Any) -> Any:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        try:
            return self._tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, **options
            )
        except TemplateError as error:
            roles = ", ".join(turn.role for turn in turns)
            raise DataError(
                f"Row {row!r}: the chat template of {self._model} refuses it: {error} "
                f"(roles seen: {roles}). Change the row or the template."
            ) from error

    def _check_asked(self, row: str, turns_before: int) -> None:
        if not turns_before:
            raise DataError(
                f"Row {row!r}: it starts with the assistant, but the chat template of "
                f"{self._model} does not mark the assistant's tokens, so they are found by what "
                "stands before them. Put a user's or system's turn first, or {% generation %} and "
                "{% endgeneration %} around the assistant's content and end of turn in the "
                "template."
            )

    def _check_prefix(self, row: str, start: Ids, whole: Ids) -> None:
        if whole[: len(start)] != start:
            raise ModelError(
                f"{self._model}: its chat template writes a prompt differently once an answer "
                f"follows it (seen in row {row!r}), so the assistant's tokens cannot be told "
                "apart. Put {% generation %} and {% endgeneration %} around the assistant's "
                "content and end of turn in the template, and let the generation prompt end with "
                "a special token."
            )

    def _check_stop(self, row: str, ids: Ids, labels: Ids) -> None:
        """Refuse a row that does not teach the model to end its turn."""
        for token, label in zip(reversed(ids), reversed(labels), strict=True):
            if label in self._ends:
                return
            if label != IGNORED and self._tokenizer.decode([token]).strip():
                break
        raise ModelError(
            f"{self._model}: with its chat template no end-of-turn token follows the assistant's "
            f"words inside the part with a loss (seen in row {row!r}, assistant found by "
            f"{self.mask}), so the model would never learn to stop. Let the template write a "
            "special token after the content, inside the {% generation %} block if it has one."
        )


def _told(rows: Sequence[Row], progress: Progress) -> Iterator[Row]:
    for done, row in enumerate(rows, start=1):
        yield row
        if done % 200 == 0 or done == len(rows):
            progress(done, len(rows), "reading rows")
