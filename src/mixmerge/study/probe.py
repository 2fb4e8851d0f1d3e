"""Probe the endpoints that a run will call: their keys, and one token from each."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError, UserError
from mixmerge.evaluation.calls.connection import Connection, key_from_environment
from mixmerge.evaluation.calls.endpoint import in_own_thread
from mixmerge.evaluation.calls.reply import CallError, NotACompletionError, RefusedCallError, Reply
from mixmerge.evaluation.calls.spending import LEDGER, CallSize, Ledger
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.generate_spec import MODEL_NAME
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.spec_model import parts
from mixmerge.study.spec import Study
from mixmerge.yaml_file import Place

_PATIENCE_SECONDS = 30.0
"""Timeout for one token; a server that is still loading its model takes longer."""
_TEXT = "Answer with the one word: yes"


@dataclass
class NeededEndpoint:
    """An endpoint that steps will call."""

    spec: EndpointSpec
    place: Place
    """The keys of the study file that name it."""
    request: Mapping[str, Any]
    """The sampling settings of the calls."""
    kind: str
    """Kind of the steps."""
    steps: list[str] = field(default_factory=list)
    served: bool = True
    """Whether its model exists already: a model that the run trains cannot be served yet."""


def needed_endpoints(study: Study, todo: Sequence[Planned]) -> list[NeededEndpoint]:
    """Return the endpoints that steps will call, each once."""
    places = [(at, own) for at, own in parts(study) if isinstance(own, EndpointSpec)]
    states = {item.step.id for item in todo}
    found: dict[str, NeededEndpoint] = {}
    for item in todo:
        for value in endpoints(dict(item.step.placement)):
            known = {key: value[key] for key in EndpointSpec.model_fields if key in value}
            spec = EndpointSpec.model_validate(known)
            place = next((at for at, own in places if _same(own, spec)), ())
            request = _request(value, item.step.settings)
            one = NeededEndpoint(spec, place, request, item.step.kind)
            needed = found.setdefault(spec.model_dump_json(), one)
            needed.steps.append(item.step.id)
            needed.served = needed.served and not (_served(item.step) & states)
    return list(found.values())


def _served(step: Step) -> set[str]:
    """Return the steps of the models that the endpoints of a step serve; judges serve none."""
    roles = step.inputs.items() if step.kind in ("generate", "answers") else ()
    return {parent for role, parent in roles if role == "model" or role.startswith("teacher:")}


def endpoints(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the mappings within a value that name an endpoint."""
    if isinstance(value, dict):
        if isinstance(value.get("endpoint"), str):
            yield value
        value = list(value.values())
    for each in value if isinstance(value, (list, tuple)) else ():
        yield from endpoints(each)


def _same(own: EndpointSpec, asked: EndpointSpec) -> bool:
    """Return whether a step's endpoint is this one of the study file, its model filled in."""
    start, _, end = own.model.partition(MODEL_NAME)
    named = own.model == asked.model or (
        MODEL_NAME in own.model and asked.model.startswith(start) and asked.model.endswith(end)
    )
    return named and (own.endpoint, own.api_key_env) == (asked.endpoint, asked.api_key_env)


def _request(endpoint: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling settings: a judge's own, or the study's for models."""
    asked = endpoint if "max_tokens" in endpoint else settings
    return {
        "max_tokens": asked.get("max_tokens") or asked.get("max_new_tokens", 1),
        "temperature": asked.get("temperature", 0.0),
    }


def missing_keys(needed: Sequence[NeededEndpoint]) -> Iterator[tuple[Place, str]]:
    """Yield a place and a sentence for each API key that is not in the environment."""
    seen: dict[str, list[NeededEndpoint]] = {}
    for each in needed:
        if each.spec.api_key_env is not None:
            seen.setdefault(each.spec.api_key_env, []).append(each)
    for variable, group in seen.items():
        try:
            key_from_environment(group[0].spec)
        except SpecError as error:
            steps = list(dict.fromkeys(step for each in group for step in each.steps))
            more = f" and {len(steps) - 1} more step{'s' * (len(steps) > 2)}" if steps[1:] else ""
            count = f"{more} need it" if more else " needs it"
            said = f"{error} {steps[0]}{count}: `export {variable}=…` before the run."
            yield (*group[0].place, "api_key_env"), said


def unanswered(needed: Sequence[NeededEndpoint], root: Path) -> Iterator[tuple[Place, str, bool]]:
    """Ask all endpoints for one token at the same time; yield those that fail.

    The cost is added to the spending of the same kind of step in the run folder ``root``.

    Returns:
        Place in the study file, sentence, and whether later calls will fail too.
    """
    asked = [each for each in needed if each.served]

    async def all_of_them() -> list[tuple[str, bool] | None]:
        return await asyncio.gather(*(_problem(each, root) for each in asked))

    for each, problem in zip(asked, in_own_thread(all_of_them()), strict=True):
        if problem is not None:
            yield each.place, *problem


async def _problem(needed: NeededEndpoint, root: Path) -> tuple[str, bool] | None:
    """Return why an endpoint gives no token, and whether the fault is permanent."""
    # Some models reject a limit of one token, or know the limit by another name. So repeat a
    # rejected request exactly as the run will send it, and take that answer.
    last: UserError | CallError | None = None
    for limit in (1, needed.request["max_tokens"]):
        try:
            await _ask(needed, {**needed.request, "max_tokens": limit}, root)
        except (UserError, RefusedCallError) as error:
            last = error
        except NotACompletionError as error:
            last = error
            break
        except CallError as error:
            said = f"{needed.spec.endpoint} did not give one token: {error}."
            return f"{said} The run continues and will try again.", False
        else:
            return None
    if isinstance(last, UserError):
        return str(last), True
    said = f"{needed.spec.endpoint} did not give one token ({last})."
    hint = " Check `endpoint` and `model`; `--no-probe` leaves this question out."
    return said + hint, isinstance(last, NotACompletionError)


async def _ask(needed: NeededEndpoint, request: Mapping[str, Any], root: Path) -> Reply:
    spec = needed.spec
    messages = [{"role": "user", "content": _TEXT}]
    whole = {"model": spec.model, "messages": messages, **request, **spec.fields}
    body = {name: value for name, value in whole.items() if value is not None}
    size = CallSize.of(body)
    patience = min(spec.timeout_seconds, _PATIENCE_SECONDS)
    async with aclosing(Connection(spec, key_from_environment(spec))) as connection:
        reply = await connection.post(body, patience, size.reply_bytes)
    if spec.price is not None:
        path = root / "cache" / needed.kind / LEDGER
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(Ledger(path, None)) as ledger:
            ledger.settle(0.0, size.used(reply).cost(spec.price))
    return reply
