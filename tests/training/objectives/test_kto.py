"""KTO as an objective: its rows, its KL and its start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import DataError, SpecError
from mixmerge.files import read_rows, write_rows
from mixmerge.records import LabelledCompletion
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.objectives.kto import OBJECTIVE, KtoSettings, arrange, check_rows
from mixmerge.training.run import train

Write = Callable[[str, int], Path]
KTO = TrainSpec(method="kto", max_steps=2, batch_size=4)


def changed(file: Path, **values: Any) -> Path:
    """Change every row of a file of labelled answers."""
    rows = read_rows(file, LabelledCompletion)
    write_rows(file, [row.model_copy(update=values) for row in rows])
    return file


@pytest.mark.parametrize(("label", "word"), [(True, "true"), (False, "false")])
def test_labels_of_one_kind_are_refused(
    label: bool, word: str, cohere: Path, rows_for: Write, tmp_path: Path
) -> None:
    """Good answers alone, or bad ones, have nothing to be contrasted with."""
    rows = changed(rows_for("kto", 6), label=label)
    with pytest.raises(DataError, match=f"kto.jsonl: the `label` of all 6 rows is {word}; good"):
        train(KTO, model=cohere, rows=rows, out=tmp_path / "out")
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize(
    ("value", "seen"), [("'true'", "true"), ("1", "1"), ("null", "nothing"), ("'good'", "good")]
)
def test_a_label_is_true_or_false(
    value: str, seen: str, cohere: Path, rows_for: Write, tmp_path: Path
) -> None:
    """A text or a number in place of a label is named with its line."""
    rows = rows_for("kto", 3)
    text = rows.read_text(encoding="utf-8")
    rows.write_text(text.replace("true", value.replace("'", '"'), 1), encoding="utf-8")
    with pytest.raises(DataError, match=rf"line 2: `label`: .*seen: '?{seen}"):
        train(KTO, model=cohere, rows=rows, out=tmp_path / "out")


def test_an_empty_answer_is_refused(cohere: Path, rows_for: Write, tmp_path: Path) -> None:
    """The message has the line and the field, of the answer as of the prompt."""
    rows = changed(rows_for("kto", 3), completion="")
    with pytest.raises(DataError, match=r"line 1: `completion`: .*at least 1 character"):
        train(KTO, model=cohere, rows=rows, out=tmp_path / "out")
    rows = changed(rows_for("kto", 3), prompt=())
    with pytest.raises(DataError, match=r"line 1: `prompt`: .*at least 1 item"):
        train(KTO, model=cohere, rows=rows, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("method", "given", "takes", "seen", "takers"),
    [
        ("kto", "dpo", "`prompt`, `completion`, `label`", "`prompt`, `chosen`", "`dpo`, `cpo`"),
        ("kto", "sft", "`prompt`, `completion`, `label`", "`messages`", "`sft`"),
        ("simpo", "kto", "`prompt`, `chosen`, `rejected`", "`prompt`, `completion`", "`kto`"),
        ("orpo", "sft", "`prompt`, `chosen`, `rejected`", "`messages`", "`sft`"),
        ("sft", "kto", "`messages`", "`prompt`, `completion`, `label`", "`kto`"),
    ],
)
def test_rows_of_another_objective_are_named(
    method: str,
    given: str,
    takes: str,
    seen: str,
    takers: str,
    cohere: Path,
    rows_for: Write,
    tmp_path: Path,
) -> None:
    """The error says which rows are needed, which these are, and which objective takes them."""
    spec = TrainSpec(method=method, max_steps=1, batch_size=2)
    said = f"line 1: .*`method: {method}` takes rows with {takes}; this row has {seen}.*{takers}"
    with pytest.raises(DataError, match=said):
        train(spec, model=cohere, rows=rows_for(given, 4), out=tmp_path / "out")


def test_weights_out_of_range_are_said(cohere: Path, rows_for: Write, tmp_path: Path) -> None:
    """The report has the ratio of the weighted kinds, and a weight that would balance them."""
    rows = rows_for("kto", 6)
    report = train(KTO, model=cohere, rows=rows, out=tmp_path / "out")
    (note,) = [note for note in report.notes if "recommended" in note]
    assert "4 good and 2 bad answers: with their weights, 2.00 to 1" in note
    assert "`desirable_weight` from 0.50 to 0.67" in note
    columns = {"label": [True, True, True, True, False, False]}
    for weight in (0.5, 0.6, 0.66):
        assert not check_rows(columns, KtoSettings(desirable_weight=weight))
    for own in ({"desirable_weight": 0.45}, {"undesirable_weight": 3.0}):
        assert "recommended" in check_rows(columns, KtoSettings(**own))[0]


def test_each_row_is_read_with_another_answer_of_its_step() -> None:
    """Copies of a row and neighbours by length are not its partner; no answer leaves its step."""
    columns: dict[str, list[Any]] = {"completion_ids": [[n] for n in range(6)], "label": [True] * 6}
    order = np.array([[0, 0, 1, 1], [5, 4, 3, 2]])
    laid = arrange(columns, order)
    assert [ids for (ids,) in laid["completion_ids"]] == order.ravel().tolist()
    assert [ids for (ids,) in laid["KL_completion_ids"]] == [1, 1, 0, 0, 3, 2, 5, 4]


def test_one_row_at_a_time_is_refused(cohere: Path, rows_for: Write, tmp_path: Path) -> None:
    """TRL cannot estimate the KL from one row; the message says what to change."""
    with pytest.raises(SpecError, match=r"`method: kto` needs at least 2 rows.*there are 1"):
        train(
            KTO,
            model=cohere,
            rows=rows_for("kto", 6),
            out=tmp_path / "out",
            placement=TrainPlacement(per_device_batch=1),
        )


def test_kto_must_start_at_half_its_weights() -> None:
    """Any other first loss means that the reference is another model."""
    check, plain = OBJECTIVE.check_first_loss, KtoSettings()
    check(0.5, "float32", plain)
    check(0.52, "bfloat16", plain)
    check(0.9, "float32", KtoSettings(desirable_weight=2.0))
    with pytest.raises(RuntimeError, match=r"KTO began with a loss of 0\.5200 instead of 0\.5000"):
        check(0.52, "float32", plain)
    with pytest.raises(RuntimeError, match=r"1\.1000 instead of one from 0\.5000 to 1\.0000"):
        check(1.1, "float32", KtoSettings(undesirable_weight=2.0))
