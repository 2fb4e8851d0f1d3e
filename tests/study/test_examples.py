"""The pages about study files say what the code does, and their examples can be read."""

import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import mixmerge
from mixmerge.errors import SpecError
from mixmerge.evaluation.judges import JudgeSpec
from mixmerge.evaluation.measures import MEASURES
from mixmerge.records import Verdict
from mixmerge.spec_model import one_of
from mixmerge.study.check import parse_study, read_study
from mixmerge.study.checkpoints import Trained
from mixmerge.study.steps import steps
from mixmerge.yaml_file import parse_document

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def page(name: str) -> str:
    """A page of the documentation, on one line."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page in one language, in order."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


PAGES = (
    "../README.md",
    "study.md",
    "evaluate.md",
    "harnesses.md",
    "execute.md",
    "cluster.md",
    "calibration.md",
    "search.md",
)
PARTS_OF_STUDIES = "train.md"
"""A page of which only snippets with checkpoints are about studies."""
SNIPPETS = [
    pytest.param(text, id=f"{name}-{number}")
    for name in (*PAGES, PARTS_OF_STUDIES)
    for number, text in enumerate(blocks(name, "yaml"))
    if "--8<--" not in text
    and not text.startswith("judge:")
    and (name != PARTS_OF_STUDIES or "checkpoints:" in text)
]


@pytest.mark.parametrize("text", SNIPPETS)
def test_sections_on_the_pages_fit_the_demo(text: str, tmp_path: Path) -> None:
    """Each snippet is a whole study, or sections that extend the demo's study."""
    (tmp_path / "testbed.yaml").write_text((EXAMPLES / "testbed.yaml").read_text("utf-8"))
    whole = re.search("^(base|extends):", text, re.MULTILINE)
    (tmp_path / "page.yaml").write_text(text if whole else f"extends: testbed.yaml\n{text}")
    assert read_study(tmp_path / "page.yaml").checkpoints


def test_the_judges_on_the_page_can_be_read() -> None:
    """Each `judge` in a snippet of judges alone is one."""
    judges = [
        judge
        for text in [*blocks("evaluate.md", "yaml"), *blocks("endpoints.md", "yaml")]
        for judge in re.findall(r"^judge:(.*?)(?=^judge:|\Z)", text, re.DOTALL | re.MULTILINE)
        if text.startswith("judge:")
    ]
    assert len(judges) > 5
    for judge in judges:
        TypeAdapter(JudgeSpec).validate_python(parse_document(textwrap.dedent(judge), "page").data)


def test_the_measure_on_the_page_reads_verdicts() -> None:
    """The measure on the page is read by its key, and says what verdicts are worth."""
    module: dict[str, Any] = {}
    exec(blocks("evaluate.md", "python")[0], module)  # noqa: S102 - our own page
    measures = MEASURES | {module["MEASURE"].key: module["MEASURE"]}
    measure = TypeAdapter(one_of(measures, "measure")).validate_python({"pass_rate": 7})
    asked = {"prompt": "p", "cluster": "p", "language": "en", "axis": "style", "judge": "j@1"}
    graded = [Verdict(**asked, outcome="graded", score=score) for score in (6.5, 7, 10)]
    assert [measure.worth(each) for each in graded] == [0, 1, 1]
    assert measure.worth(Verdict(**asked, outcome="yes")) == 1
    assert measure.question("style").bounds == (1, 10)
    info = measure.info("higher", primary=True)
    assert (info.title, info.bounds, info.unit) == ("passed", (0, 1), "percent")


def test_the_page_about_8b_agrees_with_the_plan(tmp_path: Path) -> None:
    """Rows, tokens, steps and models on the page are those of `mixmerge plan`."""
    plan = mixmerge.plan(EXAMPLES / "aya23_8b.yaml", tmp_path)
    kinds = Counter(row.step.split("/")[0] for row in plan.rows)
    trained = {row.cost for row in plan.rows if row.step.startswith("train/")}
    assert trained == {"SFT, 313 steps, all weights", "DPO, 157 steps, all weights"}
    said = page("aya23_8b.md")
    rows, tokens = f"{plan.training_rows:,}", f"{plan.training_tokens.count:,}"
    assert f"Training: {rows} rows over all epochs, about {tokens} tokens" in said
    assert f"{kinds['train']} trainings of 313 or 157 steps" in said
    assert f"{kinds['merge']} merges, {kinds['generate']} models to evaluate" in said
    general, safety = (kinds["judge"] - 1) * 1200 * 2, kinds["judge"] * 5404
    refusals = kinds["judge"] * 250 * 6
    assert f"= {general:,}; safety: 15 × 5,404 = {safety:,}" in said
    assert (
        f"over-refusal: 15 × 1,500 = {refusals:,} | **{general + safety + refusals:,} calls" in said
    )


def test_the_page_about_the_grid_counts_it_right() -> None:
    """Trainings, merges and evaluated models on the page are those of the whole grid."""
    made = steps(read_study(ROOT / "paper" / "studies" / "all.yaml"))
    chosen_on = sum(step.kind == "generate" and "@" in step.name for step in made)
    kinds = Counter(step.kind for step in made)
    said = page("paper.md")
    assert f"{kinds['train']} trainings and {kinds['merge']} merges" in said
    assert f"{kinds['generate'] - chosen_on} models on test items and {chosen_on}" in said


def test_the_page_about_study_files_shows_a_real_message() -> None:
    """The mistake on the page has the line that the demo's file gives it."""
    text = (EXAMPLES / "testbed.yaml").read_text(encoding="utf-8")
    with pytest.raises(SpecError, match=r"study\.yaml, line \d+: ") as caught:
        parse_study(text.replace("sft-0: {train: sft,", "sft-0: {train: stf,"), "study.yaml")
    assert str(caught.value) in page("study.md")


def test_the_grid_at_8b_has_every_checkpoint_and_nothing_of_the_testbed() -> None:
    """The checkpoints are those of the whole grid; rows, recipes and items are made for 8B."""
    whole = read_study(ROOT / "paper" / "studies" / "all.yaml")
    alone = read_study(EXAMPLES / "aya23_8b.yaml")
    grid = read_study(EXAMPLES / "aya23_8b_grid.yaml")
    assert grid.checkpoints == whole.checkpoints
    for section in ("base", "data", "languages", "placement", "evaluate"):
        assert getattr(grid, section) == getattr(alone, section)
    assert grid.selection is not None
    assert not [axis for axis, own in grid.selection.prompts.items() if own.testbed]
    used = {one.mixture for one in grid.checkpoints.values() if isinstance(one, Trained)}
    for name in used:
        same = (grid.mixtures[name].shares, grid.mixtures[name].language_shares)
        assert same == (whole.mixtures[name].shares, whole.mixtures[name].language_shares)
        assert grid.mixtures[name].size == (5000 if name.startswith("only") else 10000)
    for name, recipe in grid.training.items():
        of_8b = recipe.model_dump(exclude={"epochs", "seed"})
        assert of_8b == alone.training[recipe.method].model_dump(exclude={"epochs", "seed"})
        assert recipe.seed == whole.training[name].seed
    settings = [step.settings for step in steps(grid)]
    assert not any("testbed" in asked or "testbed" in asked.values() for asked in settings)


def test_the_page_about_8b_counts_the_grid_right(tmp_path: Path) -> None:
    """Rows, trainings, merges and models of the grid on the page are those of `mixmerge plan`."""
    plan = mixmerge.plan(EXAMPLES / "aya23_8b_grid.yaml", tmp_path)
    kinds = Counter(row.step.split("/")[0] for row in plan.rows)
    chosen_on = sum("@" in row.step for row in plan.rows if row.step.startswith("generate/"))
    said = page("aya23_8b.md")
    assert f"{kinds['train']} trainings of {plan.training_rows:,} rows" in said
    assert f"and {kinds['merge']} merges; {kinds['generate'] - chosen_on} models" in said
    assert f"reported items, {chosen_on} those" in said


OF_THEIR_OWN = {
    "real_model.yaml", "families.yaml", "sizes.yaml", "accept.yaml", "contrasts.yaml",
    "cliff.yaml", "objective-cliff.yaml", "objective-conflict.yaml",
}  # fmt: skip
"""Studies with another base model, or with other data."""


def test_every_experiment_is_in_the_whole_grid() -> None:
    """`all.yaml` has every checkpoint of every study on the shipped base, said in the same way."""
    whole = read_study(ROOT / "paper" / "studies" / "all.yaml")
    for path in sorted((ROOT / "paper" / "studies").glob("*.yaml")):
        if path.name in OF_THEIR_OWN or path.name.startswith("size-"):
            continue
        study = read_study(path)
        for name, checkpoint in study.checkpoints.items():
            assert whole.checkpoints[name] == checkpoint, f"{path.name}: {name}"
        for section in ("data", "mixtures", "training", "evaluate", "selection"):
            own, all_of_it = getattr(study, section), getattr(whole, section)
            if section == "evaluate":  # whether sweeps are measured as a whole is said once
                own = own.model_copy(update={"match_on": all_of_it.match_on})
            if isinstance(own, dict):
                assert own.items() <= all_of_it.items(), f"{path.name}: {section}"
            else:
                assert own == all_of_it, f"{path.name}: {section}"


@pytest.mark.slow
def test_the_languages_that_are_merged_in_pairs_have_rows_enough(tmp_path: Path) -> None:
    """Every kind of mixture of the study of ten languages can be made from what the world has."""
    study = ROOT / "paper" / "studies" / "families.yaml"
    asked = ["mix/only-zh-chats", "mix/safety-15-chats"]
    mixmerge.run(study, tmp_path, only=asked, workers=1)
    made = {folder.name.rsplit("-", 1)[0] for folder in (tmp_path / "mix").iterdir()}
    assert made == {"only-zh-chats", "safety-15-chats"}
    sizes = {len(file.read_text().splitlines()) for file in tmp_path.glob("mix/*/*.jsonl")}
    assert sizes == {700, 1600}
