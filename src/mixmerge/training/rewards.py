"""Rewards of answers that are made in training, and the file that keeps both.

Who judges is the caller's choice: training only needs numbers for answers (`Reward`).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mixmerge.chat.answers import read_answer
from mixmerge.chat.thoughts import opens_thoughts
from mixmerge.durable import read_log
from mixmerge.errors import ModelError, SpecError
from mixmerge.files import write_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Item, Response, RowModel, TrainingPrompt
from mixmerge.training.encode import (
    EMPTY,
    Encoded,
    Encoder,
    LeftOutError,
    columns_of,
    lengths_of,
)


@dataclass(frozen=True)
class Reward:
    """What judges the answers of a training."""

    identity: Any
    """What determines the numbers, as JSON: part of the identity of the training."""
    score: Callable[[Sequence[Item]], Mapping[Axis, Sequence[float]]]
    """``score(items)`` returns a number for each answer by axis, the higher the better; NaN where
    there is none, because the judge failed or said nothing."""
    factory: str = ""
    """``module:function`` that makes the same reward from `arguments` in another process; without
    it, all devices must be started by a launcher."""
    arguments: Any = None
    """As JSON."""

    def of(self, items: Sequence[Item], axes: Iterable[Axis]) -> dict[Axis, Sequence[float]]:
        """Return the score of each answer on some axes.

        Raises:
            SpecError: there is not one finite number, or NaN, for each answer on each axis.
        """
        scores = self.score(items)
        for axis in axes:
            own = scores.get(axis, ())
            if len(own) != len(items) or any(map(math.isinf, own)):
                wrong = [value for value in own if math.isinf(value)] or f"{len(own)} numbers"
                raise SpecError(
                    f"reward `{axis}`: a finite number is required for each of {len(items)} "
                    f"answers, or NaN where there is none (seen: {wrong}). Change `score`."
                )
        return {axis: scores[axis] for axis in axes}

    @classmethod
    def made(cls, factory: str, arguments: Any) -> "Reward":
        """Return what a factory makes."""
        module, _, function = factory.partition(":")
        made: Reward = getattr(import_module(module), function)(arguments)
        return made


class RewardedAnswer(RowModel):
    """One line of ``answers.jsonl``: an answer of the model in training, and its reward."""

    step: int
    """The optimizer step that was taken from it."""
    id: str
    source: str
    language: str
    prompt: str
    """All turns, joined."""
    text: str
    """Without special tokens and thoughts: what the judges read."""
    thoughts: str = Field(default="", exclude_if=lambda thoughts: not thoughts)
    finish_reason: str
    """``stop``: the model ended its turn; ``length``: it reached the limit."""
    tokens: int
    rewards: dict[Axis, float | None]
    """By axis; None where there is no verdict."""
    reward: float | None
    """The weighted sum; None, and no part of the training, if an axis has none."""


def to_be_judged(
    encoder: Encoder, rows: Sequence[TrainingPrompt], progress: Progress = silent
) -> Encoded:
    """Encode prompts whose answers the model will write and judges will read.

    Raises:
        DataError: the template refuses a row.
        ModelError: the template ends no turn, so that no answer would end.
    """
    end = encoder.chat.end_of_turn
    if end is None:
        raise ModelError(
            f"{encoder.chat.model}: its chat template writes no end-of-turn token after an answer, "
            "so the model's own answers would never end. Make the template write a special token "
            "after the content."
        )
    encoder.turn_ends.add(end)

    def asked(row: TrainingPrompt) -> tuple[list[int], str, bool]:
        ids = encoder.prompt(row.id, row.prompt)
        if not ids:
            raise LeftOutError(EMPTY)
        return ids, row.model_dump_json(), opens_thoughts(encoder.chat.tokenizer.decode(ids))

    made, left_out = encoder.each(rows, asked, progress)
    columns = columns_of(made, "prompt_ids", "row", "thinks")
    lengths = lengths_of(columns["prompt_ids"])
    return Encoded(columns, lengths, lengths, np.zeros_like(lengths), left_out)


def weighted(rewards: Mapping[Axis, float], weights: Mapping[Axis, float]) -> float:
    """Return the weighted sum of an answer's rewards; NaN if one of them is missing.

    A missing reward that counted as zero would punish the answer for its judge's failure.
    """
    return math.fsum(weight * rewards[axis] for axis, weight in weights.items())


class Answers:
    """Appends answers to ``answers.jsonl`` and says afterwards what is to be known about them."""

    def __init__(self, path: Path | None) -> None:
        """Without a file, on every process but the first, nothing is written."""
        self._path = path

    @contextmanager
    def writing(self, resumed_from: int) -> Iterator[None]:
        """Keep the answers up to the checkpoint's step; those after it are made again."""
        if self._path is not None:
            written = self._read()
            write_rows(self._path, [row for row in written if row.step <= resumed_from])
        yield

    def add(self, rows: Sequence[RewardedAnswer]) -> None:
        """Append the answers of one step, prompt by prompt."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.writelines(row.model_dump_json() + "\n" for row in rows)

    def _read(self) -> list[RewardedAnswer]:
        assert self._path is not None
        return list(read_log(self._path, RewardedAnswer.model_validate_json))

    def notes(self, group: int) -> list[str]:
        """Return what a user must know, a sentence each; ``group`` answers share a prompt."""
        if self._path is None:
            return []
        rows = self._read()
        said = []
        missing = Counter(
            axis for row in rows for axis, value in row.rewards.items() if value is None
        )
        if missing:
            count = sum(row.reward is None for row in rows)
            by_axis = ", ".join(f"{axis}: {n:,}" for axis, n in missing.items())
            said.append(
                f"{count:,} of {len(rows):,} answers had no reward, because their judge gave no "
                f"verdict ({by_axis}); they were left out of the training."
            )
        equal, steps = 0, 0
        for _, made in groupby(rows, key=lambda row: row.step):
            rewards = [row.reward for row in made]
            steps += 1
            equal += all(
                len({*rewards[start : start + group]} - {None}) < 2
                for start in range(0, len(rewards), group)
            )
        if equal:
            said.append(
                f"In {equal:,} of {steps:,} steps, all answers to each prompt had equal rewards: "
                "they teach nothing. If there are many such steps, choose prompts that are "
                "neither too easy nor too hard, or another reward."
            )
        return said


def rewarded(
    trainer: type[Any],
    reward: Reward,
    weights: Mapping[Axis, float],
    answers: Answers,
    stops: Sequence[int],
) -> type[Any]:
    """Return an online trainer class of TRL's whose answers are judged, and kept with rewards."""

    class Rewarded(trainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(reward_funcs=[self._reward], **given)

        def _reward(
            self,
            completion_ids: Sequence[Sequence[int]],
            row: Sequence[str],
            thinks: Sequence[bool],
            trainer_state: Any,
            log_metric: Callable[[str, float], None],
            **_: Any,
        ) -> list[float]:
            from accelerate.utils import gather_object

            asked = [TrainingPrompt.model_validate_json(text) for text in row]
            read = partial(read_answer, tokenizer=self.processing_class, ends=stops)
            items = []
            for number, (ids, opened) in enumerate(zip(completion_ids, thinks, strict=True), 1):
                prompt, written = asked[number - 1].as_prompt(number), read(ids, opened=opened)
                response = Response(
                    prompt=prompt.id,
                    text=written.text,
                    thoughts=written.thoughts,
                    finish_reason="stop" if written.ended else "length",
                    tokens=written.tokens,
                )
                items.append(Item(prompt, response))
            by_axis = reward.of(items, weights)
            sums = []
            kept = []
            for place, (source, item) in enumerate(zip(asked, items, strict=True)):
                own = {axis: by_axis[axis][place] for axis in weights}
                sums.append(weighted(own, weights))
                kept.append(_kept(trainer_state.global_step + 1, source, item, own, sums[-1]))
            for axis in weights:
                known = [value for value in by_axis[axis] if not math.isnan(value)]
                if known:
                    log_metric(f"reward of {axis}", math.fsum(known) / len(known))
            answers.add(gather_object(kept))
            return sums

    return Rewarded


def _kept(
    step: int, row: TrainingPrompt, item: Item, rewards: Mapping[Axis, float], reward: float
) -> RewardedAnswer:
    return RewardedAnswer(
        step=step,
        id=row.id,
        source=row.source,
        language=row.language,
        prompt=row.prompt_text,
        text=item.answer.text,
        thoughts=item.answer.thoughts,
        finish_reason=item.answer.finish_reason,
        tokens=item.answer.tokens,
        rewards={axis: _number(value) for axis, value in rewards.items()},
        reward=_number(reward),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
