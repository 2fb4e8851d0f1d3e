"""A judge model at an OpenAI-compatible endpoint."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mixmerge.evaluation.calls.connection import Reply
from mixmerge.evaluation.calls.endpoint import ChatEndpoint
from mixmerge.evaluation.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluation.judges.outcomes import (
    BASE_FIRST,
    HARM,
    MODEL_FIRST,
    REFUSAL,
    Classified,
    verdict,
)
from mixmerge.evaluation.judges.rubric import Rubric, load_rubric
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Outcome, Prompt, Response, Verdict

_JSON_OBJECT = re.compile(r'\s*\{\s*["}]')
"""How a JSON object begins, and thoughts in braces do not."""

Order = Literal["model-first", "base-first"]
_ORDERS: tuple[tuple[Order, Mapping[str, Outcome]], ...] = (
    ("model-first", MODEL_FIRST),
    ("base-first", BASE_FIRST),
)


class EndpointJudge:
    """Asks a judge model, comparisons in both orders; see `mixmerge.records.Judge`.

    Verdicts are typed: a reply without a verdict is ``unreadable``, a judge that will not judge
    ``refused``, a call without a reply ``error``. The next run asks errors again.
    """

    def __init__(self, spec: EndpointJudgeSpec, journal: Path) -> None:
        """Load the rubrics and read the key.

        Args:
            spec: which judge, where, and how it is asked.
            journal: file of finished calls; nothing in it is asked again.

        Raises:
            SpecError: a rubric does not exist, or the key is not in the environment.
        """
        self._spec = spec
        self._quality = load_rubric(spec.quality_rubric)
        self._harm = load_rubric(spec.harm_rubric)
        self._refusal = load_rubric(spec.refusal_rubric)
        optional = ("response_format",) if spec.structured == "auto" else ()
        self._endpoint = ChatEndpoint(spec, journal, optional=optional)

    @property
    def name(self) -> str:
        """Judge model and rubric versions."""
        rubrics = (self._quality.name, self._harm.name, self._refusal.name)
        return f"{self._spec.model} ({', '.join(rubrics)})"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Compare in both orders; identical answers are a tie and are not sent."""
        return list(self.comparisons(prompts, answers, base_answers, progress))

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request."""
        return list(self.classifications(axis, prompts, answers, progress))

    def comparisons(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> Iterator[Verdict]:
        """Yield what `compare` returns, one verdict at a time, once all calls are made."""
        replies = self._endpoint.ask(
            lambda: self._comparison_requests(prompts, answers, base_answers),
            progress,
            what="judge calls",
        )
        for prompt, model, base in zip(prompts, answers, base_answers, strict=True):
            if model.text == base.text:
                label = self._label(self._quality)
                yield verdict(prompt, "general", label, "tie", "identical")
                continue
            for order, words in _ORDERS:
                yield self._read(prompt, "general", next(replies), self._quality, words, order)

    def classifications(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> Iterator[Verdict]:
        """Yield what `classify` returns, one verdict at a time, once all calls are made."""
        rubric, words = self._classifier(axis)
        replies = self._endpoint.ask(
            lambda: self._classification_requests(rubric, prompts, answers),
            progress,
            what="judge calls",
        )
        for prompt, reply in zip(prompts, replies, strict=True):
            yield self._read(prompt, axis, reply, rubric, words)

    def _classifier(self, axis: Classified) -> tuple[Rubric, Mapping[str, Outcome]]:
        return (self._harm, HARM) if axis == "safety" else (self._refusal, REFUSAL)

    def _comparison_requests(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
    ) -> Iterator[dict[str, Any]]:
        for prompt, model, base in zip(prompts, answers, base_answers, strict=True):
            if model.text == base.text:
                continue
            for first, second in ((model, base), (base, model)):
                fields = {
                    "prompt": prompt.text,
                    "language": prompt.language,
                    "answer_a": first.text,
                    "answer_b": second.text,
                }
                yield self._request(self._quality, fields)

    def _classification_requests(
        self, rubric: Rubric, prompts: Sequence[Prompt], answers: Sequence[Response]
    ) -> Iterator[dict[str, Any]]:
        for prompt, answer in zip(prompts, answers, strict=True):
            fields = {"prompt": prompt.text, "language": prompt.language, "answer": answer.text}
            yield self._request(rubric, fields)

    def _request(self, rubric: Rubric, fields: Mapping[str, str]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": rubric.fill(fields)}],
            "temperature": self._spec.temperature,
            "max_tokens": self._spec.max_tokens,
        }
        if self._spec.structured != "never":
            request["response_format"] = _response_format(rubric)
        return request

    def _read(
        self,
        prompt: Prompt,
        axis: Axis,
        reply: Reply,
        rubric: Rubric,
        words: Mapping[str, Outcome],
        order: Order | None = None,
    ) -> Verdict:
        label = self._label(rubric)
        if reply.error is not None:
            return verdict(prompt, axis, label, "error", reply.error, order)
        if reply.refused:
            return verdict(prompt, axis, label, "refused", reply.text, order)
        word, notes = self._word_and_notes(reply.text, rubric)
        outcome = words.get(word or "", "unreadable")
        row = verdict(prompt, axis, label, outcome, reply.text, order)
        return row.model_copy(update={"notes": notes}) if notes else row

    def _word_and_notes(self, text: str, rubric: Rubric) -> tuple[str | None, dict[str, str]]:
        if self._spec.structured == "never" or not _JSON_OBJECT.match(text):
            return rubric.read(text), rubric.read_notes(text)
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):  # cut off: its last line may be what it quotes
            return None, {}
        texts = {key: value for key, value in said.items() if isinstance(value, str)}
        notes = {key: texts[key] for key in rubric.notes if texts.get(key)}
        return texts.get("verdict"), notes

    def _label(self, rubric: Rubric) -> str:
        return f"{self._spec.model} {rubric.name}"


def _response_format(rubric: Rubric) -> dict[str, Any]:
    schema = {"name": "judgement", "strict": True, "schema": rubric.schema}
    return {"type": "json_schema", "json_schema": schema}
