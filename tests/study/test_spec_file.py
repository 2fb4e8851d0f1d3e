"""Tests of mixmerge.study.spec_file."""

import errno
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from mixmerge.errors import SpecError
from mixmerge.mixing.spec import MixSpec
from mixmerge.study.spec_file import parse_spec, read_spec

GOOD = "sources: {a: {files: a.jsonl}}\nshares: {a: 1}\nlanguages: [en]\nsize: 10\n"


class Scalars(BaseModel):
    """Whatever a scalar is read as."""

    model_config = ConfigDict(extra="allow")


def test_scalars_follow_yaml_1_2() -> None:
    """Norwegian is a language, `on` a key, 1e-5 a number and 08 decimal."""
    text = "a: no\non: 1e-5\nb: 08\nc: true\nd:\ne: .5\nf: 2026-01-01\ng: 12:30"
    expected = {"a": "no", "on": 1e-5, "b": 8, "c": True, "d": None, "e": 0.5}
    expected |= {"f": "2026-01-01", "g": "12:30"}
    assert parse_spec(text, Scalars, "x.yaml").model_dump() == expected


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """A file that fits becomes the specification."""
    (tmp_path / "mix.yaml").write_text(GOOD)
    assert read_spec(tmp_path / "mix.yaml", MixSpec).size == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + "sizes: 3",
            r"x\.yaml, line 5: sizes: unknown key; known here are .*; did you mean `size`\?",
        ),
        (
            GOOD.replace("files:", "file:"),
            r"line 1: sources\.a\.file: unknown key; known here are `files`, .*mean `files`\?",
        ),
        (
            GOOD.replace("10", "ten"),
            r"line 4: size: a whole number is required \(seen: 'ten'\)",
        ),
        (GOOD.replace("size: 10", ""), r"size: this key is required"),
        (GOOD + "size: 11", r"line 5: the key `size` is given twice"),
        ("a: [1", r"not valid YAML: line [12]: .*expected ',' or '\]'"),
        ("- a", r"expected keys and values, found \['a'\]"),
        ("", r"expected keys and values, found nothing"),
        ("a: 1\nseed: {{ seed }}", r"not valid YAML: line 2: a key must be text, not a collection"),
        ("size: !!int ten", r"not valid YAML: line 1: 'ten' is not a valid int"),
        ("a: &a [*a]", r"contains itself"),
    ],
    ids=[
        "unknown", "unknown below", "type", "missing", "twice", "syntax", "list", "empty",
        "template", "tag", "circle",
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text: str, message: str) -> None:
    """Each mistake gives the file, the line, the key, what was expected and what was seen."""
    with pytest.raises(SpecError, match=message):
        parse_spec(text, MixSpec, "x.yaml")


def test_every_mistake_is_said_at_once() -> None:
    """Two mistakes give two lines."""
    text = GOOD.replace("10", "ten") + "foo: 1"
    with pytest.raises(SpecError, match=r"size: .*\n.*foo: unknown key"):
        parse_spec(text, MixSpec, "x.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is said, without a traceback's words."""
    with pytest.raises(SpecError, match=r"none\.yaml: no such file"):
        read_spec(tmp_path / "none.yaml", MixSpec)


def test_a_file_that_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    """Text in Latin-1 is refused with the line of its first letter that is not UTF-8."""
    (tmp_path / "mix.yaml").write_text(GOOD + "# año", encoding="latin-1")
    with pytest.raises(SpecError, match=r"mix\.yaml, line 5: not UTF-8 text .*save .* as UTF-8"):
        read_spec(tmp_path / "mix.yaml", MixSpec)


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reason is said."""

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SpecError, match=r"mix\.yaml: cannot be read \(Permission denied\)"):
        read_spec(tmp_path / "mix.yaml", MixSpec)
