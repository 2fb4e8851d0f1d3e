"""Reading the rows of a training: length, vocabulary, counts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import DataError, ModelError, SpecError
from mixmerge.progress import silent
from mixmerge.records import ModelFolder
from mixmerge.training import TrainSpec
from mixmerge.training.data import TrainingData, read_data

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
