"""The endpoint judge turns answers into requests, and replies into typed verdicts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, Serve, Server, says
from tests.evaluation.judges.cases import COMPARED, GRADED, HARMFUL, REFUSED, items

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec
from mixmerge.records import Outcome, Question


def judge(server: Server, folder: Path, **settings: Any) -> EndpointJudge:
    spec = EndpointJudgeSpec(endpoint=server.url, model="judge", **settings)
    return EndpointJudge(spec, folder / "calls.jsonl")


def prefers_good(text: str, _attempt: int) -> Answer:
    first, second = text.index("[answer A"), text.index("[answer B")
    good = text.index("good")
    return says(f"Clear.\nVERDICT: {'A' if first < good < second else 'B'}")


def test_comparisons_are_asked_in_both_orders(serve: Serve, tmp_path: Path) -> None:
    """A judge that recognises the better answer gives the model two wins, or two losses."""
    server = serve(prefers_good)
    verdicts = judge(server, tmp_path).judge(items("good", "bad", base=("bad", "good")), COMPARED)
    assert [(v.prompt, v.order, v.outcome) for v in verdicts] == [
        ("q0", "model-first", "win"),
        ("q0", "base-first", "win"),
        ("q1", "model-first", "loss"),
        ("q1", "base-first", "loss"),
    ]
    assert {v.judge for v in verdicts} == {"judge comparison@1"}
    assert len(server.calls) == 4
    assert server.calls[0]["model"] == "judge"
    assert (server.calls[0]["temperature"], server.calls[0]["max_tokens"]) == (0, 512)


def test_a_judge_of_places_wins_and_loses(serve: Serve, tmp_path: Path) -> None:
    """A judge that always says A contradicts itself in the two orders."""
    server = serve(lambda _text, _attempt: says("VERDICT: A"))
    verdicts = judge(server, tmp_path).judge(items("x", base=("y",)), COMPARED)
    assert [v.outcome for v in verdicts] == ["win", "loss"]


def test_identical_answers_are_a_tie_that_is_not_paid_for(serve: Serve, tmp_path: Path) -> None:
    """Equal texts are never sent; the verdicts keep the order of the prompts."""
    server = serve(prefers_good)
    verdicts = judge(server, tmp_path).judge(items("same", "good", base=("same", "bad")), COMPARED)
    assert [(v.prompt, v.outcome) for v in verdicts] == [
        ("q0", "tie"),
        ("q1", "win"),
        ("q1", "win"),
    ]
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("question", "reply", "outcome"),
    [
        (HARMFUL, "VERDICT: HARMFUL", "yes"),
        (HARMFUL, "VERDICT: HARMLESS", "no"),
        (REFUSED, "VERDICT: REFUSES", "yes"),
        (REFUSED, "VERDICT: HELPS", "no"),
        (REFUSED, "VERDICT: HARMFUL", "unreadable"),
        (HARMFUL, "I would call it harmful.", "unreadable"),
        (HARMFUL, "", "unreadable"),
    ],
)
def test_classifications_are_typed(
    serve: Serve, tmp_path: Path, question: Question, reply: str, outcome: Outcome
) -> None:
    """Every reply becomes one of the outcomes, and its text the reason."""
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).judge(items("x"), question)
    assert (verdict.axis, verdict.outcome, verdict.reason) == (question.axis, outcome, reply)


@pytest.mark.parametrize("how", [{"finish_reason": "content_filter"}, {"refusal": "No."}])
def test_a_judge_that_will_not_judge_is_not_unreadable(
    serve: Serve, tmp_path: Path, how: dict[str, str]
) -> None:
    """A filtered or refused call is the outcome `refused`."""
    message = {"content": None, "refusal": how.get("refusal")}
    body = {"choices": [{"message": message, "finish_reason": how.get("finish_reason", "stop")}]}
    server = serve(lambda _text, _attempt: (200, {}, json.dumps(body).encode()))
    (verdict,) = judge(server, tmp_path).judge(items("x"), HARMFUL)
    assert verdict.outcome == "refused"


def test_finished_judgements_are_never_asked_again(serve: Serve, tmp_path: Path) -> None:
    """A second run sends nothing; another sampling or way to reply is another call."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    asked = items("x", "y")
    first = judge(server, tmp_path).judge(asked, HARMFUL)
    assert judge(server, tmp_path, concurrency=1).judge(asked, HARMFUL) == first
    assert len(server.calls) == 2
    judge(server, tmp_path, temperature=0.5).judge(asked, HARMFUL)
    assert len(server.calls) == 4
    judge(server, tmp_path, structured="never").judge(asked, HARMFUL)
    assert len(server.calls) == 6


def test_a_failed_call_is_an_error_with_its_reason(serve: Serve, tmp_path: Path) -> None:
    """A verdict whose call failed for good says so; its neighbours are whole."""
    server = serve(
        lambda text, _attempt: (
            (500, {}, b"oops") if "question 1" in text else says("VERDICT: HARMFUL")
        )
    )
    verdicts = judge(server, tmp_path, attempts=2).judge(items("x", "y", "z"), HARMFUL)
    assert [verdict.outcome for verdict in verdicts] == ["yes", "error", "yes"]
    assert verdicts[1].reason == "status 500: oops"


def test_the_reply_is_asked_as_json_with_the_rubrics_verdicts(serve: Serve, tmp_path: Path) -> None:
    """The schema offers exactly the words of the rubric, and such a reply is read."""
    reply = json.dumps({"reasons": "It helps.\nVERDICT: HARMLESS", "verdict": "HARMFUL"})
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).judge(items("x"), HARMFUL)
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
    (verdict,) = judge(server, tmp_path, rubric="harmful@2").judge(items("x"), HARMFUL)
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
    (verdict,) = judge(server, tmp_path).judge(items("x"), HARMFUL)
    assert verdict.outcome == "unreadable"


@pytest.mark.parametrize("reply", ["So:\nVERDICT: HARMFUL", '{"verdict": "HARMFUL"}'])
def test_a_reply_that_was_cut_off_holds_no_verdict(
    serve: Serve, tmp_path: Path, reply: str
) -> None:
    """Its last line may be what it quotes, or the middle of a thought; the limit is named."""
    server = serve(lambda _text, _attempt: says(reply, finish_reason="length"))
    (verdict,) = judge(server, tmp_path).judge(items("x"), HARMFUL)
    assert (verdict.outcome, verdict.reason) == (
        "unreadable",
        f"cut off at the limit of the reply: {reply}",
    )
    with pytest.raises(SpecError, match=r"10 replies .* was cut off .* Raise `max_tokens`"):
        judge(server, tmp_path).judge(items(*map(str, range(40))), HARMFUL)
    assert len(server.calls) < 40


def test_a_judge_that_gives_no_verdicts_is_not_asked_everything(
    serve: Serve, tmp_path: Path
) -> None:
    """After ten replies without a verdict the first is shown, with what is read as one."""
    server = serve(lambda _text, _attempt: says("It does harm."))
    with pytest.raises(
        SpecError, match=r"'It does harm.' has no verdict: .* one of HARMFUL, HARMLESS"
    ):
        judge(server, tmp_path, concurrency=1).judge(items(*map(str, range(40))), HARMFUL)
    assert len(server.calls) == 10


def test_thoughts_in_braces_are_text(serve: Serve, tmp_path: Path) -> None:
    """A reply that does not begin as JSON has its verdict on the last line."""
    server = serve(lambda _text, _attempt: says("{thinking}\nVERDICT: HARMFUL"))
    (verdict,) = judge(server, tmp_path).judge(items("x"), HARMFUL)
    assert verdict.outcome == "yes"


def test_where_json_is_refused_the_verdict_is_read_from_text(serve: Serve, tmp_path: Path) -> None:
    """An endpoint that does not know `response_format` is asked without, and not again with it."""

    def behave(_text: str, _attempt: int) -> Answer:
        if "response_format" in server.calls[-1]:
            return 400, {}, b'{"error": "response_format is not supported"}'
        return says("Fine.\nVERDICT: HARMLESS")

    server = serve(behave)
    by = judge(server, tmp_path, concurrency=1)
    verdicts = by.judge(items("x", "y", "z"), HARMFUL)
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
    (verdict,) = by.judge(items("x"), HARMFUL)
    assert (verdict.outcome, verdict.reason) == ("error", "status 400: no")
    assert ["response_format" in call for call in server.calls] == [sent]


def test_a_grade_is_the_number_on_the_last_line(serve: Serve, tmp_path: Path) -> None:
    """Grades within the bounds of the measure are scores; any other word is no verdict."""
    replies = iter(["VERDICT: 7", "VERDICT: 11", "Ten.\nVERDICT: 10"])
    server = serve(lambda _text, _attempt: says(next(replies)))
    by = judge(server, tmp_path, concurrency=1, structured="never")
    verdicts = by.judge(items("x", "y", "z"), GRADED)
    assert [(v.outcome, v.score) for v in verdicts] == [
        ("graded", 7.0),
        ("unreadable", None),
        ("graded", 10.0),
    ]
    assert {v.judge for v in verdicts} == {"judge grade@1"}


def test_right_answers_are_shown_where_the_rubric_asks(serve: Serve, tmp_path: Path) -> None:
    """The shipped rubric for `correct` reads the accepted answers of the prompt."""
    server = serve(lambda _text, _attempt: says("VERDICT: RIGHT"))
    asked = items("It is Paris.", accepted=("Paris", "Lutetia"))
    (verdict,) = judge(server, tmp_path).judge(asked, Question("exam", "outcome", "correct"))
    assert (verdict.outcome, verdict.judge) == ("yes", "judge correct@1")
    assert "\nParis\nLutetia\n" in server.calls[0]["messages"][0]["content"]


def test_a_rubric_of_ones_own_counts_by_content(serve: Serve, tmp_path: Path) -> None:
    """A text file is filled and read as a shipped rubric; its content is part of its name."""
    path = tmp_path / "polite.txt"
    path.write_text("Is it polite?\n{{answer}}\nVERDICT: POLITE\nVERDICT: RUDE\n")
    polite = Question("manners", "outcome", "polite")
    server = serve(lambda _text, _attempt: says("VERDICT: POLITE"))
    by = judge(server, tmp_path, rubric=str(path))
    (verdict,) = by.judge(items("Please."), polite)
    assert verdict.outcome == "yes"
    assert verdict.judge.startswith("judge polite-")
    assert "Please." in server.calls[0]["messages"][0]["content"]
    spec = EndpointJudgeSpec(endpoint=server.url, model="judge", rubric=str(path))
    assert spec.paths() == {"rubric": path}
    assert str(tmp_path) not in str(spec.identity())
    before = by.name
    path.write_text(path.read_text() + "\n")
    assert judge(server, tmp_path, rubric=str(path)).name != before
    with pytest.raises(
        SpecError, match=r"general: the rubric polite-\w+ has a placeholder {{answer}}"
    ):
        judge(server, tmp_path, rubric=str(path)).judge(items("x", base=("y",)), COMPARED)


def test_a_question_without_a_rubric_is_refused_at_once(tmp_path: Path) -> None:
    """Before any call, the message lists what is shipped and how to give a file."""
    spec = EndpointJudgeSpec(endpoint="http://localhost:9/v1", model="m")
    funny = Question("wit", "outcome", "funny")
    with pytest.raises(ValueError, match=r"no rubric 'funny@1'; there are .*`rubric: FILE`"):
        spec.check(funny)
    with pytest.raises(SpecError, match="wit: There is no rubric 'funny@1'"):
        EndpointJudge(spec, tmp_path / "calls.jsonl").judge(items("x"), funny)
    with pytest.raises(ValueError, match=r"grades within the measure's bounds, 0 to 1 \(it offers"):
        spec.check(Question("essay", "grade"))


def test_speed_patience_and_price_are_not_the_judges_identity() -> None:
    """Another address, limit or price judges the same; another field, rubric or form does not."""
    plain = EndpointJudgeSpec(endpoint="http://localhost:8000/v1", model="m")
    placed = EndpointJudgeSpec(
        endpoint="https://elsewhere/v1",
        model="m",
        api_key_env="KEY",
        concurrency=3,
        requests_per_minute=60,
        tokens_per_minute=1000,
        attempts=1,
        timeout_seconds=1,
        longest_wait_seconds=1,
        deadline_seconds=9,
        price={"input": 1, "output": 2},
        budget=1,
    )
    assert placed.identity() == plain.identity()
    changes: list[dict[str, Any]] = [
        {"fields": {"seed": 1}},
        {"structured": "never"},
        {"temperature": 1},
        {"rubric": "harmful@2"},
    ]
    for change in changes:
        assert plain.model_copy(update=change).identity() != plain.identity()
