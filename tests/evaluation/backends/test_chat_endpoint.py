"""A served model answers through any OpenAI-compatible endpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, Server, says

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.backends.chat_endpoint import EndpointBackend
from mixmerge.evaluation.generate import generate
from mixmerge.evaluation.generate_spec import EndpointModelSpec
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.records import Message, Prompt

Serve = Callable[[Callable[[str, int], Answer]], Server]
GREEDY = DecodingSpec(max_new_tokens=12)


def backend(server: Server, folder: Path, **settings: Any) -> EndpointBackend:
    spec = EndpointModelSpec(endpoint=server.url, model="sft-{model}", **settings)
    return EndpointBackend(spec.serving("mix15"), folder / "calls.jsonl")


def echo(text: str, _attempt: int) -> Answer:
    return says(f"about {text}")


def test_prompts_are_asked_as_chats(serve: Serve, questions: list[Prompt], tmp_path: Path) -> None:
    """All turns, the decoding and the checkpoint's name are sent; answers keep their order."""
    turns = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi"),
        Message(role="user", content="Why?"),
    )
    asked = [questions[0].model_copy(update={"id": "chat", "messages": turns}), *questions[:3]]
    server = serve(echo)
    made = generate(backend(server, tmp_path), asked, GREEDY, tmp_path / "a.jsonl")
    assert [answer.prompt for answer in made] == ["chat", "q0", "q1", "q2"]
    assert [answer.text for answer in made[1:]] == [f"about {p.text}" for p in asked[1:]]
    (sent,) = [body for body in server.calls if len(body["messages"]) == 4]
    assert sent == {
        "model": "sft-mix15",
        "messages": [turn.model_dump() for turn in turns],
        "max_tokens": 12,
        "temperature": 0,
    }


def test_sampling_sends_its_own_seed_for_each_prompt(
    serve: Serve, questions: list[Prompt], tmp_path: Path
) -> None:
    """`top_p` and a seed go with every sampled request, the same in every run."""
    server = serve(echo)
    sampled = DecodingSpec(temperature=0.8, top_p=0.9, seed=5)
    for name in ("a", "b"):
        made = backend(server, tmp_path / name)
        generate(made, questions[:4], sampled, tmp_path / f"{name}.jsonl")
    seeds = {body["messages"][0]["content"]: body["seed"] for body in server.calls}
    assert len(server.calls) == 8
    assert len(set(seeds.values())) == 4
    assert all(body["seed"] == seeds[body["messages"][0]["content"]] for body in server.calls)
    assert {body["top_p"] for body in server.calls} == {0.9}


@pytest.mark.parametrize(
    ("choice", "reason", "text"),
    [
        ({"finish_reason": "stop"}, "stop", "some"),
        ({"finish_reason": "length"}, "length", "some"),
        ({"finish_reason": "content_filter"}, "filter", ""),
        ({"finish_reason": "MAX_TOKENS"}, "length", "some"),
        ({"finish_reason": "content_filter: SAFETY"}, "filter", ""),
    ],
)
def test_finish_reasons_are_kept(
    serve: Serve,
    questions: list[Prompt],
    tmp_path: Path,
    choice: dict[str, Any],
    reason: str,
    text: str,
) -> None:
    """A cut-off answer and one that the provider withheld are told apart from finished ones."""
    server = serve(lambda _text, _attempt: says("some", **choice))
    (answer,) = generate(backend(server, tmp_path), questions[:1], GREEDY, tmp_path / "a.jsonl")
    assert (answer.finish_reason, answer.text) == (reason, text)


def test_tokens_are_the_endpoints_count(
    serve: Serve, questions: list[Prompt], tmp_path: Path
) -> None:
    """Usage is recorded; an endpoint that does not count gives zero."""

    def counts(text: str, _attempt: int) -> Answer:
        status, headers, content = says("some")
        body = json.loads(content)
        if text == questions[0].text:
            body["usage"] = {"prompt_tokens": 3, "completion_tokens": 7}
        return status, headers, json.dumps(body).encode()

    server = serve(counts)
    made = generate(backend(server, tmp_path), questions[:2], GREEDY, tmp_path / "a.jsonl")
    assert [answer.tokens for answer in made] == [7, 0]


def test_failed_answers_stop_the_set_and_are_all_that_is_asked_again(
    serve: Serve, questions: list[Prompt], tmp_path: Path
) -> None:
    """No answer is made up for a call that failed; the next run asks only that one."""
    broken = [True]

    def behave(text: str, attempt: int) -> Answer:
        lost = broken[0] and text == questions[1].text
        return (500, {}, b"oops") if lost else echo(text, attempt)

    server, out = serve(behave), tmp_path / "a.jsonl"
    with pytest.raises(ResourceError, match=r"1 of 4 answers of sft-mix15 failed \(.*500"):
        generate(backend(server, tmp_path, attempts=2), questions[:4], GREEDY, out)
    assert not out.exists()
    assert len(server.calls) == 5
    broken[0] = False
    made = generate(backend(server, tmp_path), questions[:4], GREEDY, out)
    assert len(server.calls) == 6
    assert [answer.text for answer in made] == [f"about {p.text}" for p in questions[:4]]


def test_a_wrong_model_stops_at_once(serve: Serve, questions: list[Prompt], tmp_path: Path) -> None:
    """A name that the endpoint does not know is one message, not one for every prompt."""
    server = serve(lambda _text, _attempt: (404, {}, b"model not found"))
    with pytest.raises(SpecError, match="sft-mix15"):
        generate(backend(server, tmp_path), questions, GREEDY, tmp_path / "a.jsonl")


def test_the_address_is_not_identity() -> None:
    """Another address or speed is the same model; another name or field is not."""
    one = EndpointModelSpec(endpoint="http://a/v1", model="m")
    moved = EndpointModelSpec(endpoint="http://b/v1", model="m", concurrency=2)
    assert one.identity() == moved.identity()
    assert one.identity() != one.model_copy(update={"model": "n"}).identity()
    assert one.identity() != one.model_copy(update={"fields": {"top_k": 1}}).identity()


def test_thoughts_are_kept_beside_the_answer(
    serve: Serve, questions: list[Prompt], tmp_path: Path
) -> None:
    """A block of thoughts is no answer; template options go with the request."""
    server = serve(lambda _text, _attempt: says("<think>\nhm\n</think>\n\nYes."))
    asked = GREEDY.model_copy(update={"chat_template": {"enable_thinking": True}})
    made = generate(backend(server, tmp_path), questions[:2], asked, tmp_path / "a.jsonl")
    assert [(answer.text, answer.thoughts) for answer in made] == [("Yes.", "hm")] * 2
    assert server.calls[0]["chat_template_kwargs"] == {"enable_thinking": True}
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["thoughts"] for row in rows] == ["hm", "hm"]
