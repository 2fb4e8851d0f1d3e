"""What an endpoint's specification refuses."""

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.evaluation.endpoint_spec import EndpointSpec

PLAIN: dict[str, Any] = {"endpoint": "http://localhost:8000/v1", "model": "m"}


@pytest.mark.parametrize(
    "address",
    ["https://user:sk-1@host/v1", "https://host/v1?api-key=sk-1", "https://host/v1#sk-1"],
)
def test_an_address_holds_no_key(address: str) -> None:
    """Keys come from the environment: one in an address would be written into every record."""
    with pytest.raises(ValidationError, match="contains no key"):
        EndpointSpec(endpoint=address, model="m")


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://host", "http://a b", "http://"])
def test_an_address_is_http(address: str) -> None:
    """Anything else is refused before a call is made."""
    with pytest.raises(ValidationError, match="endpoint"):
        EndpointSpec(endpoint=address, model="m")


def test_a_budget_needs_a_price() -> None:
    """Without a price money cannot be counted, and the budget could not hold."""
    with pytest.raises(ValidationError, match="`budget` needs `price"):
        EndpointSpec(**PLAIN, budget=5)
    assert EndpointSpec(**PLAIN, budget=5, price={"input": 1, "output": 2}).budget == 5


def test_a_budget_needs_a_limit_of_answers() -> None:
    """An answer without a limit could pass any budget; either name of the limit will do."""
    paid: dict[str, Any] = {**PLAIN, "budget": 5, "price": {"input": 1, "output": 2}}
    with pytest.raises(ValidationError, match="`budget` needs a limit of every answer"):
        EndpointSpec(**paid, fields={"max_tokens": None})
    EndpointSpec(**paid, fields={"max_tokens": None, "max_completion_tokens": 512})
    EndpointSpec(**PLAIN, fields={"max_tokens": None})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"x": float("nan")}, "sent as JSON, but value.x is nan"),
        ({"since": dt.date(2026, 1, 1)}, "sent as JSON, but value.since is a date"),
        ({"max_tokens": "many"}, "`max_tokens` must be a whole number from 1"),
        ({"max_completion_tokens": 0}, "`max_completion_tokens` must be a whole number from 1"),
    ],
)
def test_fields_can_be_sent(fields: dict[str, Any], problem: str) -> None:
    """What has no form in JSON, and a limit that is none, are refused before any call."""
    with pytest.raises(ValidationError, match=problem):
        EndpointSpec(**PLAIN, fields=fields)


@pytest.mark.parametrize(
    "field",
    ["concurrency", "attempts", "timeout_seconds", "requests_per_minute", "deadline_seconds"],
)
def test_limits_are_positive(field: str) -> None:
    """Zero calls, tries or seconds would never end, or end at once."""
    with pytest.raises(ValidationError, match=field):
        EndpointSpec(**PLAIN, **{field: 0})
