"""The report as files: complete, repeatable, honest about what is missing."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mixmerge.errors import ResourceError
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.samples import SampleAnswer, SampleItem
from mixmerge.reporting.write import write_report


class Elements(HTMLParser):
    """Collects start tags with their attributes, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Elements:
    """Parse a page with the standard library."""
    elements = Elements()
    elements.feed(page)
    return elements


def test_writes_the_files_that_are_promised(folder: Path) -> None:
    """Each figure is there as PNG and SVG, each table as CSV and Markdown."""
    kinds = ["plane", "differences-general", "differences-safety"]
    for axis in ("general", "safety", "over_refusal"):
        kinds += [f"values-{axis}", f"{axis}-languages"]
    figures = {f"{stage}-{kind}" for stage in ("sft", "dpo") for kind in kinds}
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"{name}.{suffix}" for name in figures for suffix in ("png", "svg")}
    tables = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert {"models", "contrasts", "costs", "time", "general-otherwise"} <= tables
    assert len(tables) == 13
    assert tables == {path.stem for path in (folder / "tables").glob("*.md")}


def test_svg_files_are_xml_with_every_name_as_text(folder: Path, study: ReportInput) -> None:
    """Figures can be parsed, searched, and name every model of their stage."""
    root = ET.parse(folder / "figures" / "dpo-plane.svg").getroot()  # noqa: S314 (our own file)
    texts = {"".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")}
    assert {n for n, model in study.results.models.items() if model.stage == "dpo"} <= texts


def test_same_data_same_bytes(folder: Path, study: ReportInput, tmp_path: Path) -> None:
    """A second report of the same data is byte for byte the same, PNG and SVG included."""
    write_report(study, tmp_path)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for file in files:
        assert (folder / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_the_page_has_no_address_outside_itself(folder: Path) -> None:
    """Links lead to anchors, data and the page of samples; the policy allows no request."""
    elements = parsed((folder / "report.html").read_text(encoding="utf-8"))
    addresses = [
        value
        for _, attributes in elements.tags
        for name, value in attributes.items()
        if name in ("href", "src", "action", "xlink:href", "srcset", "poster")
    ]
    assert len(addresses) > 20
    assert all(value and value.startswith(("#", "data:", "samples.html")) for value in addresses)
    policies = [a["content"] or "" for _, a in elements.tags if a.get("http-equiv")]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]


def test_identifiers_are_unique(folder: Path) -> None:
    """No identifier stands twice, although many figures share the page; each anchor has one."""
    elements = parsed((folder / "report.html").read_text(encoding="utf-8"))
    ids = [value for _, attributes in elements.tags for n, value in attributes.items() if n == "id"]
    assert len(ids) == len(set(ids))
    anchors = {a["href"] for tag, a in elements.tags if tag == "a"} - {None}
    assert {href[1:] for href in anchors if href and href.startswith("#")} <= set(ids)


def test_what_others_wrote_is_text(folder: Path) -> None:
    """Markup in an answer, a judge's reason or the study file makes no element."""
    for name, scripts in (("report.html", 1), ("samples.html", 3)):
        page = (folder / name).read_text(encoding="utf-8")
        tags = [tag for tag, _ in parsed(page).tags]
        assert tags.count("script") == scripts
        assert "img" not in tags
    text = "".join(parsed((folder / "report.html").read_text(encoding="utf-8")).text)
    assert '<script>alert("study")</script>' in text


def test_figures_take_their_colours_from_the_page(folder: Path) -> None:
    """The drawings in the page use its variables, so that dark mode reaches them."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    drawings = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 18
    for drawing in drawings:
        colours = set(re.findall(r"#[0-9a-f]{6}\b", drawing))
        assert colours <= {"#000000"}
        assert "var(--merge)" in drawing


def test_hostile_names_are_escaped(study: ReportInput, tmp_path: Path) -> None:
    """A model called like markup is a name in tables, figures and answers."""
    name = 'sft-<script>x</script>"&'
    renamed = {
        name if n == "sft-slerp" else n: m
        for n, m in study.results.models.items()
        if m.stage == "sft"
    }
    results = study.results.model_copy(update={"models": renamed, "contrasts": (), "decisions": ()})
    page = write_report(study.model_copy(update={"results": results}), tmp_path)
    elements = parsed(page.read_text(encoding="utf-8"))
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert any("<script>x</script>" in text for text in elements.text)


def test_names_in_any_script_stay_text_in_figures(study: ReportInput, tmp_path: Path) -> None:
    """Dollar signs are no formula and letters that the font lacks are kept in SVG."""
    models = {"base $x^2$": study.results.models["base"], "विलय": study.results.models["sft-ties"]}
    results = study.results.model_copy(update={"models": models, "contrasts": (), "decisions": ()})
    write_report(study.model_copy(update={"results": results}), tmp_path)
    root = ET.parse(tmp_path / "figures" / "sft-plane.svg").getroot()  # noqa: S314 (our own file)
    texts = {"".join(node.itertext()).strip() for node in root.iter() if node.tag.endswith("text")}
    assert {"base $x^2$", "विलय"} <= texts


def test_an_unfinished_study_says_so_first(study: ReportInput, tmp_path: Path) -> None:
    """Without DPO models and contrasts the page starts with what is missing and has no verdict."""
    models = {
        n: m for n, m in study.results.models.items() if m.stage != "dpo" and m.kind != "merge"
    }
    results = study.results.model_copy(update={"models": models, "contrasts": (), "decisions": ()})
    data = study.model_copy(
        update={"results": results, "unfinished": ["merge/sft-slerp", "evaluate/<b>"]}
    )
    page = write_report(data, tmp_path).read_text(encoding="utf-8")
    text = "".join(parsed(page).text)
    assert text.index("This study is not finished") < text.index("No verdict yet")
    assert "2 steps are not done" in text
    assert "evaluate/<b>" in text
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == {
        f"sft-{kind}.png"
        for kind in (
            "plane", "values-general", "values-safety", "values-over_refusal",
            "general-languages", "safety-languages", "over_refusal-languages",
        )
    }  # fmt: skip


def test_an_empty_study_still_has_a_page(study: ReportInput, tmp_path: Path) -> None:
    """A run that has measured nothing yet gets a page without figures."""
    results = study.results.model_copy(
        update={"models": {}, "contrasts": (), "decisions": (), "costs": {}}
    )
    data = ReportInput(results=results, title="Just begun", languages=["en"], unfinished=["mix/a"])
    page = write_report(data, tmp_path).read_text(encoding="utf-8")
    assert "No verdict yet" in page
    assert "1 step is not done" in page
    assert list((tmp_path / "figures").iterdir()) == []


def test_older_figures_do_not_stay(study: ReportInput, tmp_path: Path) -> None:
    """A figure of an earlier report that the new one does not have is gone; other files stay."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    empty = study.results.model_copy(
        update={"models": {}, "contrasts": (), "decisions": (), "costs": {}}
    )
    write_report(study.model_copy(update={"results": empty}), tmp_path)
    assert not (tmp_path / "figures" / "old.png").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_the_samples_leave_out_is_said(study: ReportInput, tmp_path: Path) -> None:
    """A cut answer is told to the caller; a report without samples removes an older page."""
    answer = SampleItem("general", "1", "?", {"base": SampleAnswer("x" * 5000)})
    assert study.samples
    samples = replace(study.samples, items=[answer])
    said: list[str] = []
    write_report(study.model_copy(update={"samples": samples}), tmp_path, say=said.append)
    assert said == ["The page is limited in size: 1 long text is cut at 4\u202f000 characters."]
    assert (tmp_path / "samples.html").is_file()
    write_report(study.model_copy(update={"samples": None}), tmp_path, say=said.append)
    assert not (tmp_path / "samples.html").exists()
    assert len(said) == 1
    assert "samples.html" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("folder")
def test_progress_hears_every_figure(heard: list[tuple[float, float]]) -> None:
    """Progress runs from nothing to all figures without going back."""
    assert heard == [(float(done), 18.0) for done in range(19)]


def test_a_folder_that_cannot_be_made_is_a_clear_error(
    study: ReportInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends in one message that names the path."""

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(ResourceError, match=r"the disk is full"):
        write_report(study, tmp_path / "out")


@pytest.mark.parametrize(
    ("axes", "drawn"),
    [
        (["code"], set()),
        (["code", "safety"], {"plane"}),
        (
            ["code", "safety", "tone"],
            {"profile", "plane-code-safety", "plane-code-tone", "plane-safety-tone"},
        ),
    ],
)  # fmt: skip
def test_given_models_have_a_report_for_any_number_of_axes(
    make_given: Callable[..., ReportInput], tmp_path: Path, axes: list[str], drawn: set[str]
) -> None:
    """One axis has no plane, three have a profile and a plane for every two; nothing is missing."""
    page = write_report(make_given(axes), tmp_path).read_text(encoding="utf-8")
    figures = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    each = {f"{kind}-{axis}" for kind in ("differences", "values") for axis in axes}
    assert figures == {f"given-{kind}" for kind in drawn | each}
    text = " ".join("".join(parsed(page).text).split())
    assert "Merging beats mixed. " in text
    assert "Against mixed, slerp changes the mean score" in text
    assert "by +0.050 (95" in text
    assert ("Trade-offs" in text) == (len(axes) > 1)
    assert "By language" not in text
    assert not re.search(r"\bNone\b|\bnan\b", text)


def test_without_a_baseline_all_models_are_shown(study: ReportInput, tmp_path: Path) -> None:
    """Where nothing is compared, every model is in tables and figures, and nothing is decided."""
    results = study.results.model_copy(update={"contrasts": (), "decisions": (), "baselines": {}})
    page = write_report(study.model_copy(update={"results": results}), tmp_path)
    assert "No verdict: there is no baseline" in page.read_text(encoding="utf-8")
    table = (tmp_path / "tables" / "models.csv").read_text(encoding="utf-8")
    assert {line.split(",")[0] for line in table.splitlines()[1:]} == set(results.models)
    assert "gain" not in table.splitlines()[0]
