"""Dollars are estimated before, counted after, and never exceed the budget."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixmerge.durable import line_of
from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls import spending
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.calls.spending import CallSize, Estimate, Ledger, Spending, Tokens, spent
from mixmerge.evaluation.endpoint_spec import Price

BODY = {"messages": [{"role": "user", "content": "नमस्ते"}], "max_tokens": 10}


def test_tokens_are_estimated_from_bytes() -> None:
    """Six Hindi characters have eighteen bytes: six tokens, and no more than one a byte."""
    size = CallSize.of(BODY)
    assert size.expected == Tokens(6, 10)
    assert size.most.input >= 18
    assert size.most.output == 10


def test_the_other_name_of_the_limit_counts_too() -> None:
    """`max_completion_tokens` limits an answer as `max_tokens` does."""
    body = {"messages": BODY["messages"], "max_completion_tokens": 7}
    assert CallSize.of(body).expected.output == 7


def test_the_larger_limit_counts() -> None:
    """Nobody knows which of the two an endpoint takes; without any, nothing is known."""
    body = {"messages": BODY["messages"], "max_tokens": 7, "max_completion_tokens": 9}
    assert CallSize.of(body).most.output == 9
    assert CallSize.of({"messages": BODY["messages"]}).most.output == 0


def test_the_schema_of_a_reply_may_count_as_input() -> None:
    """What an endpoint makes of it is at most one token a byte, beyond messages and template."""
    schema = {"type": "json_schema", "json_schema": {"schema": {"words": "x" * 1000}}}
    assert CallSize.of(BODY | {"response_format": schema}).most.input > 1000 + 18
    assert CallSize.of(BODY | {"response_format": schema}).expected == CallSize.of(BODY).expected


def test_what_the_endpoint_counted_is_used() -> None:
    """Its own count where it counts, the estimate where it does not."""
    size = CallSize.of(BODY)
    assert size.used(Reply("abcd", input_tokens=3, output_tokens=1)) == Tokens(3, 1)
    assert size.used(Reply("abcd")) == Tokens(6, 2)


def test_cost_is_per_million_tokens() -> None:
    """Input and output have prices of their own; without a price nothing costs anything."""
    tokens = Tokens(1_000_000, 500_000)
    assert tokens.cost(Price(input=2.5, output=10)) == 7.5
    assert tokens.cost(None) == 0


def test_an_estimate_reads_well() -> None:
    """Tokens, and dollars where the price is known."""
    tokens = Tokens(1_000_000, 500_000)
    assert str(Estimate(3, tokens, 7.5)) == "up to about 1.50 M tokens, $7.50"
    assert str(Estimate(3, tokens, None)) == "up to about 1.50 M tokens"


def test_a_reservation_counts_until_it_is_settled(tmp_path: Path) -> None:
    """What is set aside is not there for the next; what was not needed is."""
    ledger = Ledger(tmp_path / "spent", budget=10)
    assert ledger.reserve(6)
    assert not ledger.reserve(5)
    ledger.settle(6, 2)
    assert ledger.reserve(8)
    assert not ledger.reserve(0.01)
    ledger.close()


def test_what_was_spent_outlives_the_process(tmp_path: Path) -> None:
    """Another process goes on from there; what was in flight when one was killed counts in full."""
    code = (
        "import os, sys; from pathlib import Path; "
        "from mixmerge.evaluation.calls.spending import Ledger; "
        "ledger = Ledger(Path(sys.argv[1]), None); "
        "ledger.reserve(3); ledger.settle(3, 1); ledger.reserve(4); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "spent"], check=False)
    with (tmp_path / "spent").open("ab") as stream:
        stream.write(b"123")
    ledger = Ledger(tmp_path / "spent", budget=10)
    assert ledger.spent == 5
    assert not ledger.reserve(6)
    assert ledger.reserve(5)
    ledger.close()


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    """Each sees at once what the other has set aside."""
    one, other = (Ledger(tmp_path / "spent", budget=10) for _ in range(2))
    assert one.reserve(6)
    assert not other.reserve(6)
    assert other.reserve(4)
    one.settle(6, 1)
    assert other.reserve(5)
    assert one.spent == other.spent == pytest.approx(10)
    one.close()
    other.close()


@pytest.mark.parametrize("line", ["0.2garb", "null", "NaN"])
def test_a_damaged_line_of_money_is_named(tmp_path: Path, line: str) -> None:
    """What it said cannot be guessed, so a person must say it."""
    (tmp_path / "spent").write_text(f"0.5\n{line}\n0.25\n")
    ledger = Ledger(tmp_path / "spent", budget=10)
    with pytest.raises(ResourceError, match=r"spent, line 2: a number of dollars is required"):
        ledger.reserve(1)
    (tmp_path / "spent").write_text("0.5\n0.2\n0.25\n")
    ledger.close()
    ledger = Ledger(tmp_path / "spent", budget=10)
    assert ledger.spent == pytest.approx(0.95)
    ledger.close()


def test_without_a_budget_everything_fits(tmp_path: Path) -> None:
    """The ledger still counts."""
    ledger = Ledger(tmp_path / "spent", budget=None)
    assert ledger.reserve(1e12)
    assert ledger.spent == 1e12
    ledger.close()


def test_a_long_ledger_is_summed_as_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of 100,000 is read once, however often the sum is shown; torn lines wait."""
    read: list[bytes] = []
    change = spending._change

    def counted(line: bytes) -> float:
        read.append(line)
        return change(line)

    monkeypatch.setattr(spending, "_change", counted)
    ledger = tmp_path / "cache" / "judge" / "spent.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(line_of(0.25) * 100_000)
    shown = Spending(tmp_path)
    assert shown.by_kind() == {"judge": 25_000}
    with ledger.open("ab", buffering=0) as stream:
        for count in range(1, 101):
            stream.write(line_of(1)[:9])
            assert shown.by_kind() == {"judge": 25_000 + count - 1}
            stream.write(line_of(1)[9:])
            assert shown.by_kind() == {"judge": 25_000 + count}
    assert len(read) == 100_100
    assert spent(tmp_path) == shown.by_kind() == {"judge": 25_100}


def test_a_repaired_ledger_is_read_again(tmp_path: Path) -> None:
    """A file that became shorter is summed from its start; a damaged line counts nothing."""
    ledger = tmp_path / "cache" / "generate" / "spent.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(line_of(1) * 3 + b"broken\n")
    shown = Spending(tmp_path)
    assert shown.by_kind() == {"generate": 3}
    ledger.write_bytes(line_of(2))
    assert shown.by_kind() == {"generate": 2}
    ledger.unlink()
    assert shown.by_kind() == {}


def test_every_source_of_generated_data_counts(tmp_path: Path) -> None:
    """A kind of step with a ledger for each of its sources is shown as their sum."""
    for name, dollars in (("safety", 2), ("twins", 3)):
        ledger = tmp_path / "cache" / "generate-data" / name / "calls" / "spent.jsonl"
        ledger.parent.mkdir(parents=True)
        ledger.write_text(f"{dollars}\n")
    (tmp_path / "cache" / "judge").mkdir()
    (tmp_path / "cache" / "judge" / "spent.jsonl").write_text("4\n")
    assert Spending(tmp_path).by_kind() == {"generate-data": 5, "judge": 4}
