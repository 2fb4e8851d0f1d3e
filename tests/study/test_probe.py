"""Endpoints are asked for one token before work begins that takes long."""

from pathlib import Path

import pytest
from tests.evaluation.endpoint_server import Serve, Server, says, serve

from mixmerge.evaluation.calls.spending import spent
from mixmerge.evaluation.endpoint_spec import EndpointSpec, Price
from mixmerge.study.probe import NeededEndpoint, unanswered

__all__ = ["serve"]
REQUEST = {"max_tokens": 300, "temperature": 0.0}
PLACE = ("evaluate", "axes", "safe", "judge")


def needed(url: str, **more: object) -> NeededEndpoint:
    """Return an endpoint that a judge needs."""
    spec = EndpointSpec.model_validate({"endpoint": url, "model": "m", **more})
    return NeededEndpoint(spec, PLACE, REQUEST, "judge", ["judge/sft"])


def test_one_token_is_asked_and_counted(serve: Serve, tmp_path: Path) -> None:
    """An endpoint that answers is asked once, with a limit of one token, and its price counts."""
    server = serve(lambda _text, _attempt: says("yes", finish_reason="length"))
    one = needed(server.url, price=Price(input=1e6, output=2e6), fields={"seed": 1})
    assert list(unanswered([one], tmp_path)) == []
    (call,) = server.calls
    assert (call["max_tokens"], call["temperature"], call["seed"]) == (1, 0.0, 1)
    assert spent(tmp_path)["judge"] > 0


def test_a_limit_of_one_token_is_no_reason_to_stop(serve: Serve, tmp_path: Path) -> None:
    """Reasoning models refuse such a limit: they are asked again as the run will ask them."""

    def behave(_text: str, attempt: int) -> object:
        return (400, {}, b'{"error": {"message": "limit reached"}}') if attempt == 1 else says("y")

    server = serve(behave)  # type: ignore[arg-type]
    assert list(unanswered([needed(server.url)], tmp_path)) == []
    assert [call["max_tokens"] for call in server.calls] == [1, 300]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "Incorrect API key provided"}', "the key is not accepted"),
        (404, b'{"error": "The model m does not exist"}', "no such address or model"),
        (402, b'{"error": "no credit"}', "the account has no credit"),
        (200, b"<html>hello</html>", "not a chat completion"),
    ],
)
def test_what_no_call_can_survive_stops_the_run(
    status: int, body: bytes, said: str, serve: Serve, tmp_path: Path
) -> None:
    """A wrong key, model, account or address is found by one question."""
    server = serve(lambda _text, _attempt: (status, {}, body))
    ((place, text, lasting),) = unanswered([needed(server.url)], tmp_path)
    assert (place, lasting) == (PLACE, True)
    assert said in text
    assert spent(tmp_path) == {}


def test_an_unreachable_endpoint_stops_the_run(tmp_path: Path) -> None:
    """Nothing listens there: the message says what to check, and nothing was spent."""
    one = needed("http://127.0.0.1:9/v1", price=Price(input=1, output=1))
    ((_, text, lasting),) = unanswered([one], tmp_path)
    assert lasting
    assert "cannot be reached" in text
    assert "Check `endpoint`, and that the server is running" in text
    assert spent(tmp_path) == {}


def test_a_passing_fault_is_a_warning(serve: Serve, tmp_path: Path) -> None:
    """An overloaded endpoint may answer later: the run goes on."""
    server: Server = serve(lambda _text, _attempt: (503, {}, b"busy"))
    ((_, text, lasting),) = unanswered([needed(server.url)], tmp_path)
    assert not lasting
    assert "The run continues and will try again" in text
    assert len(server.calls) == 1


def test_models_that_are_not_made_yet_are_not_asked_for(serve: Serve, tmp_path: Path) -> None:
    """Nobody can serve a model that the run itself will train."""
    server = serve(lambda _text, _attempt: says("yes"))
    one = needed(server.url)
    one.served = False
    assert list(unanswered([one], tmp_path)) == []
    assert server.calls == []
