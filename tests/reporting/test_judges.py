"""The judge card in tables, notices, the page and the terminal."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from mixmerge.records.judge_card import (
    Accuracy,
    AxisTrial,
    CheckedContrast,
    CorrectedRate,
    JudgeCard,
    Probe,
    Statistic,
    SwapConsistency,
)
from mixmerge.reporting.cells import Table, to_csv
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_notices, judge_tables
from mixmerge.reporting.terminal import trial_table
from mixmerge.reporting.write import write_report

FLIP = "dpo-ties against dpo-15: this conclusion could be the judge's error."
GRAVE = "The judge cannot be told from chance: <b>J</b> = 0.02."


def measured(value: float, half: float | None = 0.1, n: int = 120) -> Statistic:
    return Statistic(value=value, ci=None if half is None else (value - half, value + half), n=n)


def accuracy(sensitivity: float, n: int = 120) -> Accuracy:
    half = 0.1 if n > 50 else None
    return Accuracy(
        n=n,
        missing=3,
        prevalence=0.25,
        sensitivity=measured(sensitivity, half),
        specificity=measured(0.75, half),
        agreement=measured(0.7, half),
    )


def trial(axis: str, grade: str, warnings: tuple[str, ...]) -> AxisTrial:
    compares = axis == "general"
    return AxisTrial.model_validate(
        {
            "judge": "small-judge (quality@1)",
            "truth": "rules@1",
            "grade": grade,
            "accuracy": accuracy(0.6),
            "confusion": {"yes": {"yes": 3}},
            "youden": measured(0.35),
            "kappa": measured(-0.12),
            "alpha": None,
            "swap": SwapConsistency(consistent=measured(0.4), first_place=measured(0.9))
            if compares
            else None,
            "length_slope": measured(0.05),
            "by_language": {"en": accuracy(0.8), "ar": accuracy(0.3, n=20)},
            "by_category": {"violence": accuracy(0.5)},
            "probes": [
                Probe(
                    name="apology",
                    n=18,
                    missing=2,
                    fooled=measured(0.5, None, 18),
                    asks="an apology before a harmful answer: still harmful",
                )
            ],
            "warnings": warnings,
        }
    )


@pytest.fixture
def card() -> JudgeCard:
    """Return a card with a useless judge, a doubtful one, and a conclusion that may flip."""
    return JudgeCard(
        seed=0,
        questions=50,
        axes={
            "general": trial("general", "useless", (GRAVE,)),
            "safety": trial("safety", "doubtful", ("Fooled 9 times of 18 by an apology.",)),
        },
        corrected=(
            CorrectedRate(
                model="dpo-ties", axis="general", raw=0.64, labelled=50, ppi=measured(0.55),
                rogan_gladen=None,
            ),
            CorrectedRate(
                model="dpo-ties", axis="safety", raw=0.17, labelled=50, ppi=measured(0.3, None),
                rogan_gladen=measured(0.28), note="no interval: too few",
            ),
        ),
        contrasts=(
            CheckedContrast(
                a="dpo-ties", b="dpo-15", axis="safety", raw=-0.06, raw_ci=(-0.09, -0.03),
                corrected=measured(0.01), verdict="unsure", note=FLIP,
            ),
            CheckedContrast(
                a="dpo-slerp", b="dpo-15", axis="general", raw=0.07, raw_ci=(0.02, 0.12),
                corrected=None, verdict="unchecked",
            ),
        ),
    )  # fmt: skip


def rows_of(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_every_number_of_the_card_is_in_a_table(card: JudgeCard) -> None:
    """Tables hold the card's numbers in full, and nothing where the card has nothing."""
    tables = {table.name: rows_of(table) for table in judge_tables(card)}
    general, safety = tables["judges"]
    assert (general["judge"], general["grade"]) == ("small-judge (quality@1)", "useless")
    assert float(general["sensitivity"]) == 0.6
    assert float(general["sensitivity_high"]) == pytest.approx(0.7)
    agreed, alone = tables["judge-agreement"]
    assert alone["swap_consistency"] == ""
    assert not {"alpha", "alpha_of_panel"} & set(agreed)  # no judge has one
    assert float(agreed["first_place"]) == 0.9
    assert safety["grade"] == "doubtful"
    languages = {(row["axis"], row["language"]): row for row in tables["judge-by-language"]}
    assert float(languages["safety", "ar"]["sensitivity"]) == 0.3
    assert languages["safety", "ar"]["sensitivity_low"] == ""
    assert {row["category"] for row in tables["judge-by-category"]} == {"violence"}
    assert [row["probe"] for row in tables["judge-probes"]] == ["Apology", "Apology"]
    assert float(tables["judge-probes"][0]["fooled"]) == 0.5


def test_corrected_rates_stand_beside_the_judged_ones(card: JudgeCard) -> None:
    """One row a model; a comparison has no Rogan-Gladen, and notes are in the caption."""
    table = next(table for table in judge_tables(card) if table.name == "judge-corrected")
    (row,) = rows_of(table)
    assert (float(row["general_judged"]), float(row["general_ppi"])) == (0.64, 0.55)
    assert float(row["safety_rogan_gladen"]) == 0.28
    assert row["safety_ppi_low"] == ""
    assert "general_rogan_gladen" not in row
    assert table.caption.endswith("no interval: too few.")


def test_conclusions_are_marked_as_what_they_are(card: JudgeCard) -> None:
    """A conclusion within the judge's error is said to be so, in words."""
    rows = rows_of(next(t for t in judge_tables(card) if t.name == "judge-checks"))
    assert [row["verdict"] for row in rows] == ["could be the judge’s error", "not checked"]
    assert float(rows[0]["judged"]) == -0.06


def test_what_flips_and_who_is_useless_comes_first(card: JudgeCard) -> None:
    """Notices name useless judges and endangered conclusions, and nothing less grave."""
    notices = judge_notices(card)
    assert notices == [
        f"general: the judge small-judge (quality@1) is useless. {GRAVE}",
        FLIP,
    ]
    assert judge_notices(None) == []
    assert judge_tables(None) == []


def test_the_page_warns_above_the_verdict(
    card: JudgeCard, study: ReportInput, folder: Path, tmp_path: Path
) -> None:
    """A notice stands above the verdict, escaped, and a section holds the tables; else neither."""
    some = {name: study.results.models[name] for name in ("base", "sft-15", "sft-slerp")}
    results = study.results.model_copy(update={"models": some, "contrasts": (), "decisions": ()})
    tried = study.model_copy(update={"judge_card": card, "results": results, "samples": []})
    page = write_report(tried, tmp_path / "tried")
    html = page.read_text(encoding="utf-8")
    assert html.index("Do not trust these verdicts") < html.index("Mix or merge?")
    assert "&lt;b&gt;J&lt;/b&gt;" in html
    assert "<b>J</b>" not in html
    assert html.count('id="judges"') == 1
    assert "Do the conclusions stand?" in html
    assert (tmp_path / "tried" / "tables" / "judge-probes.csv").is_file()
    plain = (folder / "report.html").read_text(encoding="utf-8")
    assert "here no judge was put on trial" in plain
    assert 'id="judges"' not in plain
    assert "Do not trust" not in plain


def test_the_terminal_says_the_grade(card: JudgeCard) -> None:
    """One line an axis with the grade and the main numbers."""
    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(trial_table(card))
    text = screen.export_text()
    assert "useless" in text
    assert "doubtful" in text
    assert "60.0" in text
