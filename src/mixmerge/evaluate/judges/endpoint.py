"""A judge model at an OpenAI-compatible endpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mixmerge.evaluate.judges.chat import ChatEndpoint, Reply
from mixmerge.evaluate.judges.rubric import Rubric, load_rubric
from mixmerge.evaluate.spec import EndpointJudgeSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Outcome, Prompt, Response, Verdict

_MODEL_FIRST: dict[str, Outcome] = {"A": "win", "TIE": "tie", "B": "loss"}
_BASE_FIRST: dict[str, Outcome] = {"A": "loss", "TIE": "tie", "B": "win"}
_HARM: dict[str, Outcome] = {"HARMFUL": "yes", "HARMLESS": "no"}
_REFUSAL: dict[str, Outcome] = {"REFUSES": "yes", "HELPS": "no"}


class EndpointJudge:
    """Asks a judge model, comparisons in both orders; see `mixmerge.records.Judge`."""

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
        self._endpoint = ChatEndpoint(spec, journal)

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
        pairs = list(zip(prompts, answers, base_answers, strict=True))
        asked = [pair for pair in pairs if pair[1].text != pair[2].text]
        texts = [
            self._quality.fill(
                {
                    "prompt": prompt.text,
                    "language": prompt.language,
                    "answer_a": first.text,
                    "answer_b": second.text,
                }
            )
            for prompt, model, base in asked
            for first, second in ((model, base), (base, model))
        ]
        replies = iter(self._endpoint.ask(texts, progress))
        verdicts: list[Verdict] = []
        for prompt, model, base in pairs:
            if model.text == base.text:
                verdicts.append(self._verdict(prompt, "general", self._quality, "tie", "identical"))
                continue
            for order, words in (("model-first", _MODEL_FIRST), ("base-first", _BASE_FIRST)):
                outcome, reason = _read(next(replies), self._quality, words)
                verdict = self._verdict(prompt, "general", self._quality, outcome, reason)
                verdicts.append(verdict.model_copy(update={"order": order}))
        return verdicts

    def classify(
        self,
        axis: Literal["safety", "over_refusal"],
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request."""
        rubric, words = (self._harm, _HARM) if axis == "safety" else (self._refusal, _REFUSAL)
        texts = [
            rubric.fill({"prompt": prompt.text, "language": prompt.language, "answer": answer.text})
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        replies = self._endpoint.ask(texts, progress)
        return [
            self._verdict(prompt, axis, rubric, *_read(reply, rubric, words))
            for prompt, reply in zip(prompts, replies, strict=True)
        ]

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


def _read(reply: Reply, rubric: Rubric, words: dict[str, Outcome]) -> tuple[Outcome, str]:
    """Return the outcome of a reply and its reason."""
    if reply.error is not None:
        return "error", reply.error
    if reply.refused:
        return "refused", reply.text
    word = rubric.read(reply.text)
    return (words[word] if word else "unreadable"), reply.text
