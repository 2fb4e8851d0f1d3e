"""A response is an answer, or an error that says what to do about it."""

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from mixmerge.evaluation.calls.reply import CallError, RefusedCallError, Reply, read_reply


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
