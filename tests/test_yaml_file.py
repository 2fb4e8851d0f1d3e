"""The reader of YAML: values of version 1.2, lines, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.errors import SpecError
from mixmerge.yaml_file import Mark, parse_document, parse_documents, read_text, to_yaml

BOMB = "a0: &x0 [1]\n" + "".join(
    f"a{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 9)
)
CHAIN = "a0: &a0 []\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("1e-5", 1e-5),
        ("1.", 1.0),
        ("08", 8),
        ("0", 0),
        ("-3", -3),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_version_1_2(text: str, value: Any) -> None:
    """Words that older readers take for switches, dates or times are words."""
    assert parse_document(f"a: {text}", "x.yaml").data == {"a": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 010", "line 2: `010` is octal in YAML 1.1"),
        ("a: 1\na: 2", "line 2: the key `a` is given twice"),
        ("a: {b: 1,\n  b: 2}", "line 2: the key `b` is given twice"),
        ("1: a", "line 1: a key must be text, not 1; quote it"),
        ("a: {true: 1}", "line 1: a key must be text, not true; quote it"),
        ("a: {{ seed }}", "line 1: a key must be text, not a collection"),
        ("a: &x [*x]", "line 1: contains itself"),
        (BOMB, r"line \d: stands for [\d,]+ values; at most 100,000"),
        ("a: [" + "x, " * 100_001 + "]", "line 1: stands for 100,001 values"),
        ("a:\n- " + "- " * 100, "line 2: nested too deeply, in more than 100 collections"),
        (CHAIN, "line 101: nested too deeply, in more than 100 collections"),
        (f"a: 1\nb: {'9' * 400}", "line 2: the number 99999999999999999999… is too large"),
        (f"a: -{2**63}", "line 1: the number -9223372036854775808… is too large"),
        ("a: 1\nb: !!timestamp x", "line 2: could not determine a constructor for the tag"),
        ("a: !!binary eA==", "line 1: could not determine a constructor for the tag"),
        ("a: 1\nb: \x00", "line 2: (control|special) characters are not allowed"),
        ("a: [1", "expected ',' or ']'"),
        ("a: 1\nb: !!int b", "line 2: 'b' is not a valid int"),
        ("a: !!float [b]", "line 1: expected a scalar node"),
        ("a: !!python/object:os.system 1", "could not determine a constructor"),
        ("a: !x\\\x1b b", "special characters are not allowed|control characters"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    """One line says what is wrong, and in which file."""
    with pytest.raises(SpecError, match=rf"^x\.yaml: not valid YAML: .*({message})") as error:
        parse_document(text, "x.yaml")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "a: " + "{a: " * 5000])
def test_deep_nesting_is_refused(text: str) -> None:
    """The parser in C would end the process."""
    with pytest.raises(SpecError, match="nested too deeply"):
        parse_documents(text, "x.yaml")


def test_every_place_has_its_line() -> None:
    """Keys, items, and what a merge key brings in, each where it was written."""
    text = "one: &one\n  x: 1\n  y: 2\ntwo:\n  <<: *one\n  y: 3\nlist:\n- a\n- b: 4\n"
    found = parse_document(text, "x.yaml")
    assert found.data == {
        "one": {"x": 1, "y": 2}, "two": {"x": 1, "y": 3}, "list": ["a", {"b": 4}],
    }  # fmt: skip
    lines = {place: mark.line for place, mark in found.marks.items()}
    assert found.marks["two", "y"] == Mark("x.yaml", 6)
    assert lines["two", "x"] == 2
    assert lines["list", 1, "b"] == 9


def test_several_documents() -> None:
    """All of them are read, unless one is asked for."""
    assert parse_documents("a: 1\n---\nb: 2", "x.yaml") == [{"a": 1}, {"b": 2}]
    with pytest.raises(SpecError, match=r"x\.yaml: expected one document, found 2"):
        parse_document("a: 1\n---\nb: 2", "x.yaml")
    with pytest.raises(SpecError, match=r"x\.yaml: expected keys and values, found nothing"):
        parse_document("", "x.yaml")


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
                       st.text() | st.integers(-(2**63) + 1, 2**63 - 1) | st.booleans() | st.none()
                       | st.floats(allow_nan=False), max_size=4))  # fmt: skip
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    """By this reader and by one of version 1.1: words that look like numbers are quoted."""
    text = to_yaml(data)
    assert parse_document(text, "x.yaml").data == data
    assert yaml.safe_load(text) == data


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """None there, a folder, too large, or in another encoding."""
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "large").write_bytes(b" " * 10_000_001)
    for name, message in {
        "none": "no such file", "": "is a folder", "large": "has more than 10,000,000 bytes",
        "latin": r", line 2: not UTF-8 text .*; save the file as UTF-8",
    }.items():  # fmt: skip
        with pytest.raises(SpecError, match=message):
            read_text(tmp_path / name)
