"""The tables: values from the results, files that read back."""

import csv
import io

import pytest

from mixmerge.reporting.cells import Cell, Column, Table, to_csv, to_markdown
from mixmerge.reporting.costs import cost_sentences, own_seconds, total_seconds
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.languages import (
    general_by_language,
    harm_by_language,
    harm_change_by_language,
)
from mixmerge.reporting.tables import all_tables, contrasts, models
from mixmerge.reporting.verdict import conclude


def rows_of(table: Table) -> list[dict[str, str]]:
    """Read a table back from its CSV with the standard library's reader."""
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_model_table_is_table_1(study: ReportInput) -> None:
    """Rates, relative changes and gains over the mix equal those computed from the results."""
    rows = {row["model"]: row for row in rows_of(models(study.results, study.baselines))}
    assert len(rows) == 15
    slerp, mix = study.results.models["dpo-slerp"], study.results.models["dpo-15"]
    row = rows["dpo-slerp"]
    assert float(row["win_rate"]) == slerp.general.win_rate
    assert (float(row["win_rate_low"]), float(row["win_rate_high"])) == slerp.general.ci
    assert float(row["win_rate_gain"]) == pytest.approx(0.780 - 0.710)
    # The paper's bracket: change of the mix minus change of the merge, + is safer.
    assert slerp.safety.relative_change is not None
    assert mix.safety.relative_change is not None
    assert float(row["harm_relative_gain"]) == pytest.approx((0.227 - 0.211) / 0.5)
    assert rows["dpo-15"]["win_rate_gain"] == rows["base"]["win_rate_gain"] == ""
    assert rows["base"]["harm_relative_change"] == ""


def test_model_table_without_relative_change(study: ReportInput) -> None:
    """Where the base is never harmful, relative changes are absent and rates are still there."""
    changed = {}
    for name, model in study.results.models.items():
        safety = model.safety.model_copy(update={"relative_change": None, "ci": None})
        changed[name] = model.model_copy(update={"safety": safety})
    results = study.results.model_copy(update={"models": changed})
    row = rows_of(models(results, study.baselines))[1]
    assert row["harm_relative_change"] == row["harm_relative_change_low"] == ""
    assert row["harm_relative_gain"] == ""
    assert float(row["harm_rate"]) > 0


def test_contrast_table_has_one_row_per_merge(study: ReportInput) -> None:
    """Every merge has its differences, intervals, adjusted p and decision."""
    table = contrasts(study.results, conclude(study.results, study.baselines))
    rows = {row["merge"]: row for row in rows_of(table)}
    assert list(rows) == [n for n, m in study.results.models.items() if m.kind == "merge"]
    ties = rows["dpo-ties"]
    assert float(ties["win_rate_difference"]) == pytest.approx(0.636 - 0.710)
    assert float(ties["harm_rate_difference_high"]) == pytest.approx(0.174 - 0.227 + 0.024)
    assert ties["decision"] == "trades"
    assert rows["sft-slerp"]["win_rate_p_adjusted"] == "0.4"


def test_language_tables_mark_the_best_and_name_the_worst(study: ReportInput) -> None:
    """Bold is the best model of a language, worst the language where a model does worst."""
    table = general_by_language(study.results, "dpo", study.languages)
    models_ = [row[0].text for row in table.rows]
    for column, language in enumerate(study.languages, 1):
        rates = {
            name: study.results.models[name].general.by_language[language].win_rate
            for name in models_
        }
        bold = [row[0].text for row in table.rows if row[column].emphasis]
        assert bold == [max(rates, key=lambda name: rates[name])]
    for row in table.rows:
        scores = study.results.models[row[0].text].general.by_language
        assert row[-1].text == min(scores, key=lambda language: scores[language].win_rate)


def test_harm_tables_prefer_low(study: ReportInput) -> None:
    """In tables of harm the lowest value is bold and the highest language is the worst."""
    for make in (harm_by_language, harm_change_by_language):
        table = make(study.results, "sft", study.languages)
        column = [row[1] for row in table.rows]
        values = [float(cell.value) for cell in column if cell.value is not None]
        assert [cell.value for cell in column if cell.emphasis] == [min(values)]
    assert harm_by_language(study.results, "sft", study.languages).rows[0][0].text == "base"


def test_a_language_without_data_is_absent(study: ReportInput) -> None:
    """A language that no model was measured in is a dash and never the worst."""
    table = general_by_language(study.results, "sft", [*study.languages, "tl"])
    assert {row[7].text for row in table.rows} == {"–"}
    assert "tl" not in {row[-1].text for row in table.rows}
    assert {row["tl"] for row in rows_of(table)} == {""}


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
    results = study.results.model_copy(update={"models": {}, "contrasts": (), "costs": {}})
    empty = study.model_copy(update={"results": results, "steps": []})
    assert all_tables(empty, conclude(results, {})) == []
