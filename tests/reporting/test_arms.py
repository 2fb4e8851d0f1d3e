"""The arms of a study: the best model of each, its costs, and the words for it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mixmerge.records.results import Costs, ModelResult, Results
from mixmerge.reporting.advice import tell
from mixmerge.reporting.arms import arm_rows, arm_sentences, arm_table
from mixmerge.reporting.figures import COLOURS, MARKERS
from mixmerge.reporting.formats import NARROW_SPACE
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.models import EXTRA_MARKS, arm_name, mark
from mixmerge.reporting.tables import all_tables, contrasts, every_model
from mixmerge.reporting.terminal import closing, result_table
from mixmerge.reporting.verdict import conclude

ARMS = {"sft-ties": "distil", "sft-dare-ties": "merge then distil", "dpo-ties": "temperature mix"}


def with_arms(results: Results, arms: Mapping[str, str] = ARMS, **more: object) -> Results:
    """Return results in which some models stand for other arms; the trained ones are mixtures."""
    models = {
        name: ModelResult.model_validate(
            {**model.model_dump(), "arm": arms[name], "kind": "mixture", "method": None}
        )
        if name in arms
        else model
        for name, model in results.models.items()
    }
    return results.model_copy(update={"models": models, **more})


def cell(results: Results, row: int, key: str) -> tuple[str, str]:
    """Return the text and the second line of a cell of the table of arms."""
    table = arm_table(results)
    found = table.rows[row][[column.key for column in table.columns].index(key)]
    return found.text, found.interval


def test_mixing_and_merging_alone_need_no_table(study: ReportInput) -> None:
    """A study without students or named arms has neither table nor sentences of arms."""
    assert arm_rows(study.results) == []
    assert arm_sentences(study.results) == []
    assert all(table.name != "arms" for table in all_tables(study)["verdict"])


def test_each_arm_shows_its_best_model(study: ReportInput) -> None:
    """The best-supported merge stands for merging; experts follow without a test."""
    rows = arm_rows(with_arms(study.results))
    assert [(row.arm, row.model, row.of) for row in rows if row.baseline == "sft-15"] == [
        ("mix", "sft-15", 1),
        ("single expert", "sft-100", 2),
        ("merge", "sft-linear", 2),
        ("distil", "sft-ties", 1),
        ("merge then distil", "sft-dare-ties", 1),
    ]
    tested = {row.arm: row.comparison is not None for row in rows}
    assert not tested["mix"]
    assert not tested["single expert"]
    assert tested["temperature mix"]


def test_what_the_study_chose_stands_for_its_arm(study: ReportInput) -> None:
    """A model selected on development items goes before one that measures better here."""
    results = with_arms(study.results)
    chosen = results.models["sft-slerp"].model_copy(update={"candidates": 4, "method": None})
    models = {**results.models, "sft-slerp": chosen}
    row = arm_rows(results.model_copy(update={"models": models}))[2]
    assert (row.model, row.of, row.chosen) == ("sft-slerp", 1, 4)


def test_the_best_of_several_has_a_wider_interval(study: ReportInput) -> None:
    """Its interval covers both merges together; that of an only model is the contrast's."""
    results = with_arms(study.results)
    contrast = results.contrast("sft-linear", "sft-15", "general")
    assert contrast
    assert contrast.ci
    table = arm_table(results)
    column = [each.key for each in table.columns].index("general_difference")
    wide, narrow = (table.rows[row][column].ci for row in (2, 3))
    assert wide
    # The quantiles of Student's t with 199 degrees of freedom at 0.9875 and 0.975, from a table.
    assert (wide[1] - wide[0]) / (contrast.ci[1] - contrast.ci[0]) == pytest.approx(
        2.2584 / 1.9720, rel=1e-3
    )
    only = results.contrast("sft-ties", "sft-15", "general")
    assert only
    assert narrow == only.ci


def test_costs_are_multiples_of_the_baselines(study: ReportInput) -> None:
    """Rows within 5 % are equal data and FLOPs within 5 % equal compute, and no others."""
    own = study.results.costs["sft-15"]
    flops = own.flops or 0
    costs = {
        **study.results.costs,
        "sft-ties": Costs(
            training_tokens=own.training_tokens,
            training_rows=round(1.04 * own.training_rows),
            generated_tokens=70,
            flops=3 * flops,
        ),
        "sft-dare-ties": Costs(
            training_tokens=1, training_rows=2 * own.training_rows, flops=round(0.96 * flops)
        ),
    }
    results = with_arms(study.results, costs=costs)
    assert cell(results, 3, "training_rows") == (f"10{NARROW_SPACE}400", "1.04 times")
    assert cell(results, 3, "generated_tokens") == ("70", "")
    equal = [[cell(results, row, key)[0] for row in (2, 3, 4)] for key in _EQUAL]
    assert equal == [["no", "yes", "no"], ["no", "no", "yes"]]
    told = arm_sentences(results)
    assert told[0].startswith(
        f"At equal data (training rows within 5{NARROW_SPACE}% of sft-15's), distil (sft-ties) "
    )
    assert " of sft-15's), merge then distil (sft-dare-ties) " in told[1]
    near = f"within 5{NARROW_SPACE}% of dpo-15's"
    assert told[2:] == [
        f"No arm stands at equal data (training rows {near}) or at equal compute (FLOPs {near})."
    ]


_EQUAL = ("equal_data", "equal_compute")


def test_unknown_costs_are_not_equal(study: ReportInput) -> None:
    """Without costs, the table says nothing of equality and there is no sentence."""
    results = with_arms(study.results, costs={})
    assert arm_sentences(results) == []
    keys = [column.key for column in arm_table(results).columns]
    assert not {*_EQUAL, "flops"} & {*keys}


@pytest.mark.parametrize(
    ("arm", "claim"),
    [
        ("distil", "Distilling"),
        ("merge then distil", "Merging, then distilling,"),
        ("temperature mix", "temperature mix"),
    ],
)
def test_the_verdict_names_the_arm(study: ReportInput, arm: str, claim: str) -> None:
    """The answer says what one does to get the best-supported model, or the arm's own name."""
    before = conclude(study.results)
    best = before.stages["dpo"].best or before.stages["sft"].best
    assert best
    found = conclude(with_arms(study.results, {each.a: arm for each in study.results.decisions}))
    assert before.headline.startswith("Merging ")
    assert found.headline == before.headline.replace("Merging", claim)
    assert "models against" in found.stages["sft"].sentence


def test_arms_against_one_baseline_are_one_question(study: ReportInput) -> None:
    """The answer does not tell students by their stage from merges of the same baseline."""
    results = with_arms(study.results, {"dpo-slerp": "distil"})
    decisions = tuple(
        each.model_copy(
            update={"b": "sft-15", "decision": "beats" if each.a == "dpo-slerp" else "undecided"}
        )
        for each in results.decisions
    )
    baselines = {"sft": "sft-15", "dpo": "sft-15"}
    results = results.model_copy(update={"decisions": decisions, "baselines": baselines})
    assert conclude(results).headline == "Distilling beats mixing."
    assert [row.arm for row in arm_rows(results)] == ["mix", "single expert", "merge", "distil"]


def test_several_arms_that_all_lose_are_named_together(study: ReportInput) -> None:
    """The answer does not blame merging alone."""
    lost = tuple(each.model_copy(update={"decision": "loses"}) for each in study.results.decisions)
    headline = conclude(with_arms(study.results, decisions=lost)).headline
    assert headline == "Mixing beats every arm; every model that was compared loses."


def test_tables_terminal_and_advice_name_the_arm(study: ReportInput) -> None:
    """The arm is in the table of models, in the terminal's, and beside the model to take."""
    results = with_arms(study.results)
    kinds = {row[0].text: row[-1].text for row in every_model(results).rows}
    assert kinds["sft-ties"].startswith("Distilled")
    assert kinds["dpo-ties"].startswith("temperature mix")
    assert contrasts(results).title == "Each model against the baseline"
    assert [column.header for column in result_table(results).columns][1] == "Arm"
    told = tell(results)
    assert told
    assert results.advice
    choice = results.advice.choice or ""
    assert f"`{choice}` ({results.models[choice].arm})" in told.take.sentence
    assert any("equal data" in line.plain for line in closing(results, Path("run")))


def test_arms_have_marks_of_their_own(study: ReportInput) -> None:
    """Students always look alike, other arms take the next marks, and each mark can be drawn."""
    results = with_arms(study.results)
    names = ("sft-ties", "sft-dare-ties", "dpo-ties", "sft-linear", "sft-0", "sft-15", "base")
    assert [mark(results, name) for name in names] == [
        "arm-1", "arm-2", "arm-3", "merge", "expert", "mixture", "base",
    ]  # fmt: skip
    assert arm_name(results, "dpo-ties") == "temperature mix"
    assert {*EXTRA_MARKS} < COLOURS.keys() == MARKERS.keys()
    assert len({*COLOURS.values()}) == len({*MARKERS.values()}) == len(COLOURS)
