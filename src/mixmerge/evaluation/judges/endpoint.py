"""A judge model at an OpenAI-compatible endpoint."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixmerge.evaluation.calls.reply import Reply, shown
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.judges.judge import JudgeContext
from mixmerge.evaluation.judges.rubric import Heard, Reading, Rubric, RubricJudgeSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Question, Verdict


class EndpointJudgeSpec(EndpointSpec, RubricJudgeSpec):
    """A judge model behind any OpenAI-compatible chat endpoint."""

    key = "endpoint"
    placement = frozenset(EndpointSpec.model_fields) - {"model", "fields"}

    temperature: float = Field(0.0, ge=0, le=2)
    """Of the judge's own decoding."""
    max_tokens: int = Field(512, ge=1)
    """Where the judge's reply is cut off."""
    structured: Literal["auto", "always", "never"] = "auto"
    """Whether the reply is JSON of a given schema: where the endpoint can (``auto``), or not."""

    def build(self, context: JudgeContext) -> "EndpointJudge":
        """Make the judge; the key is read from the environment."""
        return EndpointJudge(self, context.journal, context.folder)


class EndpointJudge:
    """Asks a judge model, comparisons in both orders; see `mixmerge.records.Judge`.

    Verdicts are typed: a reply without a verdict is ``unreadable``, a judge that will not judge
    ``refused``, a call without a reply ``error``. The next run asks errors again.
    """

    def __init__(self, spec: EndpointJudgeSpec, journal: Path, folder: Path = Path()) -> None:
        """Read the key; nothing in the journal of finished calls is asked again.

        Raises:
            SpecError: the rubric does not exist, or the key is not in the environment.
        """
        from mixmerge.evaluation.calls.endpoint import ChatEndpoint

        self._spec = spec
        self._folder = folder
        self.name = f"{spec.model} ({spec.rubric_name(folder)})"
        optional = ("response_format",) if spec.structured == "auto" else ()
        self._endpoint = ChatEndpoint(spec, journal, optional=optional)

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Judge answers, comparisons in both orders; identical answers are a tie."""
        return list(self.verdicts(items, question, progress))

    def verdicts(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> Iterator[Verdict]:
        """Yield what `judge` returns, one verdict at a time, once all calls are made."""
        rubric = self._spec.rubric_for(question, self._folder)
        reading = Reading(rubric, question, self._spec.model)
        replies = self._endpoint.ask(
            lambda: (self._request(rubric, text) for text in reading.texts(items)),
            progress,
            what="judge calls",
            complaint=partial(self._complaint, rubric),
        )
        yield from reading.verdicts(items, replies, partial(self._hear, rubric))

    def _request(self, rubric: Rubric, text: str) -> dict[str, Any]:
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": text}],
            "temperature": self._spec.temperature,
            "max_tokens": self._spec.max_tokens,
        }
        if self._spec.structured != "never":
            schema = {"name": "judgement", "strict": True, "schema": rubric.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _hear(self, rubric: Rubric, reply: Reply) -> Heard:
        if reply.error is not None:
            return Heard(reply.error, missing="error")
        if reply.refused:
            return Heard(reply.text, missing="refused")
        if reply.finish_reason == "length":  # its end may be what it quotes
            return Heard(f"cut off by the limit of the reply: {reply.text}")
        return rubric.hear(reply.text)

    def _complaint(self, rubric: Rubric, reply: Reply) -> str | None:
        """Say why a reply holds no verdict, and what to do about it."""
        if self._hear(rubric, reply).word is not None:
            return None
        begins = repr(shown(reply.text or reply.thoughts))
        if reply.finish_reason == "length":
            return f"{begins} was cut off before a verdict. Raise `max_tokens`."
        return (
            f"{begins} holds no verdict: its last line must be `VERDICT: WORD`, and the word one "
            f"of {', '.join(rubric.words)}."
        )


SPEC = EndpointJudgeSpec
