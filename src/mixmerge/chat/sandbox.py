"""A Jinja sandbox for chat templates, which are untrusted, with limits on time and memory.

Jinja's sandbox keeps templates from Python's internals. In addition, steps and characters are
counted, so that a template that computes or writes too much fails with an error.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

_MOST_STEPS = 300_000
"""Loop iterations and calls for one conversation."""
_MOST_CHARACTERS = 100_000_000
"""Characters of all intermediate texts of one conversation."""
_LARGEST_NUMBER = 1_000_000
"""The largest argument of a function, such as a column width."""
_MOST_BITS = 4096
_LONG_NUMBER = re.compile(r"\d{6}|\*")


class RefusedError(TemplateError):
    """The template refused a conversation, by ``raise_exception``."""


class Generation(Extension):
    """The block ``{% generation %}``, with which transformers marks the assistant's text."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it
    environment: "Sandbox"

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse a block; its position is recorded when it is rendered."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Callable[[], str]) -> str:
        text = caller()
        start = self.environment.written
        self.environment.spans.append((start, start + len(text)))
        return text


class _Counted(NodeTransformer):
    """Counts loop iterations and the characters of concatenated texts."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as Jinja has it
        self.generic_visit(node)
        node.iter = _through("counted", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("made", node)


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template; it renders one conversation at a time."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, moment: datetime) -> None:
        """Make an environment whose ``strftime_now`` returns ``moment``."""
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Generation, loopcontrols],
            finalize=self._made,
        )
        self.begin()
        known = self.filters | {"tojson": _to_json}
        self.filters = {name: self._bounded(each) for name, each in known.items()}
        self.filters |= {"counted": self._counted, "made": self._made}
        self.globals.pop("lipsum")
        self.globals |= {"raise_exception": _refuse, "strftime_now": moment.strftime}

    def begin(self) -> None:
        """Reset all counts and marks."""
        self.written = 0
        """Characters of the text so far."""
        self.spans: list[tuple[int, int]] = []
        """Start and end of the assistant's text, if the template marks it."""
        self._steps = 0
        self._characters = 0

    def rendered(self, source: str) -> Callable[[dict[str, Any]], Iterator[str]]:
        """Compile a template to a function that yields its text piece by piece.

        Raises:
            jinja2.TemplateSyntaxError: it is not valid Jinja.
        """
        tree = _Counted().visit(self.parse(source))
        template = self.template_class.from_code(self, self.compile(tree), self.make_globals(None))
        return template.generate

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operation unless the result would be huge."""
        sized = [len(side) for side in (left, right) if isinstance(side, (str, list, tuple))]
        number = right if isinstance(right, int) else left
        if operator == "%" and isinstance(left, str):
            _check_widths(left)
        elif operator == "*" and sized and isinstance(number, int):
            _check(sized[0] * number <= _MOST_CHARACTERS)
        elif operator in {"*", "**"} and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length()
            _check(bits <= _MOST_BITS)
        return self._made(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Make a call of the template, within the limits."""
        self._step()
        _check_arguments(obj, args, kwargs, getattr(obj, "__self__", None))
        return self._made(super().call(context, obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Allow ``str.format`` without huge widths."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_widths(value.__self__)
        return wrapped

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self._step()
            _check_arguments(function, args, kwargs)
            return self._made(function(*args, **kwargs))

        return bounded

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item

    def _step(self) -> None:
        self._steps += 1
        _check(self._steps <= _MOST_STEPS)

    def _made(self, value: Any) -> Any:
        if isinstance(value, (str, list, tuple, dict)):
            self._characters += len(value)
            _check(self._characters <= _MOST_CHARACTERS)
        return value


def _check(within: bool) -> None:
    if not within:
        raise TemplateError("it computes too much for one conversation")


def _check_arguments(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], owner: Any = None
) -> None:
    given = [*args, *kwargs.values()]
    _check(not any(isinstance(each, int) and abs(each) > _LARGEST_NUMBER for each in given))
    name = getattr(function, "__name__", "").removeprefix("do_")
    texts = [each for each in (owner, *given) if isinstance(each, str)]
    if name in {"format", "format_map"} and texts:
        _check_widths(texts[0])
    elif name in {"replace", "join"} and len(texts) > 1:
        # The largest result: the last text for every character of the first, or between all items.
        _check(len(texts[0]) * len(texts[-1]) <= _MOST_CHARACTERS)


def _check_widths(pattern: str) -> None:
    """Refuse placeholders such as ``%999999999d`` and ``{:999999999}``."""
    found = re.findall(r"%[^a-zA-Z%]*|\{[^{}]*:[^{}]*\}", pattern)
    _check(not any(_LONG_NUMBER.search(each) for each in found))


def _refuse(message: str) -> None:
    raise RefusedError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON with the options of this filter in transformers, without HTML escapes."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
