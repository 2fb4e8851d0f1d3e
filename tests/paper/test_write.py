"""Tests of paper.write: the page with its tables and figures."""

import csv
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest
from paper.ablations import Contrast, contrast_table
from paper.scores import Findings, Mechanism, Sweep
from paper.write import publish, write_page
from tests.paper.worlds import LANGUAGES, published_world, scores

from mixmerge.reporting.cells import ABSENT

WEIGHTS = (0.1, 0.5, 0.9)


def findings() -> Findings:
    """A whole page's worth, with hostile text where text comes from outside."""
    tried: dict[str, tuple[float, ...]] = {
        f"sft-linear-{weight:g}": (weight,) for weight in WEIGHTS
    }
    rates = {name: (0.7 - weight[0] / 5, 0.9 - weight[0]) for name, weight in tried.items()}
    return Findings(
        seeds=[0, 1, 2],
        languages=[*LANGUAGES],
        test=published_world(),
        selection=scores({"base": (0.5, 0.8), "sft-15": (0.6, 0.5), **rates}),
        sweeps={"sft-linear": Sweep(tried, ["sft-linear-0.5", "sft-linear-0.5", "sft-linear-0.9"])},
        mechanisms=[
            Mechanism("sft", seed, {"opposed signs": 0.4, "general gain kept": 0.5,
                                    "safety gain kept": 0.1 * seed})
            for seed in range(3)
        ]
        + [
            Mechanism(f"{a}-{b}", seed, {"cosine": 0.1 * place, "opposed signs": 0.5 - 0.01 * place,
                                         "balance over parents": 0.02 * (place - 2)})
            for place, (a, b) in enumerate(combinations(("en", "fr", "es", "ru"), 2))
            for seed in range(3)
        ],
        unfinished=["<script>alert(1)</script>"],
        commands=["make paper"],
        hours=2.5,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written page's folder."""
    return write_page(findings(), tmp_path_factory.mktemp("paper")).parent


def rows(page: Path, table: str) -> list[dict[str, str]]:
    with (page / "tables" / f"{table}.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_tables_have_our_numbers_and_the_papers(page: Path) -> None:
    """Table 1 holds rates and gains beside the published numbers; gains of 15 points are larger."""
    row = next(row for row in rows(page, "objective") if row["model"] == "dpo-slerp")
    assert float(row["win_rate"]) == pytest.approx(0.75)
    assert float(row["win_gain"]) == pytest.approx(0.15)
    assert float(row["harm_gain"]) == pytest.approx(0.15)
    assert (row["paper_win"], row["paper_harm"]) == ("78.0", "-57.8")
    assert (row["win_agrees"], row["harm_agrees"]) == ("larger", "larger")


def test_the_mean_of_the_merges_is_beside_the_papers(page: Path) -> None:
    """The paper's own means follow from its Table 1; ours from the four merges."""
    sft, dpo = rows(page, "averages")
    assert [float(sft["paper_win"]), float(sft["paper_harm"])] == pytest.approx([5.975, -4.45])
    assert [float(dpo["paper_win"]), float(dpo["paper_harm"])] == pytest.approx([2.775, 2.16])
    assert float(dpo["win_gain"]) == pytest.approx((0.75 + 3 * 0.70) / 4 - 0.6)
    assert (sft["harm_agrees"], dpo["harm_agrees"]) == ("disagrees", "larger")


def test_a_model_that_is_never_harmful_has_no_interval(tmp_path: Path) -> None:
    """Where no seed gave a harmful answer there is no spread, so the change has no interval."""
    found = scores({"base": (0.5, 0.8), "sft-15": (0.6, 0.5)})
    found.axes["safety"].scores["sft-15"][:] = 0.0
    write_page(Findings([0], [*LANGUAGES], found), tmp_path)
    row = next(row for row in rows(tmp_path, "objective") if row["model"] == "sft-15")
    assert (row["harm_change"], row["harm_change_low"], row["harm_change_high"]) == ("-1.0", "", "")
    text = (tmp_path / "tables" / "objective.md").read_text(encoding="utf-8")
    assert "−100.0\N{NARROW NO-BREAK SPACE}% |" in text


def test_a_study_without_over_refusal_has_its_page(tmp_path: Path) -> None:
    """Where no harmless requests were asked, that column is empty and nothing fails."""
    found = published_world()
    del found.axes["over_refusal"]
    write_page(Findings([0], [*LANGUAGES], found), tmp_path)
    shown = rows(tmp_path, "objective")
    assert shown
    assert {row["over_refusal"] for row in shown} == {""}
    question = Contrast("which order?", "merge-dpo", "dpo-slerp")
    (row,) = contrast_table(found, [question]).rows
    assert row[4] == ABSENT


def test_every_language_has_its_gain(page: Path) -> None:
    """Tables 3 to 6 have a column for each language, for stages, merged languages and orders."""

    def gains(table: str, model: str) -> list[float]:
        (row,) = (row for row in rows(page, f"{table}-by-language") if row["model"] == model)
        return [float(row[language]) for language in LANGUAGES]

    assert gains("dpo-safety", "dpo-100") == pytest.approx([0.3, 0.3])
    assert gains("languages-general", "three-ties") == pytest.approx([0.06, 0.06])
    assert gains("order-safety", "merge-dpo") == pytest.approx([0.2, 0.2])


def test_the_whole_grid_of_weights_is_shown(page: Path) -> None:
    """Every weight that was tried is there, with how many seeds chose it."""
    found = {row["weight"]: row["chosen"] for row in rows(page, "weights")}
    assert found == {"0.1": "0", "0.5": "2", "0.9": "1"}


def test_the_spread_of_mechanisms_is_over_seeds(page: Path) -> None:
    """The mean with the smallest and largest seed."""
    row = rows(page, "mechanisms")[0]
    ends = [float(row[f"safety_gain_kept{end}"]) for end in ("", "_low", "_high")]
    assert ends == pytest.approx([0.1, 0.0, 0.2])


def test_every_figure_is_drawn_where_there_is_data(page: Path) -> None:
    """Each figure is a file, twice, and stands on the page with words for those who cannot see."""
    names = {path.stem for path in (page / "figures").glob("*.png")}
    assert names == {"gains", "by-language", "languages", "weights", "orders", "mechanisms"}
    text = (page / "index.html").read_text(encoding="utf-8")
    assert text.count('role="img" aria-label="') == len(names)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_foreign_text_is_text(page: Path) -> None:
    """A name with markup in it is shown, not run; the page has no script and asks no server."""
    text = (page / "index.html").read_text(encoding="utf-8")
    parser = _Tags()
    parser.feed(text)
    assert "script" not in parser.seen
    assert "&lt;script&gt;alert(1)" in text
    assert 'src="http' not in text


def test_the_same_findings_give_the_same_bytes(page: Path, tmp_path: Path) -> None:
    """Written again, every file is the same."""
    again = write_page(findings(), tmp_path / "again").parent
    for path in sorted(page.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(page)).read_bytes(), path.name


def test_an_unfinished_grid_still_has_a_page(tmp_path: Path) -> None:
    """With the base and one mix there is a table and no figure, and no failure."""
    few = scores({"base": (0.5, 0.8), "sft-15": (0.6, 0.5)}, seeds=1)
    page = write_page(Findings([0], [*LANGUAGES], few, unfinished=["sft-0"]), tmp_path)
    assert "The grid is not finished" in page.read_text(encoding="utf-8")
    assert [row["model"] for row in rows(tmp_path, "objective")] == ["base", "sft-15"]
    assert not list((tmp_path / "figures").iterdir())


@pytest.fixture
def found() -> Findings:
    """A world in which the paper's claims hold."""
    return Findings(seeds=[0, 1, 2], languages=["en", "fr"], test=published_world())


def test_tables_and_figures_stand_between_the_marks(found: Findings, tmp_path: Path) -> None:
    """All tables replace what stood there, figures are beside the page, the rest stays."""
    page = write_page(found, tmp_path / "page")
    docs = tmp_path / "docs" / "results.md"
    docs.parent.mkdir()
    docs.write_text("# Results\n<!-- begin paper -->\nzebra\n<!-- end paper -->\nmore\n")
    publish(found, page, docs)
    text = docs.read_text()
    assert text.startswith("# Results\n<!-- begin paper -->\n### The paper’s five claims\n")
    assert text.endswith("<!-- end paper -->\nmore\n")
    assert "| Merging beats mixing | **agrees** |" in text
    assert "](figures/paper/gains.svg)" in text
    drawn = (docs.parent / "figures/paper/gains.svg").read_text()
    assert drawn == (page.parent / "figures/gains.svg").read_text()
    assert "zebra" not in text


def test_a_page_without_marks_is_left_alone(found: Findings, tmp_path: Path) -> None:
    """Where the section is missing, it is named and nothing is written."""
    page = write_page(found, tmp_path / "page")
    docs = tmp_path / "results.md"
    docs.write_text("# Results\n")
    with pytest.raises(ValueError, match="no section between <!-- begin paper -->"):
        publish(found, page, docs)
    assert docs.read_text() == "# Results\n"
