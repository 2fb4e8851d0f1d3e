"""Whole mixtures, from files to rows and manifest."""

import errno
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from mixmerge.errors import DataError, ResourceError
from mixmerge.files import read_rows, write_rows
from mixmerge.fingerprint import file_fingerprint
from mixmerge.mixing import Manifest, MixSpec, materialise
from mixmerge.mixing.materialise import mix
from mixmerge.records import Conversation, Message, PreferencePair, Prompt

LANGUAGES = ["en", "hi", "fr"]


def pair(source: str, language: str, number: int, prompt: str | None = None) -> PreferencePair:
    text = prompt or f"{source} question {number} in {language}"
    return PreferencePair(
        id=f"{language}-{number}",
        source=source,
        language=language,
        prompt=(Message(role="user", content=text),),
        chosen="yes " * (1 + number % 5),
        rejected="no",
    )


def world(folder: Path, general: int = 60, safety: int = 30) -> None:
    """Write two sources with so many pairs in each language."""
    for source, count in (("general", general), ("safety", safety)):
        rows = [pair(source, lang, number) for lang in LANGUAGES for number in range(count)]
        write_rows(folder / f"{source}.jsonl", rows)


def add(file: Path, *rows: PreferencePair) -> None:
    write_rows(file, [*read_rows(file, PreferencePair), *rows])


def spec(folder: Path, **changes: Any) -> MixSpec:
    values = {
        "sources": {
            "general": {"files": folder / "general.jsonl"},
            "safety": {"files": folder / "safety.jsonl"},
        },
        "shares": {"general": 85, "safety": 15},
        "languages": LANGUAGES,
        "size": 100,
    }
    return MixSpec.model_validate(values | changes)


def hold_out(folder: Path, *texts: str) -> list[Path]:
    path = folder / "prompts.jsonl"
    write_rows(
        path,
        [
            Prompt(
                id=text, cluster=text, language="en", messages=(Message(role="user", content=text),)
            )
            for text in texts
        ],
    )
    return [path]


@pytest.mark.parametrize("seed", range(10))
def test_fifteen_percent_is_fifteen_percent_for_every_seed(tmp_path: Path, seed: int) -> None:
    """100 rows at 15 % have 15 safety rows, five in each language, whatever the seed."""
    world(tmp_path)
    mix(spec(tmp_path, seed=seed), tmp_path / "out")
    rows = read_rows(tmp_path / "out/rows.jsonl", Conversation)
    assert len(rows) == 100
    assert Counter(row.language for row in rows if row.source == "safety") == dict.fromkeys(
        LANGUAGES, 5
    )


def test_the_manifest_says_what_the_rows_are(tmp_path: Path) -> None:
    """The share table agrees with a count of the rows; file and digest agree."""
    world(tmp_path)
    manifest = mix(spec(tmp_path), tmp_path / "out")
    rows = read_rows(tmp_path / "out/rows.jsonl", Conversation)
    assert manifest == Manifest.model_validate_json((tmp_path / "out/manifest.json").read_text())
    assert manifest.digest == file_fingerprint(tmp_path / "out/rows.jsonl")
    assert manifest.rows == len(rows) == sum(share.got for share in manifest.shares)
    for share in manifest.shares:
        cell = [row for row in rows if (row.source, row.language) == (share.source, share.language)]
        assert share.asked == share.got == share.rows == len(cell)
        assert share.unique == len({row.id for row in cell})
        assert share.characters == sum(len(turn.content) for row in cell for turn in row.messages)
        assert share.tokens is None


def test_the_same_specification_gives_the_same_bytes(tmp_path: Path) -> None:
    """Rows and manifest are equal for equal input, wherever it lies and in whatever file order."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        world(tmp_path / name)
    general = tmp_path / "b/general.jsonl"
    write_rows(general, read_rows(general, PreferencePair)[::-1])
    for name in ("a", "b"):
        mix(spec(tmp_path / name), tmp_path / name / "out")
    for file in ("rows.jsonl", "manifest.json"):
        assert (tmp_path / "a/out" / file).read_bytes() == (tmp_path / "b/out" / file).read_bytes()
    mix(spec(tmp_path / "a", seed=1), tmp_path / "c")
    assert (tmp_path / "a/out/rows.jsonl").read_bytes() != (tmp_path / "c/rows.jsonl").read_bytes()


def test_mixtures_of_one_size_share_their_safety_rows(tmp_path: Path) -> None:
    """The safety rows of a 15 % mixture are among those of the 30 % mixture."""
    world(tmp_path)
    ids = []
    for share in (15, 30):
        shares = {"general": 100 - share, "safety": share}
        mix(spec(tmp_path, shares=shares), tmp_path / "out")
        rows = read_rows(tmp_path / "out/rows.jsonl", Conversation)
        ids.append({row.id for row in rows if row.source == "safety"})
    assert ids[0] < ids[1]


def test_preference_mixtures_have_pairs(tmp_path: Path) -> None:
    """With `form: preferences` the rows are the pairs of the sources."""
    world(tmp_path)
    mix(spec(tmp_path, form="preferences"), tmp_path / "out")
    rows = read_rows(tmp_path / "out/rows.jsonl", PreferencePair)
    assert set(rows) <= {
        pair(source, language, number)
        for source in ("general", "safety")
        for language in LANGUAGES
        for number in range(60)
    }


def test_language_shares_weigh_the_languages(tmp_path: Path) -> None:
    """Weights of 2, 1 and 1 give half of each source to the first language."""
    world(tmp_path)
    weights = {"en": 2, "hi": 1, "fr": 1}
    manifest = mix(spec(tmp_path, size=80, language_shares=weights), tmp_path / "out")
    got = Counter({(share.source, share.language): share.got for share in manifest.shares})
    assert sum(got["general", language] for language in LANGUAGES) == 68
    assert [got["general", language] for language in LANGUAGES] == [34, 17, 17]
    assert [got["safety", language] for language in LANGUAGES] == [6, 3, 3]


def test_too_few_rows_are_refused_with_every_short_cell(tmp_path: Path) -> None:
    """A source that is too small is an error that names each cell, asked and there."""
    world(tmp_path, safety=3)
    with pytest.raises(
        DataError, match=r"`safety` in `en`: 5 requested, 3 available; `safety` in `hi`: 5 "
    ):
        mix(spec(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out/rows.jsonl").exists()


def test_short_cells_repeat_up_to_the_stated_limit(tmp_path: Path) -> None:
    """Three rows fill five places with two copies; with two rows two copies are too few."""
    world(tmp_path, safety=3)
    repeat = {"when_short": "repeat", "most_copies": 2}
    manifest = mix(spec(tmp_path, **repeat), tmp_path / "out")
    safety = [share for share in manifest.shares if share.source == "safety"]
    assert {(share.got, share.unique, share.most_copies) for share in safety} == {(5, 3, 2)}
    world(tmp_path, safety=2)
    with pytest.raises(DataError, match=r"each used 2 times: `safety` in `en`: 5 requested, 4 av"):
        mix(spec(tmp_path, **repeat), tmp_path / "out")


def test_an_empty_language_is_refused_with_the_languages_seen(tmp_path: Path) -> None:
    """A language without rows is an error that says which languages the source has."""
    world(tmp_path)
    with pytest.raises(
        DataError, match=r"`general` in `ru`: 21 requested, 0 available \(rows read: 60 in `en`, "
    ):
        mix(spec(tmp_path, languages=[*LANGUAGES, "ru"]), tmp_path / "out")


def test_rows_in_other_languages_are_counted(tmp_path: Path) -> None:
    """Rows in a language that the mixture does not have are left aside and counted."""
    world(tmp_path)
    manifest = mix(spec(tmp_path, languages=["en"], size=40), tmp_path / "out")
    assert manifest.other_languages == {
        "general": {"fr": 60, "hi": 60},
        "safety": {"fr": 30, "hi": 30},
    }


def test_duplicates_are_removed_before_counting(tmp_path: Path) -> None:
    """Duplicates across sources are removed and counted where they were."""
    world(tmp_path)
    copy = pair("safety", "en", 900, "general question 0 in en")
    variant = pair("safety", "en", 901, "GENERAL question 1, in en!")
    add(tmp_path / "safety.jsonl", copy, variant)
    manifest = mix(spec(tmp_path), tmp_path / "out")
    cell = next(s for s in manifest.shares if (s.source, s.language) == ("safety", "en"))
    assert (cell.read, cell.exact_duplicates, cell.normalised_duplicates, cell.available) == (
        32,
        1,
        1,
        30,
    )


def test_held_out_prompts_are_not_trained_on(tmp_path: Path) -> None:
    """Rows that overlap are absent from the mixture, counted by cell and listed."""
    world(tmp_path, general=60, safety=6)
    held_out = hold_out(tmp_path, "Safety question 4 in EN?", "nothing like it")
    manifest = mix(spec(tmp_path, held_out=held_out), tmp_path / "out")
    rows = read_rows(tmp_path / "out/rows.jsonl", Conversation)
    assert sum(row.source == "safety" and row.language == "en" for row in rows) == 5
    assert "safety question 4 in en" not in {row.prompt_text for row in rows}
    listed = [(o.source, o.language, o.id, o.prompt, o.way) for o in manifest.overlaps]
    assert listed == [("safety", "en", "en-4", "Safety question 4 in EN?", "equal")]
    counted = {(s.source, s.language): s.overlapping for s in manifest.shares if s.overlapping}
    assert counted == {("safety", "en"): 1}


def test_overlap_can_stop_the_mixing(tmp_path: Path) -> None:
    """With `overlap: refuse` the first overlapping row and its prompt are named."""
    world(tmp_path)
    held_out = hold_out(tmp_path, "safety question 4 in en")
    with pytest.raises(
        DataError, match=r"overlap held-out prompts: 1\. .*`en-4` of source `safety`"
    ):
        mix(spec(tmp_path, held_out=held_out, overlap="refuse"), tmp_path / "out")


def test_broken_held_out_prompts_are_refused(tmp_path: Path) -> None:
    """A broken prompt file is an error with its line, not an empty set of prompts."""
    world(tmp_path)
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"prompts\.jsonl, line 1"):
        mix(spec(tmp_path, held_out=[tmp_path / "prompts.jsonl"]), tmp_path / "out")


def test_a_source_without_share_still_decides_duplicates(tmp_path: Path) -> None:
    """Mixtures of the same sources choose from the same rows, whatever the shares."""
    world(tmp_path)
    copy = pair("safety", "en", 900, "general question 0 in en")
    add(tmp_path / "safety.jsonl", copy)
    for shares in ({"general": 1, "safety": 1}, {"safety": 1}):
        manifest = mix(spec(tmp_path, shares=shares, size=30), tmp_path / "out")
        cell = next(s for s in manifest.shares if (s.source, s.language) == ("safety", "en"))
        assert (cell.available, cell.exact_duplicates) == (30, 1)
    assert {share.got for share in manifest.shares if share.source == "general"} == {0}


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer whose tokens are words."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def test_shares_of_tokens(tmp_path: Path) -> None:
    """Token targets are met by whole rows within half of the longest row."""
    world(tmp_path)
    write_tokenizer(tmp_path)
    manifest = mix(spec(tmp_path, unit="tokens", tokenizer=tmp_path, size=900), tmp_path / "out")
    rows = read_rows(tmp_path / "out/rows.jsonl", Conversation)
    lengths = {row: sum(len(turn.content.split()) for turn in row.messages) for row in rows}
    assert sum(share.asked for share in manifest.shares) == 900
    for share in manifest.shares:
        got = sum(
            length
            for row, length in lengths.items()
            if (row.source, row.language) == (share.source, share.language)
        )
        assert share.got == share.tokens == got
        assert abs(share.got - share.asked) <= max(lengths.values()) / 2


def test_rows_longer_than_a_token_target_do_not_hide_a_shortage(tmp_path: Path) -> None:
    """Where only rows longer than the target are left, the missing tokens are an error."""
    world(tmp_path, safety=2)
    write_tokenizer(tmp_path)
    add(tmp_path / "safety.jsonl", pair("safety", "en", 9, "word " * 5000))
    asked = spec(tmp_path, unit="tokens", tokenizer=tmp_path, size=1000)
    with pytest.raises(DataError, match=r"`safety` in `en`: 50 requested, 13 available"):
        mix(asked, tmp_path / "out")


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full the message says so, and no file has its final name."""
    world(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        mix(spec(tmp_path), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_older_manifest_does_not_outlive_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When mixing again into a folder is stopped, no manifest describes rows that it is not of."""
    world(tmp_path)
    mix(spec(tmp_path), tmp_path / "out")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(materialise, "write_json", stopped)
    with pytest.raises(KeyboardInterrupt):
        mix(spec(tmp_path, seed=1), tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


def test_sources_whose_rows_are_all_dropped_are_refused(tmp_path: Path) -> None:
    """A source left without any row says that none was read, and not that it is in order."""
    world(tmp_path)
    file = tmp_path / "safety.jsonl"
    file.write_text('{"prompt": "a", "answer": "", "language": "en"}\n')
    sources = {
        "general": {"files": tmp_path / "general.jsonl"},
        "safety": {"files": file, "broken": "drop"},
    }
    with pytest.raises(DataError, match=r"5 requested, 0 available \(rows read: none\)"):
        mix(spec(tmp_path, sources=sources), tmp_path / "out")


def test_dropped_rows_are_listed_without_folders(tmp_path: Path) -> None:
    """The manifest names the file and line of each broken row that was dropped."""
    world(tmp_path)
    file = tmp_path / "safety.jsonl"
    file.write_text(file.read_text() + "{}\n")
    sources = {
        "general": {"files": tmp_path / "general.jsonl"},
        "safety": {"files": file, "broken": "drop"},
    }
    manifest = mix(spec(tmp_path, sources=sources), tmp_path / "out")
    assert manifest.broken == {
        "safety": ("safety.jsonl, line 91: column `prompt` is missing or empty.",)
    }


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    """The folder of a step keeps its own files."""
    world(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/step.json").write_text("{}")
    mix(spec(tmp_path), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"step.json", "rows.jsonl", "manifest.json"}


def test_progress_tells_each_source(tmp_path: Path) -> None:
    """The listener hears every source by name and the writing."""
    world(tmp_path)
    heard: list[tuple[float, float, str]] = []
    mix(spec(tmp_path), tmp_path / "out", progress=lambda *said: heard.append(said))
    assert heard == [
        (0, 2, "reading general"),
        (1, 2, "reading safety"),
        (2, 2, "writing 100 rows"),
    ]
