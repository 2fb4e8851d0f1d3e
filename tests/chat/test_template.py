"""Chat templates: the text of transformers, with a bound on the work."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers.utils.chat_template_utils as theirs
import trl
from pydantic import TypeAdapter, ValidationError

from mixmerge.chat.options import USUAL_DATE, ChatOptions
from mixmerge.chat.sandbox import RefusedError
from mixmerge.chat.template import ChatTemplate
from mixmerge.errors import ModelError

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
USER = {"role": "user", "content": "Hi  there"}
TALKS = (
    [USER, {"role": "assistant", "content": " Yes.\n"}],
    [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "A\n\nb"},
        USER,
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nB"},
    ],
)


def written(source: str, talk: Any, ask: bool, options: dict[str, Any]) -> Any:
    """What our environment writes, or None where the template does not take the conversation."""
    try:
        made = ChatTemplate(source, "it", options, TOKENS).write(talk, ask=ask)
    except (RefusedError, ModelError):
        return None
    return made.text, list(made.spans)


def reference(source: str, talk: Any, ask: bool, options: dict[str, Any]) -> Any:
    """What transformers writes, or None."""
    marked = "endgeneration" in source
    try:
        texts, spans = theirs.render_jinja_template(
            [talk],
            chat_template=source,
            return_assistant_tokens_mask=marked,
            add_generation_prompt=ask,
            **TOKENS,
            **options,
        )
    except Exception:  # noqa: BLE001 - whatever a template raises
        return None
    return texts[0], spans[0] if marked else []


def test_conversations_are_written_as_transformers_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The templates that TRL knows give the same text and the same spans of the assistant."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Stopped":
            del tz
            return cls.fromisoformat(USUAL_DATE)

    monkeypatch.setattr(theirs, "datetime", Stopped)
    known = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
    compared = 0
    for file in known:
        source = file.read_text(encoding="utf-8")
        for talk in TALKS:
            for ask in (False, True):
                for options in ({}, {"enable_thinking": False}):
                    case = (source, talk[:-1] if ask else talk, ask, options)
                    expected = reference(*case)
                    assert written(*case) == expected, file.name
                    compared += expected is not None
    assert compared > 4 * len(known)


DOUBLE = "{% set n.x = n.x OPERATOR n.x %}"
LOOP = "{% set n = namespace(x='ab') %}{% for i in range(100) %}" + DOUBLE + "{% endfor %}"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for i in range(10**9) %}x{% endfor %}", "too much"),
        (
            "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
            "too much",
        ),
        ("{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(9) }}", "too much|Recurs"),
        ("{{ 'x' * 10**11 }}", "too much"),
        ("{{ [1] * 10**11 }}", "too much"),
        ("{{ 9 ** (9 ** 9) }}", "too much"),
        ("{{ '%999999999d' % 1 }}", "too much"),
        ("{{ '{:999999999}'.format(1) }}", "too much"),
        ("{{ '%*d'|format(999999999, 1) }}", "too much"),
        ("{{ 'x'|center(10**10) }}", "too much"),
        ("{{ 'x'.ljust(99999999999) }}", "too much"),
        ("{{ messages|tojson(indent=10**9) }}", "too much"),
        ("{% set a = 'x' * 10**6 %}{{ a.replace('x', a) }}", "too much"),
        ("{% set a = 'x' * 10**6 %}{{ a|replace('x', a) }}", "too much"),
        (LOOP.replace("OPERATOR", "~"), "too much"),
        (LOOP.replace("OPERATOR", "+"), "too much"),
        ("{% set x = 'ab' %}" + 60 * "{% set x %}{{ x }}{{ x }}{% endset %}", "too much"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("{{ messages[0].name.upper() }}", "UndefinedError"),
    ],
)
def test_work_has_a_bound_and_faults_are_the_templates(source: str, why: str) -> None:
    """What loops, grows or fails without end is an error of the model, and soon."""
    begun = time.monotonic()
    with pytest.raises(ModelError, match=rf"it: its chat template fails .*({why})"):
        ChatTemplate(source, "it", {}, TOKENS).write([USER])
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for %}", "not valid Jinja, line 1"),
        ("(" * 9 + "{{ " + "(" * 5000, "cannot be read|Jinja"),
    ],
)
def test_what_is_no_template_is_said(source: str, why: str) -> None:
    """Text that is not Jinja is an error with its line."""
    with pytest.raises(ModelError, match=why):
        ChatTemplate(source, "it", {}, TOKENS)


def test_a_templates_own_complaint_is_no_fault() -> None:
    """`raise_exception` is about the conversation."""
    template = ChatTemplate("{{ raise_exception('no system') }}", "it", {}, TOKENS)
    with pytest.raises(RefusedError, match="no system"):
        template.write([USER])


def test_the_date_is_a_stated_one() -> None:
    """A template that asks for today's date gets the one of its options, or the usual one."""
    source = "{{ strftime_now('%d %b %Y') }}|{{ date_string }}"
    usual = ChatTemplate(source, "it", {}, TOKENS)
    assert usual.asks_for_the_date
    assert usual.write([USER]).text == "01 Jan 2025|"
    options = {"strftime_now": "2026-11-30", "date_string": "today"}
    assert ChatTemplate(source, "it", options, TOKENS).write([USER]).text == "30 Nov 2026|today"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"messages": []}, "`messages` is not an option"),
        ({"a-b": 1}, "`a-b` is not an option"),
        ({"strftime_now": "soon"}, "must be a date such as"),
        ({"strftime_now": 3}, "must be a date such as"),
    ],
)
def test_options_are_checked(options: dict[str, Any], why: str) -> None:
    """What the template is given by others is no option, and the date is one."""
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(ChatOptions).validate_python(options)
