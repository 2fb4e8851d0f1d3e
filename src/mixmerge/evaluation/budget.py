"""One budget for every endpoint that a specification names."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem

Spec = TypeVar("Spec", bound=BaseModel)


def with_budget(spec: Spec, dollars: float) -> Spec:
    """Return any part of a study whose endpoints may cost so much together, whatever it said.

    Judges share what they spend, because a study keeps the journals of its judges in one folder,
    and so does an evaluation, for models behind endpoints too. An endpoint without a price counts
    as free.

    Raises:
        SpecError: no endpoint has a price, or one with a price has no limit of an answer.
    """
    values = spec.model_dump(exclude_unset=True)
    paid = [endpoint for endpoint in _endpoints(values) if endpoint.get("price") is not None]
    if not paid:
        raise SpecError(
            "A budget needs a judge at an endpoint with its price, e.g. "
            "`price: {input: 2.5, output: 10}` in dollars per million tokens; there is none."
        )
    for endpoint in paid:
        endpoint["budget"] = dollars
    try:
        return type(spec).model_validate(values)
    except ValidationError as error:
        raise SpecError(first_problem(error)) from error


def _endpoints(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        found = [value] if "endpoint" in value else []
        return found + [inner for part in value.values() for inner in _endpoints(part)]
    if isinstance(value, (list, tuple)):
        return [inner for part in value for inner in _endpoints(part)]
    return []
