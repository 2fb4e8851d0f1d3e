"""Rates counted otherwise, and how sure the front is."""

import csv
import io
from pathlib import Path

from mixmerge.records.results import Area, Average, Front, LengthControlled, Results
from mixmerge.reporting.cells import Table, to_csv
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.robustness import fronts, otherwise
from mixmerge.reporting.write import write_report


def rows_of(table: Table) -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}


def enriched(study: ReportInput) -> Results:
    """Return the study's results with everything that can be counted otherwise."""
    models = {}
    for name, model in study.results.models.items():
        general = model.general.model_copy(
            update={
                "average": Average(rate=0.61, ci=None),
                "length_controlled": LengthControlled(win_rate=0.55, ci=(0.5, 0.6), slope=0.4),
                "bounds": (0.52, 0.58),
                "absent": {"ci": "too few prompts"},
            }
        )
        safety = model.safety.model_copy(update={"bounds": (0.2, 0.2)})
        models[name] = model.model_copy(update={"general": general, "safety": safety})
    dpo = [name for name in models if name.startswith("dpo")]
    front = Front(
        p_non_dominated=dict.fromkeys(dpo, 0.25),
        areas={
            "all": Area(hypervolume=0.11, ci=(0.1, 0.12)),
            "merges": Area(hypervolume=0, ci=None),
        },
    )
    return study.results.model_copy(update={"models": models, "fronts": {"dpo": front}})


def test_other_ways_to_count_stand_beside_the_rate(study: ReportInput) -> None:
    """Length control, means of languages and bounds keep their numbers; none without need."""
    results = enriched(study)
    table = otherwise(results)
    row = rows_of(table)["dpo-slerp"]
    assert float(row["win_rate"]) == results.models["dpo-slerp"].general.win_rate
    assert float(row["win_rate_length_controlled"]) == 0.55
    assert (row["win_rate_average"], row["win_rate_average_low"]) == ("0.61", "")
    assert (row["win_rate_bounds_low"], row["win_rate_bounds_high"]) == ("0.52", "0.58")
    assert (row["general_missing"], row["safety_missing"]) == ("3", "0")
    assert row["harm_rate_bounds_low"] == ""
    assert table.caption.endswith("No interval: too few prompts.")


def test_results_of_earlier_versions_have_no_such_tables(study: ReportInput) -> None:
    """Without the fields there is nothing to show."""
    assert otherwise(study.results).rows == ()
    assert fronts(study.results).rows == ()


def test_the_front_has_probabilities_and_areas(study: ReportInput, tmp_path: Path) -> None:
    """Every model of the stage has its share of draws; areas are put into words on the page."""
    results = enriched(study)
    table = fronts(results)
    assert len(table.rows) == 7
    assert {row["p_non_dominated"] for row in rows_of(table).values()} == {"0.25"}
    assert "DPO: all models 11.0" in table.caption
    some = {name: results.models[name] for name in ("base", "dpo-15", "dpo-slerp")}
    results = results.model_copy(update={"models": some, "contrasts": ()})
    few = study.model_copy(update={"results": results, "samples": []})
    page = write_report(few, tmp_path / "few")
    html = page.read_text(encoding="utf-8")
    assert "Who is on the front?" in html
    assert "The same rates, counted otherwise" in html
