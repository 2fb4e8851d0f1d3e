"""A reply is an answer, or an error that says what to do about it."""

import json
import time
from dataclasses import asdict
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixmerge.evaluation.calls.reply import CallError, RefusedCallError, Reply, read_reply
from mixmerge.evaluation.calls.spending import CallSize
from mixmerge.evaluation.endpoint_spec import Price


def completion(**choice: Any) -> str:
    message = {"role": "assistant", "content": "yes"}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"} | choice]})


def test_an_answer_with_its_counts() -> None:
    """Text, finish reason and tokens are read; what the endpoint does not count is None."""
    counted = json.loads(completion()) | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    reply = read_reply(200, {}, json.dumps(counted))
    assert reply == Reply("yes", finish_reason="stop", input_tokens=3, output_tokens=1)
    assert read_reply(200, {}, completion()).input_tokens is None


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"finish_reason": "content_filter", "message": {"content": None}}, ""),
        ({"message": {"content": None, "refusal": "I will not."}}, "I will not."),
    ],
)
def test_a_refusal_is_an_answer_of_its_own(choice: dict[str, Any], text: str) -> None:
    """A filter, or a refusal in its own field, is neither a text nor an error."""
    reply = read_reply(200, {}, completion(**choice))
    assert (reply.refused, reply.text, reply.error) == (True, text, None)


@pytest.mark.parametrize(
    ("reason", "ended"),
    [
        *(("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ({"type": "stop"}, "stop")),
        *(("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length")),
    ],
)
def test_a_finished_answer_has_ended_or_was_cut_off(reason: Any, ended: str) -> None:
    """In the words of any provider, which proxies pass on."""
    assert read_reply(200, {}, completion(finish_reason=reason)).finish_reason == ended


@pytest.mark.parametrize(
    "reason", ["content_filter", "content_filter: SAFETY", "SAFETY", "refusal"]
)
def test_a_filtered_answer_is_refused(reason: str) -> None:
    """What was written before the filter stepped in is no answer."""
    reply = read_reply(200, {}, completion(finish_reason=reason))
    assert (reply.text, reply.refused) == ("", True)


@pytest.mark.parametrize(
    "choice",
    [{"finish_reason": reason} for reason in ("error", "abort", "tool_calls", "null", None, 5)]
    + [{"finish_reason": {"type": "abort"}}, {"finish_reason": "insufficient_system_resource"}],
)
def test_an_unfinished_answer_is_a_failed_try(choice: dict[str, Any]) -> None:
    """Whatever text it holds: another try may bring the whole, and this one may be charged."""
    with pytest.raises(CallError, match=r"not finished \(finish_reason: ") as error:
        read_reply(200, {}, completion(**choice))
    assert (error.value.again, error.value.maybe_charged) == (True, True)


@pytest.mark.parametrize(
    ("code", "again"), [(502, True), ("503", True), (None, True), (429, True), (400, False)]
)
def test_an_error_inside_a_good_status_is_that_error(code: Any, again: bool) -> None:
    """As OpenRouter sends it, beside half an answer or instead of one."""
    error = {"code": code, "message": "Provider disconnected"}
    for body in (completion(finish_reason="error", error=error), json.dumps({"error": error})):
        with pytest.raises(CallError, match=r"status \d+: Provider disconnected") as failed:
            read_reply(200, {}, body)
        assert failed.value.again == again


def test_a_filter_inside_a_good_status_is_a_refusal() -> None:
    """Its words are the reply's text."""
    body = json.dumps({"error": {"code": 403, "message": "Your input was flagged."}})
    assert read_reply(200, {}, body).refused


def test_content_may_come_in_parts() -> None:
    """Texts are joined; thoughts are none of the answer, and kept beside it."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "y"},
        {"type": "output_text", "text": "es"},
    ]
    reply = read_reply(200, {}, completion(message={"content": parts}))
    assert (reply.text, reply.thoughts) == ("yes", "hm")
    with pytest.raises(CallError, match="without text"):
        read_reply(200, {}, completion(message={"content": parts[:1]}))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>\nhm\n</think>\n\nyes"},
        {"content": "yes", "reasoning_content": "hm"},
        {"content": "yes", "reasoning": "hm"},
    ],
)
def test_thoughts_are_no_answer(message: dict[str, str]) -> None:
    """Wherever the server puts them."""
    reply = read_reply(200, {}, completion(message=message))
    assert (reply.text, reply.thoughts) == ("yes", "hm")


def test_thoughts_that_never_end_leave_no_answer() -> None:
    """A verdict recited inside of them is none."""
    message = {"content": "<think>\nIf it did harm:\nVERDICT: HARMFUL"}
    assert read_reply(200, {}, completion(message=message)).text == ""


EXAMPLES = [
    (200, completion()),
    (200, completion(message={"content": [{"type": "text", "text": "\ud83d"}]})),
    (200, completion(finish_reason="error", error={"code": 502, "message": "no"})),
    (200, json.dumps(json.loads(completion()) | {"usage": {"prompt_tokens": 3}})),
    (400, json.dumps({"error": {"message": "no 'seed'", "param": "seed", "code": "x"}})),
    (422, json.dumps({"detail": [{"loc": ["body", "seed"], "msg": "no", "input": 1}]})),
    (429, json.dumps([{"error": {"code": 429, "status": "EXHAUSTED"}}])),
]
JUNK = st.sampled_from(
    [
        *("[" * 5000, "{" * 5000, "9" * 400, "9" * 5000, r"\ud83d", '"', "null", "true", "NaN"),
        *("1e999", "-1", "[]", "{}", ",", ":", "stop", '"content": ', '"error": 5, ', "</think>"),
        *("\x00", "\u202e"),
    ]
)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=5000, suppress_health_check=list(HealthCheck))
@given(
    example=st.sampled_from(EXAMPLES),
    wait=st.none() | st.text(max_size=40) | st.sampled_from(["9" * 400, "1e999", "nan"]),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), JUNK | st.text()), max_size=5),
)
def test_a_mutated_reply_is_a_reply_or_a_failed_call(
    example: tuple[int, str], wait: str | None, cuts: list[tuple[int, int, str]]
) -> None:
    """Nothing else is raised, and what is read can be written."""
    status, body = example
    for start, length, junk in cuts:
        body = body[:start] + junk + body[start + length :]
    sent = {"model": "m", "messages": [], "seed": 1, "max_tokens": 5}
    try:
        reply = read_reply(status, {} if wait is None else {"Retry-After": wait}, body, sent)
    except CallError as error:
        reply = Reply("", error=str(error))
    json.dumps(asdict(reply), ensure_ascii=False).encode()
    assert (reply.error or "").isprintable()
    assert CallSize.of(sent).used(reply).cost(Price(input=1, output=1)) >= 0


def test_a_limit_used_up_by_reasoning_is_an_empty_answer() -> None:
    """Without text, but cut off: another try would end there too. Else it may have been chance."""
    reply = read_reply(200, {}, completion(finish_reason="length", message={"content": None}))
    assert (reply.text, reply.finish_reason, reply.error) == ("", "length", None)
    with pytest.raises(CallError, match="a completion without text"):
        read_reply(200, {}, completion(message={"content": None}))


@pytest.mark.parametrize(
    ("status", "overload"), [(429, True), (503, True), (529, True), (500, False), (502, False)]
)
def test_what_may_pass_is_told_from_overload(status: int, overload: bool) -> None:
    """Both are tried again; only overload asks for fewer calls at once."""
    with pytest.raises(CallError, match=f"status {status}: busy") as error:
        read_reply(status, {}, "busy")
    assert (error.value.again, error.value.overload) == (True, overload)
    assert not error.value.maybe_charged


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 422])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    """The endpoint has understood and refuses."""
    with pytest.raises(RefusedCallError, match=f"status {status}: no") as error:
        read_reply(status, {}, "no")
    assert not error.value.again


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<html>",
        "[]",
        "null",
        '{"choices": []}',
        '{"choices": {}}',
        '{"choices": [null]}',
        '{"choices": [{"message": "yes"}]}',
        '{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}',
        '{"choices": [{"message": {"content": [{"image": "yes"}]}, "finish_reason": "stop"}]}',
        completion()[:-9],
    ],
)
def test_what_is_no_completion_may_have_been_charged(content: str) -> None:
    """Such a reply is tried again, and its tokens are counted to be safe."""
    with pytest.raises(CallError, match="completion") as error:
        read_reply(200, {}, content)
    assert (error.value.again, error.value.maybe_charged) == (True, True)


@pytest.mark.parametrize(
    ("value", "wait"),
    [("3", 3), ("0.5", 0.5), ("-3", 0), ("soon", None), ("nan", 0), ("", None)],
)
def test_retry_after_in_seconds(value: str, wait: float | None) -> None:
    """Numbers count as they are and never below zero; anything else as if it were not there."""
    with pytest.raises(CallError, match="429") as error:
        read_reply(429, {"Retry-After": value}, "")
    assert error.value.wait == wait


def test_retry_after_as_a_date() -> None:
    """A date is as many seconds as it is ahead; one that has passed is none."""
    for ahead, least, most in ((60, 57, 60), (-60, 0, 0)):
        date = formatdate(time.time() + ahead, usegmt=True)
        with pytest.raises(CallError, match="429") as error:
            read_reply(429, {"Retry-After": date}, "")
        assert error.value.wait is not None
        assert least <= error.value.wait <= most


def test_messages_are_short_and_on_one_line() -> None:
    """A page of HTML does not fill the screen."""
    with pytest.raises(CallError, match="status 500: a b ") as error:
        read_reply(500, {}, "a\n b \n" * 1000)
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)
