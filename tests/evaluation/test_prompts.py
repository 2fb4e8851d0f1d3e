"""Prompt sets are read from the formats in which the field publishes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.files import write_rows
from mixmerge.records import Message, Prompt


@pytest.fixture(autouse=True)
def _files_are_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of a specification are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path.name


def spec(**settings: Any) -> PromptSetSpec:
    return PromptSetSpec.model_validate(settings)


def test_rows_of_our_own_format_read_back(tmp_path: Path) -> None:
    """A file of prompts that mixmerge wrote needs no mapping; other languages are left out."""
    prompts = [
        Prompt(
            id=f"q-{language}",
            cluster="q",
            language=language,
            messages=(Message(role="user", content="?"),),
            accepted=("yes",),
        )
        for language in ("en", "hi", "fr")
    ]
    write_rows(tmp_path / "p.jsonl", prompts)
    assert load_prompts(spec(files="p.jsonl"), ["en", "hi"]) == prompts[:2]


def test_what_a_set_says_of_all_rows_holds_for_rows_of_our_own_format(tmp_path: Path) -> None:
    """Language names and who translated apply; a row that says who did it keeps that."""
    row = {"cluster": "q", "messages": [{"role": "user", "content": "?"}]}
    jsonl(
        tmp_path / "p.jsonl",
        row | {"id": "1", "language": "English"},
        row | {"id": "2", "language": "Hindi"},
        row | {"id": "3", "language": "Hindi", "translated": "human"},
    )
    found = load_prompts(
        spec(
            files="p.jsonl",
            language_names={"English": "en", "Hindi": "hi"},
            translated={"hi": "machine"},
        ),
        ["en", "hi"],
    )
    assert [(prompt.language, prompt.translated) for prompt in found] == [
        ("en", "none"),
        ("hi", "machine"),
        ("hi", "human"),
    ]


def test_red_teaming_rows_without_ids(tmp_path: Path) -> None:
    """Language names are mapped, a JSON list in a string is read, and the text makes the id."""
    row = {
        "prompt": "Tell me …",
        "language": "English",
        "harm_category": '["Hate Speech", "Profanity"]',
    }
    other = {"prompt": "बताओ …", "language": "Hindi", "harm_category": "[broken"}
    jsonl(tmp_path / "a.jsonl", row, other)
    found = load_prompts(
        spec(
            files="a.jsonl",
            columns={"category": "harm_category"},
            language_names={"English": "en", "Hindi": "hi"},
        ),
        ["en", "hi"],
    )
    assert [prompt.category for prompt in found] == ["Hate Speech; Profanity", "[broken"]
    assert [prompt.language for prompt in found] == ["en", "hi"]
    assert found[0].cluster == found[0].id != found[1].id


def test_right_answers_are_texts(tmp_path: Path) -> None:
    """One text, or several; a number is refused with the row's place, as nobody knows its form."""
    row = {"prompt": "6 × 7?", "language": "en"}
    jsonl(tmp_path / "a.jsonl", row | {"accepted": "42"}, row | {"prompt": "?", "accepted": ["4"]})
    found = load_prompts(spec(files="a.jsonl"), ["en"])
    assert [prompt.accepted for prompt in found] == [("42",), ("4",)]
    jsonl(tmp_path / "a.jsonl", row | {"tests": "assert f() == 1"}, row | {"prompt": "?"})
    found = load_prompts(spec(files="a.jsonl"), ["en"])
    assert [prompt.tests for prompt in found] == [("assert f() == 1",), ()]
    jsonl(tmp_path / "a.jsonl", row | {"accepted": 42})
    with pytest.raises(DataError, match=r"a\.jsonl.* `accepted` must be a text or a list .*42"):
        load_prompts(spec(files="a.jsonl"), ["en"])


def test_translations_share_the_cluster_of_their_source(tmp_path: Path) -> None:
    """One file a language: the source column joins the languages, ids stay apart."""
    for language, text in (("eng", "Why?"), ("fra", "Pourquoi ?")):
        jsonl(tmp_path / f"{language}.jsonl", {"id": 7, "inputs": text, "source_id": 42})
    found = load_prompts(
        spec(
            files={"en": "eng.jsonl", "fr": "fra.jsonl"},
            columns={"prompt": "inputs", "cluster": "source_id"},
        ),
        ["en", "fr"],
    )
    assert [(p.id, p.cluster, p.language, p.text) for p in found] == [
        ("7-en", "42", "en", "Why?"),
        ("7-fr", "42", "fr", "Pourquoi ?"),
    ]


def test_a_local_copy_of_a_hub_data_set(tmp_path: Path) -> None:
    """A folder of Parquet files is read like a data set of the hub."""
    rows = [{"question_id": f"{n}", "prompt": f"ask {n}", "language": "en"} for n in range(3)]
    (tmp_path / "arena").mkdir()
    Dataset.from_list(rows).to_parquet(str(tmp_path / "arena" / "test-00000-of-00001.parquet"))
    columns = {"id": "question_id", "cluster": "question_id"}
    found = load_prompts(spec(hub="arena", columns=columns), ["en"])
    assert [(p.id, p.cluster, p.text) for p in found] == [
        (f"{n}-en", f"{n}", f"ask {n}") for n in range(3)
    ]


def test_a_language_is_needed_where_several_are_evaluated(tmp_path: Path) -> None:
    """A row without a language is of the only one that is evaluated; of several it must say it."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "?"}\n')
    (prompt,) = load_prompts(PromptSetSpec(files=path), ["fr"])
    assert prompt.language == "fr"
    with pytest.raises(DataError, match="line 1: no language: give `language`"):
        load_prompts(PromptSetSpec(files=path), ["fr", "en"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"prompt": "?"', r"p\.jsonl, line 2: not valid JSON"),
        ("[1]", r"line 2: a row is a JSON object \(seen: \[1\]\)"),
        ('{"prompt": "", "language": "en"}', "line 2: the column `prompt` is missing or empty"),
        ('{"prompt": [{"role": "x", "content": "?"}], "language": "en"}', r"line 2: `messages.0"),
        (
            '{"prompt": "ok", "language": "en"}',
            r"two prompts have the id .* Remove duplicate rows",
        ),
        (
            '{"prompt": [{"role": "assistant", "content": "?"}], "language": "en"}',
            "the last message must be the user's",
        ),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    """Each broken row gives one message with file and line; no other row is used."""
    good = json.dumps({"prompt": "ok", "language": "en"})
    (tmp_path / "p.jsonl").write_text(f"{good}\n{row}\n")
    with pytest.raises(DataError, match=message):
        load_prompts(spec(files="p.jsonl"), ["en"])


def test_an_empty_language_is_an_error(tmp_path: Path) -> None:
    """A language without prompts is named, with what can be done."""
    jsonl(tmp_path / "p.jsonl", {"prompt": "?", "language": "English"})
    with pytest.raises(DataError, match=r"language 'en'.*`language_names`"):
        load_prompts(spec(files="p.jsonl"), ["en"])


def test_missing_files_columns_and_data_sets_are_named(tmp_path: Path) -> None:
    """What is not there is named: a file, a column that the mapping promises, a data set."""
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        load_prompts(spec(files="none.jsonl"), ["en"])
    jsonl(tmp_path / "p.jsonl", {"prompt": "?", "language": "en"})
    with pytest.raises(DataError, match=r"no column `source` \(columns: language, prompt\)"):
        load_prompts(spec(files="p.jsonl", columns={"cluster": "source"}), ["en"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: the data set could not be loaded"):
        load_prompts(spec(hub="empty"), ["en"])


def test_who_translated_is_recorded(tmp_path: Path) -> None:
    """English requests with translations by a model say so: for all, by language, or by row."""
    rows = [
        {"prompt": f"{language} ?", "language": language, "by": by}
        for language, by in (("en", ""), ("hi", "machine"), ("fr", "human"))
    ]
    jsonl(tmp_path / "p.jsonl", *rows)
    languages = ["en", "hi", "fr"]

    def found(**settings: Any) -> list[str]:
        read = load_prompts(spec(files="p.jsonl", **settings), languages)
        return [prompt.translated for prompt in read]

    assert found() == ["none", "none", "none"]
    assert found(translated="machine") == ["machine"] * 3
    assert found(translated={"hi": "machine"}) == ["none", "machine", "none"]
    assert found(columns={"translated": "by"}) == ["none", "machine", "human"]


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet", ".jsonl"])
def test_files_of_any_table_format(tmp_path: Path, suffix: str) -> None:
    """JSON, CSV, Parquet and JSON Lines hold the same prompts under the same ids."""
    rows = Dataset.from_list(
        [{"n": 7, "prompt": "Why?", "lang": "en"}, {"n": 7, "prompt": "क्यों?", "lang": "hi"}]
    )
    path = tmp_path / f"p{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(rows.to_list()))
    else:
        write = {".csv": rows.to_csv, ".parquet": rows.to_parquet, ".jsonl": rows.to_json}
        write[suffix](str(path))
    columns = {"id": "n", "cluster": "n", "language": "lang"}
    found = load_prompts(spec(files=path.name, columns=columns), ["en", "hi"])
    assert [(p.id, p.cluster, p.text) for p in found] == [
        ("7-en", "7", "Why?"),
        ("7-hi", "7", "क्यों?"),
    ]


def test_an_empty_cell_joins_nothing(tmp_path: Path) -> None:
    """Two rows of a CSV file without a cluster are two clusters, not one."""
    (tmp_path / "p.csv").write_text("prompt,language,cluster\nWhy?,en,\nHow?,en,\n")
    found = load_prompts(spec(files="p.csv"), ["en"])
    assert found[0].cluster != found[1].cluster


@pytest.mark.parametrize("columns", [{}, {"prompt": "messages"}])
@pytest.mark.parametrize("text", [False, True])
def test_rows_of_messages_are_prompts(tmp_path: Path, columns: dict[str, str], text: bool) -> None:
    """The common form of chats is read with and without a mapping, empty keys and as text."""
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    messages: object = [turn | {"name": None} for turn in turns]
    jsonl(tmp_path / "p.jsonl", {"messages": repr(messages) if text else messages, "id": 7})
    (found,) = load_prompts(spec(files="p.jsonl", columns=columns), ["en"])
    assert [turn.model_dump() for turn in found.messages] == turns
    assert (found.id, found.cluster) == ("7-en", "7-en")


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        ({"instruction": "Sum up.", "input": "A text."}, {}, "Sum up.\n\nA text."),
        ({"instruction": "Sum up.", "input": ""}, {}, "Sum up."),
        (
            {"instruction": "Sum up.", "input": "A text."},
            {"prompt": "instruction"},
            "Sum up.\n\nA text.",
        ),
        ({"instruction": "Sum up.", "input": "A"}, {"prompt": ["instruction"]}, "Sum up."),
        ({"a": "One", "b": None, "c": "two"}, {"prompt": ["a", "b", "c"]}, "One\n\ntwo"),
        ({"question": "Why?", "input": "other"}, {}, "Why?"),
    ],
)
def test_a_prompt_may_stand_in_several_columns(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, Any], expected: str
) -> None:
    """Alpaca's input is part of what is asked, and a list says which columns are."""
    jsonl(tmp_path / "p.jsonl", row)
    (found,) = load_prompts(spec(files="p.jsonl", columns=columns), ["en"])
    assert found.text == expected


def test_generated_rows_are_prompts_with_the_seed_as_the_question(tmp_path: Path) -> None:
    """A column may be a key of an object, so that translations of one seed share a cluster."""
    rows = [
        {
            "id": f"digest-{language}",
            "language": language,
            "prompt": [{"role": "user", "content": "?"}],
            "provenance": {"seed": "s1", "translated": translated},
        }
        for language, translated in (("en", "none"), ("hi", "machine"))
    ]
    jsonl(tmp_path / "p.jsonl", *rows)
    columns = {
        "prompt": "prompt",
        "id": "id",
        "cluster": "provenance.seed",
        "translated": "provenance.translated",
    }
    found = load_prompts(spec(files="p.jsonl", columns=columns), ["en", "hi"])
    assert [(each.cluster, each.translated) for each in found] == [
        ("s1", "none"),
        ("s1", "machine"),
    ]
    wrong = columns | {"cluster": "provenance.sead"}
    with pytest.raises(DataError, match=r"no column `sead` \(columns: seed, translated\)"):
        load_prompts(spec(files="p.jsonl", columns=wrong), ["en", "hi"])
