"""Ask the named models of a specification, or plan what asking them would cost.

Endpoints are asked by the client that judges use and folders by the backends that answer
evaluations, both with a journal, so that nothing is asked twice in one output folder.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.durable import read_log
from mixmerge.errors import ResourceError
from mixmerge.evaluation.backends.chat_endpoint import request_of
from mixmerge.evaluation.backends.make import make_backend
from mixmerge.evaluation.calls.endpoint import ChatEndpoint, body_of, call_key
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.calls.spending import LEDGER, CallSize, Tokens
from mixmerge.evaluation.endpoint_spec import EndpointSpec, Price
from mixmerge.evaluation.generate import generate
from mixmerge.evaluation.spec import DecodingSpec, GeneratePlacement
from mixmerge.fingerprint import fingerprint, folder_fingerprint, once
from mixmerge.hub import resolve
from mixmerge.progress import Progress, named, silent
from mixmerge.records import Message, Prompt, RowModel
from mixmerge.synthesis.model_spec import FolderSpec, ModelSpec, Seq2seqSpec

CALLS = "calls"
"""The folder of all journals; its ledger counts what they cost together."""


@dataclass(frozen=True)
class Ask:
    """One question to one model."""

    row: str
    """The id of the row that it is about, for messages."""
    model: str
    """The model's name in the specification."""
    messages: tuple[Message, ...]
    decoding: DecodingSpec
    stand_in: str
    """A usable reply of the size to expect; it takes the place of the reply in a plan."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the reply, for endpoints that support it."""
    direction: tuple[str, str] | None = None
    """The languages to translate from and into, for a `Seq2seqSpec`; its message is the text."""

    @cached_property
    def prompt(self) -> Prompt:
        """The question as a prompt; equal questions have the same id."""
        messages = [m.model_dump() for m in self.messages]
        key = fingerprint([messages, self.decoding.model_dump(), *(self.direction or ())])
        name = f"{self.row}-{key[:16]}"
        return Prompt(id=name, cluster=name, language="", messages=self.messages)

    @property
    def request(self) -> dict[str, Any]:
        """The request to an endpoint."""
        request = request_of(self.prompt, self.decoding)
        if self.schema is not None:
            schema = {"name": "reply", "strict": True, "schema": dict(self.schema)}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request


class Usage(RowModel):
    """What one model did for one step."""

    calls: int
    """Different questions; those answered by an earlier run are included."""
    input_tokens: int | None
    """None if the model does not count them."""
    output_tokens: int | None
    dollars: float | None
    """Tokens times price; None without a price or without counts. The total also counts attempts
    that failed."""


class Replies(dict[tuple[str, str], dict[str, Reply]]):
    """The replies to different questions, by step and model; in a plan, to those not asked yet."""

    def add(self, step: str, model: str, asked: Iterable[tuple[Ask, Reply]]) -> None:
        """Add replies; a question that is asked again counts once."""
        own = self.setdefault((step, model), {})
        own |= {ask.prompt.id.rpartition("-")[2]: reply for ask, reply in asked}


Complaint = Callable[[Reply], str | None]


@dataclass
class Models:
    """The models of a specification."""

    specs: Mapping[str, ModelSpec]
    calls: Path
    """The folder of journals."""
    planning: bool = False
    """Nothing is asked: replies are those of earlier runs, or stand-ins, which `replies` counts."""
    drop_failed: bool = False
    """Whether a call that failed for good is a reply with an error instead of the end."""
    progress: Progress = silent
    replies: Replies = field(default_factory=Replies)
    _loaded: tuple[str, Any] | None = None
    """The name of a local model, and its `Backend` or `Translator`."""

    def ask(self, step: str, asks: Sequence[Ask], complaint: Complaint) -> list[Reply]:
        """Return the replies in the order of the questions; each is asked once.

        Raises:
            ResourceError: calls failed, the budget is spent, or the disk is full. The other
                replies are kept.
            SpecError: an endpoint cannot be used, or no reply of a model can.
        """
        replies: dict[int, Reply] = {}
        for model in dict.fromkeys(ask.model for ask in asks):
            places = [place for place, ask in enumerate(asks) if ask.model == model]
            own = [asks[place] for place in places]
            spec = self.specs[model]
            if self.planning:
                made = self._planned(step, model, spec, own)
            elif isinstance(spec, FolderSpec):
                made = self._of_folder(step, model, spec, own)
            elif isinstance(spec, Seq2seqSpec):
                made = self._of_translator(step, model, spec, own)
            else:
                made = self._of_endpoint(step, model, spec, own, complaint)
            replies |= zip(places, made, strict=True)
        self._require(step, asks, replies)
        return [replies[place] for place in range(len(asks))]

    def name(self, model: str) -> str:
        """Return the model's name at its endpoint, or its folder's with a digest of the content."""
        spec = self.specs[model]
        if isinstance(spec, EndpointSpec):
            return spec.model
        if self.planning:  # the folder may not be there yet
            return spec.path
        folder = resolve(spec.path)
        return f"{folder.resolve().name}-{once(folder_fingerprint, folder)[:8]}"

    def close(self) -> None:
        """Free the memory of a local model."""
        if self._loaded is not None:
            self._loaded[1].close()
        self._loaded = None

    def _planned(
        self, step: str, model: str, spec: ModelSpec, asks: Sequence[Ask]
    ) -> Iterable[Reply]:
        served = isinstance(spec, EndpointSpec)
        known = journalled(self._journal(model)) if served else {}
        for ask in asks:
            key = call_key(body_of(spec, ask.request)) if isinstance(spec, EndpointSpec) else ""
            reply = known.get(key)
            if reply is None:
                reply = stand_in(ask.request, ask.stand_in)
                self.replies.add(step, model, [(ask, reply)])
            yield reply

    def _of_endpoint(
        self, step: str, model: str, spec: EndpointSpec, asks: Sequence[Ask], complaint: Complaint
    ) -> Iterable[Reply]:
        optional = ("response_format", "seed")
        made = list(
            ChatEndpoint(spec, self._journal(model), optional=optional).ask(
                lambda: (ask.request for ask in asks),
                named(self.progress, step),
                what=f"calls of {model}",
                complaint=complaint,
            )
        )
        self.replies.add(step, model, zip(asks, made, strict=True))
        return made

    def _kept(self, model: str, make: Callable[[], Any]) -> Any:
        """Return a local model, of which one is in memory."""
        if self._loaded is None or self._loaded[0] != model:
            self.close()
            self._loaded = model, make()
        return self._loaded[1]

    def _of_translator(
        self, step: str, model: str, spec: Seq2seqSpec, asks: Sequence[Ask]
    ) -> Iterable[Reply]:
        from mixmerge.synthesis.translator import Text, Translator

        translator = self._kept(model, lambda: Translator(spec))
        texts = [
            Text(ask.messages[-1].content, *ask.direction, ask.decoding.max_new_tokens)
            for ask in asks
            if ask.direction is not None
        ]
        listen = named(self.progress, step)
        replies: list[Reply] = translator.replies(texts, self._journal(model), listen)
        self.replies.add(step, model, zip(asks, replies, strict=True))
        return replies

    def _of_folder(
        self, step: str, model: str, spec: FolderSpec, asks: Sequence[Ask]
    ) -> Iterable[Reply]:
        where = GeneratePlacement(batch_size=spec.batch_size, threads=spec.threads)
        backend = self._kept(
            model,
            lambda: make_backend(spec.own, resolve(spec.folder), calls=self.calls, placement=where),
        )
        answers: dict[str, Reply] = {}
        out, listen = self._journal(model), named(self.progress, step)
        for decoding in {repr(ask.decoding): ask.decoding for ask in asks}.values():
            prompts = {a.prompt.id: a.prompt for a in asks if a.decoding == decoding}
            made = generate(
                backend, [*prompts.values()], decoding, out, keep_journal=True, progress=listen
            )
            out.unlink()  # the journal beside it has all of them
            answers |= {
                answer.prompt: Reply(
                    answer.text,
                    refused=answer.finish_reason == "filter",
                    finish_reason=answer.finish_reason,
                    output_tokens=answer.tokens,
                    thoughts=answer.thoughts,
                )
                for answer in made
            }
        replies = [answers[ask.prompt.id] for ask in asks]
        self.replies.add(step, model, zip(asks, replies, strict=True))
        return replies

    def _journal(self, model: str) -> Path:
        return self.calls / f"model-{model}.jsonl"

    def _require(self, step: str, asks: Sequence[Ask], replies: Mapping[int, Reply]) -> None:
        failed = [place for place, reply in replies.items() if reply.error is not None]
        if failed and not self.drop_failed:
            first = asks[failed[0]]
            raise ResourceError(
                f"{step}: {len(failed):,} of {len(asks):,} calls failed; the first, about row "
                f"{first.row} to {first.model}: {replies[failed[0]].error}. The others are kept: "
                "run the same command again to repeat only these, or leave their rows out with "
                "`failed_calls: drop`."
            )


def spent(calls: Path) -> float | None:
    """Return the dollars that all calls in a folder have cost; None if no endpoint has a price."""
    return float(sum(read_log(calls / LEDGER))) if (calls / LEDGER).is_file() else None


def usage(replies: Iterable[Reply], price: Price | None) -> Usage:
    """Return what some replies took; those with an error count nothing."""
    answered = [reply for reply in replies if reply.error is None]
    sent = [reply.input_tokens for reply in answered if reply.input_tokens is not None]
    written = [reply.output_tokens for reply in answered if reply.output_tokens is not None]
    tokens = Tokens(sum(sent), sum(written))
    counted = len(sent) == len(written) == len(answered)
    return Usage(
        calls=len(answered),
        input_tokens=tokens.input if len(sent) == len(answered) else None,
        output_tokens=tokens.output if len(written) == len(answered) else None,
        dollars=None if price is None or not counted else round(tokens.cost(price), 6),
    )


def stand_in(request: Mapping[str, Any], text: str = "") -> Reply:
    """Return a reply to a request that was not made, with the tokens to expect."""
    size = CallSize.of(request).expected
    return Reply(text, finish_reason="stop", input_tokens=size.input, output_tokens=size.output)


def journalled(journal: Path) -> dict[str, Reply]:
    """Return the replies in a journal of calls."""
    # Of a panel of judges, a model on this machine writes other values into the same file.
    return {key: Reply(**value) for key, value in read_log(journal) if _is_reply(value)}


def _is_reply(value: Any) -> bool:
    return isinstance(value, dict) and "input_tokens" in value
