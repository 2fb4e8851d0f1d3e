"""Tests of mixmerge.synthesis.protected."""

import pytest

from mixmerge.synthesis.protected import not_kept, protected_spans


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Dear {name}, ${USER}, {{user.name}}, {0}", ["{name}", "${USER}", "{{user.name}}", "{0}"]),
        ("%s of %(total)d costs 5% more", ["%s", "%(total)d"]),
        (
            "see https://a.org/b?c=1#d. Or (http://b.org/x)",
            ["https://a.org/b?c=1#d", "http://b.org/x"],
        ),
        ("mail a.b@c.org!", ["a.b@c.org"]),
        ("run `rm -rf`\n```py\nx = {1: 2}\n```", ["`rm -rf`", "```py\nx = {1: 2}\n```"]),
        ("<b class='x'>a</b> &amp; 3 < 4 > 2", ["<b class='x'>", "</b>", "&amp;"]),
        (r"\frac{1}{2} and $5 or 5 $", [r"\frac{1}{2}"]),
        ("यहाँ {door} है। https://a.org/पथ।", ["{door}", "https://a.org/पथ"]),
        ("no code: 100% sure {of course} it's a-b", []),
    ],
)
def test_spans_that_are_no_language(text: str, spans: list[str]) -> None:
    """Placeholders, addresses, code and markup, and neither prices nor percentages nor braces."""
    assert sorted(protected_spans(text).elements()) == sorted(spans)


def test_what_is_lost_added_or_changed_is_said() -> None:
    """Order may change, number and spelling may not; a name needs to occur once."""
    assert not_kept("{a} and {b}, Ada", "{b} et {a}, Ada, Ada", ["Ada", "Bob"]) == []
    assert not_kept("{a} {a}", "{a} {A}") == ["lost {a}", "added {A}"]
    assert not_kept("Ada's {x}", "la sienne", ["Ada"]) == ["lost {x}", "lost the name Ada"]
