"""One try of a call: what it means for the others, what it costs, and what nobody may see."""

import time
from pathlib import Path

import pytest
from tests.evaluation.calls.test_endpoint import PRICE, ask, echo, endpoint
from tests.evaluation.endpoint_server import Answer, Serve, says

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.endpoint import ChatEndpoint
from mixmerge.evaluation.calls.spending import spent
from mixmerge.evaluation.endpoint_spec import EndpointSpec

WRONG: dict[str, tuple[Answer, str]] = {
    "key": ((401, {}, b"no"), "answered 401 .* key is not accepted"),
    "rights": ((403, {}, b"no"), "key may not use this model"),
    "address": ((404, {}, b""), "no such address or model"),
    "method": ((405, {}, b""), "not the address of chat completions"),
    "moved": ((308, {"Location": "http://elsewhere/"}, b""), "this address has moved"),
    "model": ((400, {}, b'{"error": "The model `m` does not exist"}'), "no such model"),
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_wrong_settings_stop_at_once(serve: Serve, tmp_path: Path, what: str) -> None:
    """A wrong key, model or address is one error, not one for each call."""
    answer, message = WRONG[what]
    server = serve(lambda _text, _attempt: answer)
    with pytest.raises(SpecError, match=message):
        ask(endpoint(server, tmp_path, concurrency=2), list("abcdefgh"))
    assert len(server.calls) <= 2


def test_a_server_that_is_not_there_stops_at_once(tmp_path: Path) -> None:
    """Where nothing ever answered the address is wrong."""
    spec = EndpointSpec(endpoint="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(SpecError, match=r"127\.0\.0\.1:9/v1/chat/completions cannot be reached"):
        ask(ChatEndpoint(spec, tmp_path / "calls.jsonl"), ["a"])


@pytest.mark.parametrize(
    "answer",
    [(402, {}, b"pay"), (429, {}, b'{"error": {"code": "insufficient_quota"}}')],
    ids=["402", "quota"],
)
def test_an_empty_account_stops_at_once(serve: Serve, tmp_path: Path, answer: Answer) -> None:
    """Waiting does not help where the account has no money."""
    server = serve(lambda _text, _attempt: answer)
    with pytest.raises(ResourceError, match="the account has no credit"):
        ask(endpoint(server, tmp_path, concurrency=1), list("abc"))
    assert len(server.calls) == 1


def test_an_endpoint_that_refuses_everything_is_not_asked_everything(
    serve: Serve, tmp_path: Path
) -> None:
    """Five refusals and no success: the settings are wrong in some way that we do not know."""
    server = serve(lambda _text, _attempt: (400, {}, b"temperature must be 1"))
    with pytest.raises(SpecError, match=r"refuses every call .*temperature must be 1"):
        ask(endpoint(server, tmp_path, concurrency=1), [str(i) for i in range(50)])
    assert len(server.calls) == 5


def test_one_refused_call_is_an_error_of_its_own(serve: Serve, tmp_path: Path) -> None:
    """A text that is too long is not tried again, and stops nothing."""
    server = serve(
        lambda text, _n: (400, {}, b"too long") if len(text) > 1 else says("yes"),
    )
    replies = ask(endpoint(server, tmp_path), ["a", "bb", "c"])
    assert [reply.error for reply in replies] == [None, "status 400: too long", None]
    assert len(server.calls) == 3


SECRET = "sk-secret-0123456789"


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is sent; no file, reply, message or output has it, even if the endpoint repeats it."""
    monkeypatch.setenv("JUDGE_KEY", f"{SECRET}\n")
    leak = f"your key is {SECRET}"
    good = serve(lambda _text, _attempt: says(leak))
    replies = ask(endpoint(good, tmp_path, api_key_env="JUDGE_KEY", price=PRICE), ["a"])
    assert good.keys == [f"Bearer {SECRET}"]
    bad = serve(lambda _text, _attempt: (500, {}, leak.encode()))
    replies += ask(endpoint(bad, tmp_path, api_key_env="JUDGE_KEY", attempts=1), ["b"])
    wrong = serve(lambda _text, _attempt: (401, {}, leak.encode()))
    with pytest.raises(SpecError, match="your key is") as refused:
        ask(endpoint(wrong, tmp_path, api_key_env="JUDGE_KEY"), ["c"])
    seen = [repr(replies), str(refused.value), repr(endpoint(good, tmp_path)), *capfd.readouterr()]
    seen += [file.read_text() for file in tmp_path.iterdir()]
    assert replies[0].text == "your key is [the key]"
    assert not [text for text in seen if SECRET in text]


@pytest.mark.parametrize("value", ["", "  ", "two words", "schlüssel"])
def test_a_variable_without_a_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """The message has the variable, never its content."""
    monkeypatch.setenv("JUDGE_KEY", value)
    spec = EndpointSpec(endpoint="http://localhost/v1", model="m", api_key_env="JUDGE_KEY")
    with pytest.raises(SpecError, match="environment variable JUDGE_KEY") as error:
        ChatEndpoint(spec, tmp_path / "calls.jsonl")
    assert not value.strip() or value not in str(error.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 402])
def test_a_call_that_is_refused_costs_nothing(serve: Serve, tmp_path: Path, status: int) -> None:
    """Neither the one that stops everything nor those in flight beside it are counted."""

    def refuse(text: str, _attempt: int) -> Answer:
        time.sleep(0 if text == "a" else 0.2)
        return status, {}, b"no"

    folder = tmp_path / "cache" / "judge"
    of = endpoint(serve(refuse), folder, price=PRICE, budget=10_000)
    with pytest.raises((SpecError, ResourceError), match=r"127\.0\.0\.1"):
        ask(of, list("abcdefgh"))
    assert spent(tmp_path) == {"judge": 0}


def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    """However often it is tried: the budget is there when it comes up."""
    folder = tmp_path / "cache" / "judge"
    spec = EndpointSpec(endpoint="http://127.0.0.1:9/v1", model="m", price=PRICE, budget=10_000)
    for _ in range(3):
        with pytest.raises(SpecError, match="cannot be reached"):
            ask(ChatEndpoint(spec, folder / "calls.jsonl"), list("abcdefgh"))
    assert spent(tmp_path) == {"judge": 0}


def test_a_filter_is_final_and_stops_nothing(serve: Serve, tmp_path: Path) -> None:
    """Azure's filter refuses under 400, OpenRouter's under 403: refused, kept, not asked again."""
    filtered = b'{"error": {"code": "content_filter", "message": "filtered"}}'
    answers = {"a": (400, filtered), "b": (403, b'{"error": {"message": "was flagged"}}')}

    def behave(text: str, _attempt: int) -> Answer:
        status, body = answers[text[0]]
        return status, {}, body

    server = serve(behave)
    texts = [f"{kind}{number}" for kind in "ab" for number in range(10)]
    for _ in range(2):
        replies = ask(endpoint(server, tmp_path), texts)
        assert {(reply.refused, reply.error) for reply in replies} == {(True, None)}
    assert len(server.calls) == 20


def test_a_text_that_is_too_long_never_stops_the_others(serve: Serve, tmp_path: Path) -> None:
    """Even where the first ones all are: each is its own error."""
    long = b'{"error": {"message": "This model\'s maximum context length is 8 tokens"}}'
    server = serve(lambda text, _n: (400, {}, long) if len(text) > 1 else says("yes"))
    replies = ask(endpoint(server, tmp_path, concurrency=1), [*map(str, range(10, 20)), "a"])
    reason = "status 400: This model's maximum context length is 8 tokens"
    assert [reply.error for reply in replies] == [reason] * 10 + [None]


def test_a_refused_field_is_one_message_with_its_cure(serve: Serve, tmp_path: Path) -> None:
    """Before any success it stops everything, and says which line of the study mends it."""
    body = b'{"error": {"message": "Use another", "param": "max_tokens", "code": "unsupported"}}'
    server = serve(lambda _text, _n: (400, {}, body))
    with pytest.raises(SpecError, match=r"`fields: {max_tokens: null, max_completion_tokens: 5}`"):
        ask(endpoint(server, tmp_path, concurrency=1), list("abc"))
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [500, 501, 502, 504, 507, 520, 522, 524, 529, 530, 599])
def test_every_fault_of_a_server_is_tried_again(serve: Serve, tmp_path: Path, status: int) -> None:
    """Those of a proxy in front of it, too."""
    server = serve(lambda _text, n: (status, {}, b"oops") if n < 3 else says("yes"))
    (reply,) = ask(endpoint(server, tmp_path), ["a"])
    assert (reply.text, len(server.calls)) == ("yes", 3)


def test_replies_without_an_answer_are_not_paid_for_six_times_each(
    serve: Serve, tmp_path: Path
) -> None:
    """Five of them before any answer, and everything stops with what the endpoint said."""
    server = serve(lambda _text, _n: (200, {}, b'{"result": "yes"}'))
    with pytest.raises(SpecError, match=r'asked 5 times .* sent no answer .*"result": "yes"'):
        ask(endpoint(server, tmp_path, concurrency=1), [str(n) for n in range(40)])
    assert len(server.calls) == 5


def test_an_address_may_have_a_query_and_a_header_for_the_key(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Azure's have; and an address that ends with the path of the call is the same."""
    monkeypatch.setenv("AZURE_KEY", SECRET)
    server = serve(echo)
    for address in (server.url, f"{server.url}/chat/completions"):
        spec = EndpointSpec(
            endpoint=address,
            model="m",
            api_key_env="AZURE_KEY",
            api_key_header="api-key",
            query={"api-version": "2024-10-21"},
        )
        ask(ChatEndpoint(spec, tmp_path / f"{len(address)}.jsonl"), ["a"])
    assert server.paths == ["/v1/chat/completions?api-version=2024-10-21"] * 2
    assert [headers["api-key"] for headers in server.headers] == [SECRET] * 2
    assert server.keys == [None, None]


@pytest.mark.parametrize(
    "proxy", ["http://u:hunter2@host:port", "http://u:hunter2@127.0.0.1:9", "ftp://u:hunter2@host"]
)
def test_the_password_of_a_proxy_is_never_shown(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """Neither of one whose address is none, nor of one that is not there."""
    of = endpoint(serve(echo), tmp_path)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda _host: False)
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(SpecError, match=r"HTTP_PROXY|cannot be reached") as error:
        ask(of, ["a"])
    assert "hunter2" not in str(error.value)
