"""A judge model at an OpenAI-compatible endpoint."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixmerge.evaluation.calls.reply import Reply, shown
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.judges.judge import JudgeContext
from mixmerge.evaluation.judges.rubric import ParsedReply, Reading, Rubric, RubricJudgeSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Question, Verdict


class EndpointJudgeSpec(EndpointSpec, RubricJudgeSpec):
    """A judge model behind any OpenAI-compatible chat endpoint."""

    key = "endpoint"
    placement = frozenset(EndpointSpec.model_fields) - {"model", "fields"}

    temperature: float = Field(0.0, ge=0, le=2)
    """Of the judge's decoding."""
    max_tokens: int = Field(512, ge=1)
    """The limit of the judge's reply."""
    structured: Literal["auto", "always", "never"] = "auto"
    """Whether the reply must be JSON of a given schema (structured output); ``auto``: if the
    endpoint supports it."""

    def build(self, context: JudgeContext) -> "EndpointJudge":
        """Return the judge; the key is read from the environment."""
        return EndpointJudge(self, context.journal, context.folder)

    def request(self, rubric: Rubric, text: str) -> dict[str, Any]:
        """Return the request that asks for a verdict; ``text`` is the filled rubric."""
        request: dict[str, Any] = {
            "messages": [{"role": "user", "content": text}],
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        if self.structured != "never":
            schema = {"name": "judgement", "strict": True, "schema": rubric.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request


class EndpointJudge:
    """Asks a judge model, comparisons in both orders; see `mixmerge.records.Judge`.

    A reply without a verdict is ``unreadable``, a judge that refuses is ``refused``, and a failed
    call is ``error``; the next run makes failed calls again.
    """

    def __init__(self, spec: EndpointJudgeSpec, journal: Path, folder: Path = Path()) -> None:
        """Read the key; calls in the journal are not made again.

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
        rubric = self._spec.rubric_for(question, self._folder)
        reading = Reading(rubric, question, self._spec.model)
        replies = self._endpoint.ask(
            lambda: (self._spec.request(rubric, text) for text in reading.texts(items)),
            progress,
            what="judge calls",
            complaint=partial(self._complaint, rubric),
        )
        return list(reading.verdicts(items, replies, partial(self._parse, rubric)))

    def _parse(self, rubric: Rubric, reply: Reply) -> ParsedReply:
        if reply.error is not None:
            return ParsedReply(reply.error, missing="error")
        if reply.refused:
            return ParsedReply(reply.text, missing="refused")
        if reply.finish_reason == "length":  # it may end in the middle of a quoted verdict
            return ParsedReply(f"cut off at the limit of the reply: {reply.text}")
        return rubric.parse(reply.text)

    def _complaint(self, rubric: Rubric, reply: Reply) -> str | None:
        """Return why a reply has no verdict, and what to do about it."""
        if self._parse(rubric, reply).word is not None:
            return None
        begins = repr(shown(reply.text or reply.thoughts))
        if reply.finish_reason == "length":
            return f"{begins} was cut off before a verdict. Raise `max_tokens`."
        return (
            f"{begins} has no verdict: its last line must be `VERDICT: WORD`, with one of "
            f"{', '.join(rubric.words)}."
        )


SPEC = EndpointJudgeSpec
