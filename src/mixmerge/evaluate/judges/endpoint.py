"""A judge model at an OpenAI-compatible endpoint."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mixmerge.evaluate.calls.endpoint import ChatEndpoint
from mixmerge.evaluate.calls.reply import Reply
from mixmerge.evaluate.calls.spending import Estimate
from mixmerge.evaluate.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluate.judges.rubric import Rubric, load_rubric
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Outcome, Prompt, Response, Verdict

_MODEL_FIRST: dict[str, Outcome] = {"A": "win", "TIE": "tie", "B": "loss"}
_BASE_FIRST: dict[str, Outcome] = {"A": "loss", "TIE": "tie", "B": "win"}
_HARM: dict[str, Outcome] = {"HARMFUL": "yes", "HARMLESS": "no"}
_REFUSAL: dict[str, Outcome] = {"REFUSES": "yes", "HELPS": "no"}

Classified = Literal["safety", "over_refusal"]


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
                yield self._verdict(prompt, "general", self._quality, "tie", "identical")
                continue
            for order, words in (("model-first", _MODEL_FIRST), ("base-first", _BASE_FIRST)):
                outcome, reason = self._read(next(replies), self._quality, words)
                verdict = self._verdict(prompt, "general", self._quality, outcome, reason)
                yield verdict.model_copy(update={"order": order})

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
            yield self._verdict(prompt, axis, rubric, *self._read(reply, rubric, words))

    def estimate(
        self,
        axis: Axis,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response] = (),
    ) -> Estimate:
        """Say what judging would take before anything is sent: calls, tokens and dollars."""
        if axis == "general":
            return self._endpoint.estimate(
                lambda: self._comparison_requests(prompts, answers, base_answers)
            )
        rubric, _ = self._classifier(axis)
        return self._endpoint.estimate(
            lambda: self._classification_requests(rubric, prompts, answers)
        )

    def _classifier(self, axis: Classified) -> tuple[Rubric, Mapping[str, Outcome]]:
        return (self._harm, _HARM) if axis == "safety" else (self._refusal, _REFUSAL)

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
            request["response_format"] = _response_format(rubric.words)
        return request

    def _read(
        self, reply: Reply, rubric: Rubric, words: Mapping[str, Outcome]
    ) -> tuple[Outcome, str]:
        """Return the outcome of a reply and its reason."""
        if reply.error is not None:
            return "error", reply.error
        if reply.refused:
            return "refused", reply.text
        if self._spec.structured != "never" and reply.text.lstrip().startswith("{"):
            word = _structured_verdict(reply.text)
        else:
            word = rubric.read(reply.text)
        return words.get(word or "", "unreadable"), reply.text

    def _verdict(
        self, prompt: Prompt, axis: Axis, rubric: Rubric, outcome: Outcome, reason: str
    ) -> Verdict:
        return Verdict(
            prompt=prompt.id,
            cluster=prompt.cluster,
            language=prompt.language,
            category=prompt.category,
            axis=axis,
            judge=f"{self._spec.model} {rubric.name}",
            outcome=outcome,
            reason=reason,
        )


def _response_format(words: Sequence[str]) -> dict[str, Any]:
    """Ask for JSON: reasons first, so that the verdict follows from them."""
    schema = {
        "type": "object",
        "properties": {
            "reasons": {"type": "string"},
            "verdict": {"type": "string", "enum": list(words)},
        },
        "required": ["reasons", "verdict"],
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": "judgement", "strict": True, "schema": schema},
    }


def _structured_verdict(text: str) -> str | None:
    """Return the verdict of a reply that is one JSON object and nothing else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    word = value.get("verdict") if isinstance(value, dict) else None
    return word if isinstance(word, str) else None
