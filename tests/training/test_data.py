"""Reading the rows of a training: length, vocabulary, counts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError, ModelError, SpecError
from mixmerge.files import write_rows
from mixmerge.progress import silent
from mixmerge.records import ModelFolder
from mixmerge.training import TrainSpec
from mixmerge.training.data import TrainingData, read_data
from mixmerge.training.encode import SAME
from mixmerge.training.parent import copy_companions

Write = Callable[[int], Path]


def read(model: Path, rows: Path, **settings: object) -> TrainingData:
    """Read rows for a training with these settings."""
    return read_data(TrainSpec.model_validate(settings), ModelFolder(model), rows, silent)


def test_long_rows_are_refused_with_counts_by_language(cohere: Path, conversations: Write) -> None:
    """By default a row that does not fit is an error that counts such rows by language."""
    with pytest.raises(
        DataError, match=r"of 12 rows are longer.*\(20 tokens\).*en: \d.*The first is row 'row-\d+'"
    ):
        read(cohere, conversations(12), max_length=20)


def test_long_rows_can_be_dropped_and_are_counted(cohere: Path, conversations: Write) -> None:
    """Dropped rows are gone whole; given, used and dropped are counted for each language."""
    everything = read(cohere, conversations(12))
    limit = sorted(everything.encoded.longest.tolist())[7]
    data = read(cohere, conversations(12), max_length=limit, overlong="drop")
    fits = everything.encoded.longest <= limit
    assert data.encoded.columns["input_ids"] == [
        ids for ids, fit in zip(everything.encoded.columns["input_ids"], fits, strict=True) if fit
    ]
    for number, language in enumerate(("en", "fr", "hi")):
        count = data.counts[language]
        assert (count.given, count.used) == (4, int(fits[number::3].sum()))
        assert count.dropped == count.given - count.used
    assert sum(count.dropped for count in data.counts.values()) == (~fits).sum() > 0


def test_dropping_everything_is_an_error(cohere: Path, conversations: Write) -> None:
    """A limit that no row meets leaves nothing to train on."""
    with pytest.raises(DataError, match="every row is longer"):
        read(cohere, conversations(5), max_length=3, overlong="drop")


def test_pairs_are_measured_with_their_longer_answer(cohere: Path, pairs: Write) -> None:
    """A pair is too long as soon as one of its answers is."""
    longest = int(read(cohere, pairs(9), method="dpo").encoded.longest.max())
    with pytest.raises(DataError, match=f"with {longest} tokens|longer than max_length"):
        read(cohere, pairs(9), method="dpo", max_length=longest - 1)


def test_max_length_beyond_the_context_is_refused(cohere: Path, conversations: Write) -> None:
    """The model's context bounds max_length."""
    with pytest.raises(SpecError, match=r"`max_length` is 200, .* context of 128"):
        read(cohere, conversations(3), max_length=200)


def test_no_rows_is_an_error(cohere: Path, conversations: Write) -> None:
    """An empty file is refused."""
    with pytest.raises(DataError, match="no rows to train on"):
        read(cohere, conversations(0))


def test_pairs_for_sft_are_refused_with_the_line(cohere: Path, pairs: Write) -> None:
    """Rows of the wrong kind are an error that names the line."""
    with pytest.raises(DataError, match="line 1"):
        read(cohere, pairs(3))


def test_a_tokenizer_of_another_model_is_refused(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """More token ids than embeddings: tokenizer and model do not belong together."""
    broken = tmp_path / "broken"
    shutil.copytree(cohere, broken)
    config = json.loads((broken / "config.json").read_text())
    config["vocab_size"] = 300
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"tokenizer has \d+ token ids, .* embeddings for 300"):
        read(broken, conversations(3))


def test_a_broken_tokenizer_is_an_error_of_the_model(
    cohere: Path, conversations: Write, tmp_path: Path
) -> None:
    """A tokenizer file that cannot be read is one message, not a traceback of a library."""
    broken = tmp_path / "broken"
    shutil.copytree(cohere, broken)
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="its tokenizer does not load"):
        read(broken, conversations(3))


def test_rows_are_left_out_with_their_reason(tiny: Any, tmp_path: Path) -> None:
    """Pairs that the template makes equal are counted by language; nothing left is an error."""
    template = tiny.cohere_template.replace("{{ m['content'] }}", "{{ m['content'] | trim }}")
    folder = ModelFolder(tiny.make_model(tmp_path / "m", template=template))
    equal = tiny.pair(1).model_copy(update={"chosen": "a", "rejected": "a\n"})
    write_rows(tmp_path / "rows.jsonl", [tiny.pair(0), equal])
    found = read_data(TrainSpec(method="dpo"), folder, tmp_path / "rows.jsonl", silent)
    assert (found.left_out, len(found.encoded.read)) == ({SAME: 1}, 1)
    assert (found.counts["fr"].used, found.counts["fr"].dropped) == (0, 1)
    write_rows(tmp_path / "rows.jsonl", [equal])
    with pytest.raises(DataError, match=r"no row is left to train on \(1 rows: both answers"):
        read_data(TrainSpec(method="dpo"), folder, tmp_path / "rows.jsonl", silent)


def test_the_end_of_a_turn_that_the_model_does_not_stop_at_is_found(
    tiny: Any, tmp_path: Path
) -> None:
    """A base model's end of text is another token: the trained model must stop at both."""
    folder = tiny.make_model(tmp_path / "m")
    for file, key, value in (
        ("tokenizer_config.json", "eos_token", "<PAD>"),
        ("generation_config.json", "eos_token_id", 0),
    ):
        content = json.loads((folder / file).read_text()) | {key: value}
        (folder / file).write_text(json.dumps(content))
    write_rows(tmp_path / "rows.jsonl", [tiny.conversation(0)])
    found = read_data(TrainSpec(), ModelFolder(folder), tmp_path / "rows.jsonl", silent)
    assert found.new_stops == ("<|END_OF_TURN_TOKEN|>",)
    copy_companions(ModelFolder(folder), tmp_path, "float32", found.stops)
    stops = json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"]
    assert stops == list(found.stops) == [0, 3]


def test_a_date_that_the_template_asks_for_is_stated(tiny: Any, tmp_path: Path) -> None:
    """The rows do not depend on today, and the report says what they hold."""
    dated = "{{ strftime_now('%d %b %Y') }}" + tiny.cohere_template
    folder = ModelFolder(tiny.make_model(tmp_path / "m", template=dated))
    write_rows(tmp_path / "rows.jsonl", [tiny.conversation(0)])
    spec = TrainSpec.model_validate({"chat_template": {"strftime_now": "2026-11-30"}})
    found = read_data(spec, folder, tmp_path / "rows.jsonl", silent)
    text = found.tokenizer.decode(found.encoded.columns["input_ids"][0])
    assert (found.date, text.startswith("30 Nov 2026")) == ("2026-11-30", True)


def test_code_of_a_model_is_never_run(cohere: Path, conversations: Write, tmp_path: Path) -> None:
    """A model of its own architecture is an error of the model, whatever its folder offers."""
    folder = shutil.copytree(cohere, tmp_path / "own")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="without running code from"):
        read(folder, conversations(4))
    assert not (tmp_path / "ran").exists()
