"""Tokenizer files as they come from strangers."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from mixmerge.errors import ModelError
from mixmerge.merging.vocabularies.tokenizer_files import (
    extended,
    read_tokenizer,
    without_rows_beyond,
    write_tokenizer,
)


def whole_files() -> list[str]:
    """Return a small tokenizer of each kind, with added tokens."""
    letters = {letter: number for number, letter in enumerate("abcde")}
    pairs = [("a", "b"), ("ab", "c")]
    kinds = [
        models.BPE({**letters, "ab": 5, "abc": 6}, pairs),
        models.Unigram([(letter, -float(number)) for letter, number in letters.items()], 0),
        models.WordPiece(letters, unk_token="a"),
        models.WordLevel(letters, unk_token="a"),
    ]
    found = []
    for kind in kinds:
        tokenizer = Tokenizer(kind)
        tokenizer.add_special_tokens([AddedToken("<x>"), AddedToken("<y>")])
        found.append(tokenizer.to_str())
    return found


def added(text: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": text, **flags, "special": True}


WHOLE = whole_files()
STRANGE = [None, True, -1, 10**12, 1.5, "", "a", [], {}, ["a"], [["a", 0.5]], {"a": 0}]


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all parts of a JSON value."""
    inner: list[Any] = list(value.items()) if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(enumerate(value))
    return [place, *(found for key, item in inner for found in places(item, (*place, key)))]


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_a_damaged_tokenizer_is_an_error_or_a_tokenizer(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever part of a file is something else: a clear error, or ids that stay as they are."""
    content = json.loads(data.draw(st.sampled_from(WHOLE)))
    *path, last = data.draw(st.sampled_from(places(content)[1:]))
    part = content
    for key in path:
        part = part[key]
    if data.draw(st.booleans()):
        part[last] = data.draw(st.sampled_from(STRANGE))
    else:
        del part[last]
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    try:
        short = without_rows_beyond(read_tokenizer(folder), data.draw(st.integers(1, 9)))
        grown = extended(short, ["new", "word"], [added("<new>")])
    except ModelError as error:
        assert "tokenizer.json" in str(error)  # noqa: PT017 - the other outcome is as good
    else:
        assert grown.vocabulary["<new>"] == max(grown.vocabulary.values())
        assert all(grown.vocabulary[token] == at for token, at in short.vocabulary.items())


@pytest.mark.parametrize("text", WHOLE, ids=["BPE", "Unigram", "WordPiece", "WordLevel"])
def test_every_kind_can_be_extended(text: str, tmp_path: Any) -> None:
    """Plain tokens and added ones get the ids behind the highest, in their order."""
    (tmp_path / "tokenizer.json").write_text(text)
    tokenizer = read_tokenizer(tmp_path)
    first = max(tokenizer.vocabulary.values()) + 1
    grown = extended(tokenizer, ["p", "q"], [added("<z>")])
    new = {token: at for token, at in grown.vocabulary.items() if token not in tokenizer.vocabulary}
    assert new == {"p": first, "q": first + 1, "<z>": first + 2}
    saved = Tokenizer.from_str(json.dumps(grown.content))
    assert saved.encode("a<z><x>").ids == [0, first + 2, tokenizer.vocabulary["<x>"]]
    assert list(grown.added) == ["<x>", "<y>", "<z>"]


def test_a_changed_tokenizer_leaves_no_older_form_of_itself(tmp_path: Any) -> None:
    """What stands in the folder already is another tokenizer's, and goes with its templates."""
    source, out = tmp_path / "source", tmp_path / "out"
    for folder, text in ((source, "new"), (out, "old")):
        (folder / "additional_chat_templates").mkdir(parents=True)
        for name in ("spiece.model", "tekken.json", "x.tiktoken", "chat_template.jinja"):
            (folder / name).write_text(text)
        (folder / "additional_chat_templates" / f"{text}.jinja").write_text(text)
    (source / "tokenizer.json").write_text(WHOLE[0])
    write_tokenizer(extended(read_tokenizer(source), ["p"], []), out)
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    template = "additional_chat_templates/new.jinja"
    assert files == {"tokenizer.json", "chat_template.jinja", template}
    assert (out / "chat_template.jinja").read_text() == "new"
    write_tokenizer(read_tokenizer(source), out)
    assert (out / "spiece.model").read_text() == "new"


def test_merges_go_with_their_tokens(tmp_path: Any) -> None:
    """A BPE tokenizer without the rows of its longest tokens splits into shorter ones."""
    (tmp_path / "tokenizer.json").write_text(WHOLE[0])
    tokenizer = read_tokenizer(tmp_path)
    assert tokenizer.content["model"]["merges"] == [["a", "b"], ["ab", "c"]]
    for rows, ids in ((9, [6]), (6, [5, 2]), (5, [0, 1, 2])):
        saved = Tokenizer.from_str(json.dumps(without_rows_beyond(tokenizer, rows).content))
        assert saved.encode("abc").ids == ids
