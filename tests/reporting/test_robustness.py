"""Rates counted otherwise, and how sure the front is."""

import csv
import io
from pathlib import Path

from mixmerge.records.results import Average, Front, LengthControlled, Results, Volume
from mixmerge.reporting.cells import Table, to_csv
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.tables import fronts, otherwise
from mixmerge.reporting.write import write_report


def rows_of(table: Table) -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(table)))}


def enriched(study: ReportInput) -> Results:
    """Return the study's results with everything that can be counted otherwise."""
    models = {}
    for name, model in study.results.models.items():
        general = model.axes["general"].model_copy(
            update={
                "average": Average(value=0.61, ci=None),
                "length_controlled": LengthControlled(value=0.55, ci=(0.5, 0.6), slope=0.4),
                "bounds": (0.52, 0.58),
                "absent": {"ci": "too few prompts"},
            }
        )
        models[name] = model.model_copy(update={"axes": {**model.axes, "general": general}})
    dpo = [name for name in models if name.startswith("dpo")]
    front = Front(
        p_non_dominated=dict.fromkeys(dpo, 0.25),
        volumes={
            "all": Volume(hypervolume=0.11, ci=(0.1, 0.12)),
            "merges": Volume(hypervolume=0, ci=None),
        },
    )
    return study.results.model_copy(update={"models": models, "fronts": {"dpo": front}})


def test_other_ways_to_count_stand_beside_the_value(study: ReportInput) -> None:
    """Length control, means of languages and bounds keep their numbers, with reasons for gaps."""
    results = enriched(study)
    table = otherwise(results, "general")
    row = rows_of(table)["dpo-slerp"]
    assert float(row["value"]) == results.models["dpo-slerp"].axes["general"].value
    assert float(row["length_controlled"]) == 0.55
    assert (row["average"], row["average_low"]) == ("0.61", "")
    assert (row["bounds_low"], row["bounds_high"]) == ("0.52", "0.58")
    assert row["missing"] == "3"
    assert table.caption.endswith("No interval: too few prompts.")


def test_without_other_ways_to_count_there_is_no_table(study: ReportInput) -> None:
    """An axis with every verdict and no other estimate has nothing to show; nor has no front."""
    assert otherwise(study.results, "safety").rows == ()
    assert fronts(study.results).rows == ()
    assert {column.key for column in otherwise(study.results, "general").columns} == {
        "model", "value", "bounds", "missing",
    }  # fmt: skip


def test_the_front_has_probabilities_and_volumes(study: ReportInput, tmp_path: Path) -> None:
    """Every model of the stage has its share of draws; volumes are put into words on the page."""
    results = enriched(study)
    table = fronts(results)
    assert len(table.rows) == 7
    assert {row["p_non_dominated"] for row in rows_of(table).values()} == {"0.25"}
    narrow = "\N{NARROW NO-BREAK SPACE}%"
    assert f"DPO: all models 11.0{narrow} (10.0 to 12.0), merges 0.0{narrow}." in table.caption
    assert "Share of the area of all values that is worse than some model: " in table.caption
    some = {name: results.models[name] for name in ("base", "dpo-15", "dpo-slerp")}
    results = results.model_copy(update={"models": some, "contrasts": (), "decisions": ()})
    few = study.model_copy(update={"results": results, "samples": []})
    page = write_report(few, tmp_path / "few")
    html = page.read_text(encoding="utf-8")
    assert "Who is on the front?" in html
    assert "general: win rate, counted otherwise" in html
