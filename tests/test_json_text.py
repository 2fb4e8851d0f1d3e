"""The reader of JSON, and its limits."""

import json
from typing import Any

import pytest

from mixmerge import json_text


@pytest.mark.parametrize(
    "value",
    [None, 1, "a", [], {"a": [1, {"b": [2.5, "é", "💥"]}]}, json.loads("[" * 101 + "]" * 101)],
)
def test_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    """Escaped and plain, with whole characters made of two escapes."""
    assert json_text.parse(json.dumps(value)) == value
    assert json_text.parse(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 102 + "]" * 102, "nested too deeply"),
        ('{"a": ' * 200 + "1" + "}" * 200, "nested too deeply"),
        ("[" * 99_999, "nested too deeply"),
        (r'{"a": "\ud83d"}', "surrogates not allowed"),
        (r'{"\uDC00": 1}', "surrogates not allowed"),
        ("9" * 5000, "integer string conversion"),
        ("[" + "1," * 10_000_001 + "1]", "has more than 10,000,000 values"),
        ("{'a': 1}", "Expecting property name"),
    ],
)
def test_what_no_file_may_hold_is_refused(text: str, message: str) -> None:
    """Before anything is made of it."""
    with pytest.raises(ValueError, match=message):
        json_text.parse(text)


def test_objects_may_be_made_of_pairs() -> None:
    """Which is how a key that is given twice is seen."""
    assert json_text.parse('{"a": 1, "a": 2}', pairs=len) == 2
