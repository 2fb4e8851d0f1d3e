"""Aya Red-teaming: one file a language, categories in a list inside a text, no ids."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.records import Prompt


def row(prompt: str, language: str, **cells: Any) -> dict[str, Any]:
    complete = {
        "prompt": prompt,
        "language": language,
        "harm_category": '["Hate Speech", "Profanity"]',
        "global_or_local": "global",
        "literal_translation": "",
        "semantic_translation": "",
        "explanation": "",
    }
    return {**complete, **cells}


@pytest.fixture(autouse=True)
def _files_are_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of a specification are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def write(folder: Path, **files: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    for code, rows in files.items():
        lines = [json.dumps(cells, ensure_ascii=False) + "\n" for cells in rows]
        (folder / f"aya_{code}.jsonl").write_text("".join(lines), encoding="utf-8")


def load(*languages: str) -> list[Prompt]:
    spec = PromptSetSpec(set="aya_redteaming", hub="copy")
    return load_prompts(spec, languages)


def test_rows_of_the_published_format(tmp_path: Path) -> None:
    """Codes, categories and scope are read; every request is its own cluster, by nobody's id."""
    local = row("बताओ …", "Hindi", harm_category='["Self-Harm"]', global_or_local="local")
    write(tmp_path / "copy", eng=[row("Tell me …", "English")], hin=[local], tgl=[local])
    english, hindi, filipino = load("en", "hi", "tl")
    assert (english.language, english.category) == ("en", "Hate Speech; Profanity")
    assert (hindi.language, hindi.category, hindi.scope) == ("hi", "Self-Harm", "local")
    assert (english.scope, english.translated, english.text) == ("global", "none", "Tell me …")
    # The same words in two languages are two requests: nothing joins the languages.
    assert hindi.text == filipino.text
    assert len({p.cluster for p in (english, hindi, filipino)}) == 3


def test_ids_depend_on_language_and_text_only(tmp_path: Path) -> None:
    """Another order of the rows, and other rows, give the same ids."""
    one, two = row("One …", "English"), row("Two …", "English", explanation="changed")
    write(tmp_path / "copy", eng=[one, two])
    before = {p.text: p.id for p in load("en")}
    write(tmp_path / "copy", eng=[row("Three …", "English"), two, one])
    after = {p.text: p.id for p in load("en")}
    assert after.items() >= before.items()
    assert len(set(after.values())) == 3


def test_a_request_that_stands_twice_stays_one_cluster(tmp_path: Path) -> None:
    """Both copies are asked, under different ids, and resampled together."""
    write(tmp_path / "copy", eng=[row("Same …", "English"), row("Same …", "English")])
    first, second = load("en")
    assert first.id != second.id
    assert first.cluster == second.cluster


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"harm_category": "Profanity"},
            r"a JSON list of strings \(seen: 'Profanity'",
        ),
        ({"harm_category": '{"a": 1}'}, "a JSON list of strings"),
        ({"harm_category": None}, r"a JSON list of strings .*seen: nothing"),
        ({"prompt": " "}, r"`prompt` must be a text \(seen: ' '\)"),
        ({"global_or_local": "both"}, "`scope`: must be 'global' or 'local'"),
    ],
)
def test_a_row_of_another_form_is_named(
    tmp_path: Path, cells: dict[str, Any], message: str
) -> None:
    """File, line and column are said, and no row of such a file is used."""
    write(tmp_path / "copy", eng=[row("Fine …", "English"), {**row("Odd …", "English"), **cells}])
    with pytest.raises(DataError, match=r"aya_eng\.jsonl, line 2: .*" + message):
        load("en")


def test_a_missing_column_a_missing_file_and_an_unknown_language_are_named(tmp_path: Path) -> None:
    """Each says what is not there."""
    incomplete = row("Tell me …", "English")
    del incomplete["global_or_local"]
    write(tmp_path / "copy", eng=[incomplete])
    with pytest.raises(DataError, match="line 1: no column `global_or_local`"):
        load("en")
    with pytest.raises(DataError, match=r"aya_hin\.jsonl: no such file"):
        load("hi")
    with pytest.raises(DataError, match=r"'de' is not known to be in the set \(known: ar, en"):
        load("de")


def test_the_set_comes_from_the_hub_by_name() -> None:
    """Without a copy the published files are fetched; off line that is one message."""
    spec = PromptSetSpec(set="aya_redteaming")
    with pytest.raises(DataError, match=r"CohereLabs/aya_redteaming: the file aya_eng\.jsonl"):
        load_prompts(spec, ["en"])
