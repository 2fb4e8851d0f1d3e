"""The settings of an OpenAI-compatible endpoint: address, timeouts, limits and price."""

import re
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from mixmerge.fingerprint import canonical
from mixmerge.spec_model import SpecModel

_SECRET = re.compile(r"key|token|secret|password|signature|^(sig|code)$", re.IGNORECASE)
_OF_AZURE = (
    ". Azure takes the key in `api_key_header: api-key`; its address "
    "https://RESOURCE.openai.azure.com/openai/v1 needs neither"
)

LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the answer's token limit: requests have the first unless `fields` change it."""


class Price(SpecModel):
    """What an endpoint charges, in dollars per million tokens."""

    input: float = Field(ge=0)
    """Tokens sent."""
    output: float = Field(ge=0)
    """Tokens answered."""


class EndpointSpec(SpecModel):
    """An OpenAI-compatible chat endpoint, and how it is called."""

    endpoint: str = Field(pattern=r"^https?://\S+$")
    """Base address, e.g. ``https://api.openai.com/v1`` or ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """The model's name at that endpoint."""
    api_key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key. The key itself is never written to a file."""
    api_key_header: str = Field("Authorization", pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    """The header that carries the key, e.g. ``api-key`` for Azure; by default as a bearer token."""
    query: dict[str, str] = Field(default_factory=dict)
    """Query parameters of the address, e.g. ``{api-version: 2024-10-21}``. Placement."""
    fields: dict[str, Any] = Field(default_factory=dict)
    """More fields of every request, e.g. ``{reasoning_effort: low}``; null removes a field."""
    concurrency: int = Field(100, ge=1)
    """The most calls in flight; the actual number adapts to the endpoint. Placement."""
    requests_per_minute: float | None = Field(None, gt=0)
    """The endpoint's limit on calls. Placement."""
    tokens_per_minute: float | None = Field(None, gt=0)
    """The endpoint's limit on tokens, sent and received. Placement."""
    attempts: int = Field(6, ge=1)
    """Attempts at one call before it is an ``error``. Placement."""
    timeout_seconds: float = Field(60.0, gt=0)
    """For one attempt. Placement."""
    longest_wait_seconds: float = Field(120.0, gt=0)
    """The longest ``Retry-After`` or back-off to wait for before the call is given up."""
    deadline_seconds: float | None = Field(None, gt=0)
    """For all calls together. Calls that are not finished by then are errors; the next run makes
    them."""
    price: Price | None = None
    """Dollars per million tokens, to report costs. Placement."""
    budget: float | None = Field(None, ge=0)
    """Dollars; a call that could exceed it is not sent. Needs ``price``. Placement."""

    @field_validator("endpoint")
    @classmethod
    def _holds_no_secret(cls, address: str) -> str:
        parts = urlsplit(address)
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(
                "an address ends with its path and contains no key: name the environment variable "
                "of the key in `api_key_env`, and put what follows `?` into `query`, as in "
                "`query: {api-version: 2024-10-21}`" + _OF_AZURE * ("azure" in parts.netloc)
            )
        return address

    @field_validator("query", mode="before")
    @classmethod
    def _are_texts(cls, query: Any) -> Any:
        # YAML reads 2024-10-21 as a date and 1 as a number.
        plain = isinstance(query, dict)
        return {key: str(value) for key, value in query.items()} if plain else query

    @field_validator("query")
    @classmethod
    def _asks_no_secret(cls, query: dict[str, str]) -> dict[str, str]:
        if secret := next(filter(_SECRET.search, query), None):
            raise ValueError(
                f"`{secret}` looks like a key, and this file is copied into results: name its "
                "environment variable in `api_key_env`, and its header in `api_key_header`"
            )
        return query

    @field_validator("fields")
    @classmethod
    def _can_be_sent(cls, fields: dict[str, Any]) -> dict[str, Any]:
        try:
            canonical(fields)
        except TypeError as error:
            raise ValueError(f"they are sent as JSON, but {error}") from error
        for name in LIMITS:
            limit = fields.get(name)
            if limit is not None and (type(limit) is not int or limit < 1):
                raise ValueError(f"`{name}` must be a whole number from 1 (seen: {limit!r})")
        return fields

    @model_validator(mode="after")
    def _can_count_money(self) -> Self:
        if self.budget is not None and self.price is None:
            raise ValueError("`budget` needs `price: {input: ..., output: ...}` to count money")
        first, other = LIMITS
        unlimited = self.fields.get(first, 1) is None and self.fields.get(other) is None
        if self.budget is not None and unlimited:
            raise ValueError(
                f"`budget` needs a limit of every answer, or one answer could pass it: `fields` "
                f"take `{first}` away, so give `{other}` there"
            )
        return self
