"""The tables: values from the results, files that read back."""

import csv
import io
from collections.abc import Callable

import pytest

from mixmerge.reporting.cells import Cell, Column, Table, to_csv, to_markdown
from mixmerge.reporting.costs import (
    cost_sentences,
    kind_table,
    model_table,
    own_seconds,
    total_seconds,
)
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.tables import (
    all_tables,
    by_language,
    contrasts,
    every_model,
    language_tables,
)


def rows_of(table: Table) -> list[dict[str, str]]:
    """Read a table back from its CSV with the standard library's reader."""
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_model_table_is_table_1(study: ReportInput) -> None:
    """Values, relative changes and gains over the mix equal those computed from the results."""
    rows = {row["model"]: row for row in rows_of(every_model(study.results))}
    assert len(rows) == 15
    slerp = study.results.models["dpo-slerp"].axes["general"]
    row = rows["dpo-slerp"]
    assert float(row["general"]) == slerp.value
    assert (float(row["general_low"]), float(row["general_high"])) == slerp.ci
    assert float(row["general_gain"]) == pytest.approx(0.780 - 0.710)
    # The paper's bracket: change of the mix minus change of the merge, + is safer.
    assert float(row["safety_gain"]) == pytest.approx((0.227 - 0.211) / 0.5)
    assert float(row["safety_relative_change"]) == pytest.approx((0.211 - 0.5) / 0.5)
    assert "over_refusal_gain" not in row
    assert rows["dpo-15"]["general_gain"] == rows["base"]["general_gain"] == ""
    assert rows["base"]["safety_relative_change"] == ""
    kind = rows["dpo-15"]["kind"].replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert (kind, rows["dpo-0"]["kind"]) == (
        "Mixture, 85 % general, 15 % safety",
        "Expert, general",
    )


def test_model_table_without_relative_change(study: ReportInput) -> None:
    """Where the base's value is zero, relative changes are absent and values are still there."""
    changed = {}
    for name, model in study.results.models.items():
        safety = model.axes["safety"].model_copy(update={"change_from_base": None})
        changed[name] = model.model_copy(update={"axes": {**model.axes, "safety": safety}})
    row = rows_of(every_model(study.results.model_copy(update={"models": changed})))[1]
    assert not {"safety_relative_change", "safety_gain"} & set(row)
    assert float(row["safety"]) > 0


def test_scores_keep_their_unit(make_given: Callable[..., ReportInput]) -> None:
    """A grade from 1 to 10 is no percent, nor are its gains, and + is better in any direction."""
    results = make_given(["tone", "safety"]).results
    table = every_model(results)
    texts = {row[0].text: {c.key: cell for c, cell in zip(table.columns, row, strict=True)}
             for row in table.rows}  # fmt: skip
    assert texts["slerp"]["tone"].text == "6.70"
    assert texts["slerp"]["tone_gain"].text == "+0.70"
    assert texts["coder"]["safety_gain"].text == "−47.6"
    assert texts["mixed"]["kind"].text == "Given model"
    decided = contrasts(results)
    assert [column.title for column in decided.columns][2:5:2] == [
        "tone: mean score", "safety: harmful answers, points",
    ]  # fmt: skip


def test_contrast_table_has_one_row_per_merge(study: ReportInput) -> None:
    """Every merge has its differences, intervals, adjusted p and decision."""
    table = contrasts(study.results)
    rows = {row["model"]: row for row in rows_of(table)}
    assert list(rows) == [n for n, m in study.results.models.items() if m.kind == "merge"]
    ties = rows["dpo-ties"]
    assert float(ties["general_difference"]) == pytest.approx(0.636 - 0.710)
    assert float(ties["safety_difference_high"]) == pytest.approx(0.174 - 0.227 + 0.024)
    assert ties["decision"] == "trades"
    assert rows["sft-slerp"]["general_p_adjusted"] == "0.4"
    assert (
        "The win rate: higher is better, margin 3 points; the share of harmful answers: lower"
        in table.caption
    )


def test_language_tables_mark_the_best_and_name_the_worst(study: ReportInput) -> None:
    """Bold is the best model of a language, worst the language where a model does worst."""
    table = by_language(study.results, "dpo", "general", study.languages)
    values = {
        row[0].text: study.results.models[row[0].text].axes["general"].by_language
        for row in table.rows
    }
    assert "base" not in values  # one half by definition
    for column, language in enumerate(study.languages, 1):
        bold = [row[0].text for row in table.rows if row[column].emphasis]
        assert bold == [max(values, key=lambda name: values[name][language].value)]
    for row in table.rows:
        own = values[row[0].text]
        assert row[-1].text == min(own, key=lambda language: own[language].value)


@pytest.mark.parametrize("relative", [False, True])
def test_tables_of_harm_prefer_low(study: ReportInput, relative: bool) -> None:
    """Where lower is better the lowest value is bold, and the base model has a row of values."""
    table = by_language(study.results, "sft", "safety", study.languages, relative=relative)
    column = [row[1] for row in table.rows]
    values = [float(cell.value) for cell in column if cell.value is not None]
    assert [cell.value for cell in column if cell.emphasis] == [min(values)]
    assert (table.rows[0][0].text == "base") == (not relative)


def test_a_language_without_data_is_never_the_worst(study: ReportInput) -> None:
    """A language that no model was measured in has no column; one language has no tables."""
    table = by_language(study.results, "sft", "general", [*study.languages, "tl"])
    assert "tl" not in {column.key for column in table.columns}
    assert "tl" not in {row[-1].text for row in table.rows}
    assert language_tables(study.results, ["en"]) == []
    assert len(language_tables(study.results, study.languages)) == 8


def test_seconds_count_each_ancestor_once(study: ReportInput) -> None:
    """A DPO merge costs its two DPO and two SFT trainings and itself; measuring is not counted."""
    assert own_seconds(study, "dpo-slerp") == pytest.approx(0.4)
    assert total_seconds(study, "dpo-slerp") == pytest.approx(4 * 17.2 + 0.4)
    assert total_seconds(study, "sft-15") == pytest.approx(17.2)
    diamond = study.model_copy(
        update={"parents": {**study.parents, "dpo-0": ["sft-0"], "dpo-100": ["sft-0"]}}
    )
    assert total_seconds(diamond, "dpo-slerp") == pytest.approx(3 * 17.2 + 0.4)


def test_seconds_are_unknown_without_parents_or_records(study: ReportInput) -> None:
    """A total that would leave out an ancestor is not shown."""
    assert total_seconds(study.model_copy(update={"parents": {}}), "dpo-slerp") is None
    fewer = [step for step in study.steps if step.model != "sft-100"]
    assert total_seconds(study.model_copy(update={"steps": fewer}), "dpo-slerp") is None
    assert total_seconds(study.model_copy(update={"steps": fewer}), "dpo-15") is not None


def test_gpu_hours_are_shown_where_there_were_gpus(study: ReportInput) -> None:
    """Time of each step times its devices, parents included; no column in a study without them."""
    assert "gpu_hours" not in {column.key for column in model_table(study).columns}
    assert "gpu_hours" not in {column.key for column in kind_table(study.steps).columns}
    steps = [
        step.model_copy(update={"gpus": 8, "seconds": 900.0}) if step.kind == "train" else step
        for step in study.steps
    ]
    given = study.model_copy(update={"steps": steps})
    table = model_table(given)
    place = [column.key for column in table.columns].index("gpu_hours")
    shown = {row[0].text: row[place] for row in table.rows}
    assert shown["sft-15"].value == pytest.approx(2)
    assert shown["dpo-slerp"].value == pytest.approx(4 * 2)
    assert shown["dpo-slerp"].text == "8"
    assert "the devices that each was given" in table.caption
    kinds = kind_table(steps)
    hours = {row[0].text: row[2 + 1].text for row in kinds.rows}
    trained = sum(step.kind == "train" for step in steps)
    assert hours["train"] == f"{2 * trained:.3g}"
    assert {hours[kind] for kind in hours if kind != "train"} == {"–"}


def test_cost_sentence_compares_tokens(study: ReportInput) -> None:
    """A merge of two experts of the mix's size stands on twice its tokens."""
    sft, dpo = cost_sentences(study)
    assert sft.startswith("SFT: ")
    assert "2.00 times" in sft
    assert "2.00 times" in dpo


def test_csv_keeps_full_precision_and_quotes_text() -> None:
    """Numbers are not rounded; commas, quotes and line breaks survive."""
    hostile = 'a,"b"\nc'
    table = Table(
        "t", "T", "C.",
        (Column("name", "Name", numeric=False), Column("x", "X", with_ci=True)),
        ((Cell(hostile, hostile), Cell("33.3 %", 1 / 3, (0.1, 2 / 3))),),
    )  # fmt: skip
    (row,) = rows_of(table)
    assert row["name"] == hostile
    assert float(row["x"]) == 1 / 3
    assert float(row["x_high"]) == 2 / 3


def test_markdown_cells_cannot_break_the_table() -> None:
    """A bar or a line break in a name stays inside its cell."""
    column = Column("name", "Name", numeric=False)
    text = to_markdown(Table("t", "T", "C.", (column, column), ((Cell("a|b\nc"), Cell("d")),)))
    assert "| a\\|b c | d |" in text
    assert text.startswith("## T\n\n| Name | Name |\n| --- | --- |\n")


def test_an_empty_study_has_no_tables(study: ReportInput) -> None:
    """Tables without a row are not written."""
    results = study.results.model_copy(
        update={"models": {}, "contrasts": (), "decisions": (), "costs": {}}
    )
    empty = study.model_copy(update={"results": results, "steps": []})
    found = all_tables(empty)
    assert not any(found.values())
