"""``--budget``: one limit in dollars for every endpoint of a study that has a price."""

from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.study.probe import endpoints
from mixmerge.study.spec import Study


def with_budget(spec: Study, dollars: float) -> Study:
    """Return a study with this budget on every priced endpoint, in place of its own.

    The budget covers all judges together, because a study keeps their journals in one folder; in an
    evaluation it covers models behind endpoints too, and it is that of each generated source. An
    endpoint without a price counts as free.

    Raises:
        SpecError: no endpoint has a price, or one with a price has no limit on answer length.
    """
    values = spec.model_dump(exclude_unset=True)
    generated = [own["generate"] for own in values.get("data", {}).values() if "generate" in own]
    paid = [endpoint for endpoint in endpoints(values) if endpoint.get("price") is not None]
    within = [each for own in generated for each in endpoints(own)]
    if not paid:
        raise SpecError(
            "A budget needs a judge at an endpoint with its price, e.g. "
            "`price: {input: 2.5, output: 10}` in dollars per million tokens; there is none."
        )
    for endpoint in paid:
        # Generated data have one budget for all calls of a source.
        if not any(endpoint is each for each in within):
            endpoint["budget"] = dollars
    for own in generated:
        if any(endpoint.get("price") is not None for endpoint in endpoints(own)):
            own["budget"] = dollars
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise SpecError(first_problem(error)) from error
