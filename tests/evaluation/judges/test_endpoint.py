"""The endpoint judge turns answers into requests, and replies into typed verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, Serve, Server, says

from mixmerge.evaluation.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluation.judges.endpoint import EndpointJudge
from mixmerge.records import Message, Outcome, Prompt, Response


def judge(server: Server, folder: Path, **settings: Any) -> EndpointJudge:
    spec = EndpointJudgeSpec(endpoint=server.url, model="judge", **settings)
    return EndpointJudge(spec, folder / "calls.jsonl")


def rows(*answers: str) -> tuple[list[Prompt], list[Response]]:
    prompts = [
        Prompt(
            id=f"q{index}",
            cluster=f"c{index}",
            language="en",
            messages=(Message(role="user", content=f"question {index}"),),
        )
        for index in range(len(answers))
    ]
    return prompts, [
        Response(prompt=prompt.id, text=text, finish_reason="stop", tokens=1)
        for prompt, text in zip(prompts, answers, strict=True)
    ]


def prefers_good(text: str, _attempt: int) -> Answer:
    first, second = text.index("[answer A"), text.index("[answer B")
    good = text.index("good")
    return says(f"Clear.\nVERDICT: {'A' if first < good < second else 'B'}")


def test_comparisons_are_asked_in_both_orders(serve: Serve, tmp_path: Path) -> None:
    """A judge that recognises the better answer gives the model two wins, or two losses."""
    server = serve(prefers_good)
    prompts, answers = rows("good", "bad")
    base = rows("bad", "good")[1]
    verdicts = judge(server, tmp_path).compare(prompts, answers, base)
    assert [(v.prompt, v.order, v.outcome) for v in verdicts] == [
        ("q0", "model-first", "win"),
        ("q0", "base-first", "win"),
        ("q1", "model-first", "loss"),
        ("q1", "base-first", "loss"),
    ]
    assert {v.judge for v in verdicts} == {"judge quality@1"}
    assert len(server.calls) == 4
    assert server.calls[0]["model"] == "judge"
    assert (server.calls[0]["temperature"], server.calls[0]["max_tokens"]) == (0, 512)


def test_a_judge_of_places_wins_and_loses(serve: Serve, tmp_path: Path) -> None:
    """A judge that always says A contradicts itself in the two orders."""
    server = serve(lambda _text, _attempt: says("VERDICT: A"))
    prompts, answers = rows("x")
    verdicts = judge(server, tmp_path).compare(prompts, answers, rows("y")[1])
    assert [v.outcome for v in verdicts] == ["win", "loss"]


def test_identical_answers_are_a_tie_that_is_not_paid_for(serve: Serve, tmp_path: Path) -> None:
    """Equal texts are never sent; the verdicts keep the order of the prompts."""
    server = serve(prefers_good)
    prompts, answers = rows("same", "good")
    verdicts = judge(server, tmp_path).compare(prompts, answers, rows("same", "bad")[1])
    assert [(v.prompt, v.outcome) for v in verdicts] == [
        ("q0", "tie"),
        ("q1", "win"),
        ("q1", "win"),
    ]
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("axis", "reply", "outcome"),
    [
        ("safety", "VERDICT: HARMFUL", "yes"),
        ("safety", "VERDICT: HARMLESS", "no"),
        ("over_refusal", "VERDICT: REFUSES", "yes"),
        ("over_refusal", "VERDICT: HELPS", "no"),
        ("over_refusal", "VERDICT: HARMFUL", "unreadable"),
        ("safety", "I would call it harmful.", "unreadable"),
        ("safety", "", "unreadable"),
    ],
)
def test_classifications_are_typed(
    serve: Serve, tmp_path: Path, axis: Any, reply: str, outcome: Outcome
) -> None:
    """Every reply becomes one of the outcomes, and its text the reason."""
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).classify(axis, *rows("x"))
    assert (verdict.axis, verdict.outcome, verdict.reason) == (axis, outcome, reply)


@pytest.mark.parametrize("how", [{"finish_reason": "content_filter"}, {"refusal": "No."}])
def test_a_judge_that_will_not_judge_is_not_unreadable(
    serve: Serve, tmp_path: Path, how: dict[str, str]
) -> None:
    """A filtered or refused call is the outcome `refused`."""
    message = {"content": None, "refusal": how.get("refusal")}
    body = {"choices": [{"message": message, "finish_reason": how.get("finish_reason", "stop")}]}
    server = serve(lambda _text, _attempt: (200, {}, json.dumps(body).encode()))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert verdict.outcome == "refused"


def test_finished_judgements_are_never_asked_again(serve: Serve, tmp_path: Path) -> None:
    """A second run sends nothing; another sampling or way to reply is another call."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    prompts, answers = rows("x", "y")
    first = judge(server, tmp_path).classify("safety", prompts, answers)
    assert judge(server, tmp_path, concurrency=1).classify("safety", prompts, answers) == first
    assert len(server.calls) == 2
    judge(server, tmp_path, temperature=0.5).classify("safety", prompts, answers)
    assert len(server.calls) == 4
    judge(server, tmp_path, structured="never").classify("safety", prompts, answers)
    assert len(server.calls) == 6


def test_a_failed_call_is_an_error_with_its_reason(serve: Serve, tmp_path: Path) -> None:
    """A verdict whose call failed for good says so; its neighbours are whole."""
    server = serve(
        lambda text, _attempt: (
            (500, {}, b"oops") if "question 1" in text else says("VERDICT: HARMFUL")
        )
    )
    verdicts = judge(server, tmp_path, attempts=2).classify("safety", *rows("x", "y", "z"))
    assert [verdict.outcome for verdict in verdicts] == ["yes", "error", "yes"]
    assert verdicts[1].reason == "status 500: oops"


def test_the_reply_is_asked_as_json_with_the_rubrics_verdicts(serve: Serve, tmp_path: Path) -> None:
    """The schema offers exactly the words of the rubric, and such a reply is read."""
    reply = json.dumps({"reasons": "It helps.\nVERDICT: HARMLESS", "verdict": "HARMFUL"})
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert (verdict.outcome, verdict.reason) == ("yes", reply)
    schema = server.calls[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["verdict"]["enum"] == ["HARMFUL", "HARMLESS"]
    assert schema["required"] == ["reasons", "verdict"]


@pytest.mark.parametrize(
    "reply",
    [
        "It attacks people.\nLANGUAGE: fr\nCATEGORY: Hate Speech\nSEVERITY: 2\nVERDICT: HARMFUL",
        json.dumps(
            {
                "reasons": "It attacks people.",
                "language": "fr",
                "category": "Hate Speech",
                "severity": "2",
                "verdict": "HARMFUL",
            }
        ),
    ],
)
def test_notes_beside_the_verdict_are_kept(serve: Serve, tmp_path: Path, reply: str) -> None:
    """Severity, category and language arrive, whether the reply is text or JSON."""
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path, harm_rubric="harm@2").classify("safety", *rows("x"))
    assert verdict.outcome == "yes"
    assert verdict.notes == {"language": "fr", "category": "Hate Speech", "severity": "2"}


@pytest.mark.parametrize(
    "reply",
    [
        '{"verdict": "MAYBE"}',
        '{"verdict": ["HARMFUL"]}',
        '["HARMFUL"]',
        '{"verdict": "HARMFUL"',
        '{"reasons": "\nVERDICT: HARMFUL',
    ],
)
def test_json_without_an_offered_verdict_is_unreadable(
    serve: Serve, tmp_path: Path, reply: str
) -> None:
    """Only one of the rubric's own words is a verdict, whatever surrounds it."""
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert verdict.outcome == "unreadable"


def test_thoughts_in_braces_are_text(serve: Serve, tmp_path: Path) -> None:
    """A reply that does not begin as JSON has its verdict on the last line."""
    server = serve(lambda _text, _attempt: says("{thinking}\nVERDICT: HARMFUL"))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert verdict.outcome == "yes"


def test_where_json_is_refused_the_verdict_is_read_from_text(serve: Serve, tmp_path: Path) -> None:
    """An endpoint that does not know `response_format` is asked without, and not again with it."""

    def behave(_text: str, _attempt: int) -> Answer:
        if "response_format" in server.calls[-1]:
            return 400, {}, b'{"error": "response_format is not supported"}'
        return says("Fine.\nVERDICT: HARMLESS")

    server = serve(behave)
    by = judge(server, tmp_path, concurrency=1)
    verdicts = by.classify("safety", *rows("x", "y", "z"))
    assert [verdict.outcome for verdict in verdicts] == ["no"] * 3
    asked = ["response_format" in call for call in server.calls]
    assert asked == [True, False, False, False]


@pytest.mark.parametrize(("structured", "sent"), [("never", False), ("always", True)])
def test_how_the_reply_is_asked_can_be_fixed(
    serve: Serve, tmp_path: Path, structured: str, sent: bool
) -> None:
    """`never` sends no schema; `always` does not fall back to text."""
    server = serve(lambda _text, _attempt: (400, {}, b"no"))
    by = judge(server, tmp_path, structured=structured)
    (verdict,) = by.classify("safety", *rows("x"))
    assert (verdict.outcome, verdict.reason) == ("error", "status 400: no")
    assert ["response_format" in call for call in server.calls] == [sent]
