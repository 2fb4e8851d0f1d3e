"""Answers without a majority go to another person, who sees nothing of what was said."""

import json
from pathlib import Path

import pytest
from tests.annotation.conftest import Make, material
from tests.annotation.test_labels import Chooses, read, sent, truth

from mixmerge.annotation.adjudicate import adjudicate
from mixmerge.annotation.items import ExtraItem
from mixmerge.annotation.quality import agreements, disagreements
from mixmerge.annotation.server import Desk, serving
from mixmerge.annotation.task import PAGES, KeyItem, read_task
from mixmerge.errors import HeldError, SpecError
from mixmerge.evaluation.calibration.material import Material

wrong: Chooses = lambda item, place: "no" if place % 4 == 0 else truth(item)  # noqa: E731


def third(
    folder: Path, materials: list[Material], files: list[Path], **people: tuple[str, ...]
) -> dict[str, int]:
    """Give the answers without a majority to some people."""
    found = read(folder, materials, *files)
    return adjudicate(folder, *read_task(folder), found, materials, people)


def own(folder: Path, name: str) -> list[KeyItem]:
    return [row for row in read_task(folder)[1] if row.annotator == name]


def test_a_third_label_makes_a_majority_and_leaves_agreement_alone(task: Make) -> None:
    """Only the disputed answers are shown; the disagreement stays, its majority beside it."""
    materials = [material("harm", 20), material("quality", 10)]
    lesson = ExtraItem(axis="harm", prompt="Lesson?", answer="a", choice="no")
    folder = task(materials, "anna", "ben", overlap=1.0, extra=[lesson])
    files = [sent(folder, "anna"), sent(folder, "ben", wrong)]
    before = read(folder, materials, *files)
    split = {(row.axis, row.prompt, row.models) for row in disagreements(before, materials)}
    assert third(folder, materials, files, cara=()) == {"cara": len(split)}
    mine = own(folder, "cara")
    items = [row for row in mine if row.kind == "item"]
    assert {(row.axis, row.prompt, row.models) for row in items} == split
    assert mine[0].kind == "practice"
    assert all(row.adjudicates for row in items)
    page = (folder / PAGES / "cara" / "index.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert {key for row in data["items"] for key in row} == {
        "id", "question", "language", "texts", "shown", "practice",
    }  # fmt: skip
    assert "cara" in Desk(folder).annotators
    files.append(sent(folder, "cara"))
    after = read(folder, materials, *files)
    assert agreements(after, materials) == agreements(before, materials)
    rows = list(disagreements(after, materials))
    assert len(rows) == len(split)
    assert all(row.majority == row.said["anna"] == row.said["cara"] for row in rows)


def test_what_waits_is_not_given_twice(task: Make) -> None:
    """A second call finds nothing; after “cannot judge” a fourth person gets the answer."""
    found = material("harm", 10)
    folder = task([found], "anna", "ben", overlap=1.0)
    files = [sent(folder, "anna"), sent(folder, "ben", wrong)]
    count = third(folder, [found], files, cara=())["cara"]
    with pytest.raises(SpecError, match=rf"no answer without a majority \({count} wait for an"):
        third(folder, [found], files, dan=())
    files.append(sent(folder, "cara", lambda item, _: item.expected or "cannot", reason="unclear"))
    assert third(folder, [found], files, dan=()) == {"dan": count}


def test_adjudicators_get_what_they_read(task: Make) -> None:
    """Languages are kept; each answer goes to one person."""
    found = material("harm", 10)
    folder = task([found], "anna", "ben", overlap=1.0)
    files = [sent(folder, "anna"), sent(folder, "ben", wrong)]
    with pytest.raises(SpecError, match=r"nobody reads fr"):
        third(folder, [found], files, cara=("en",))
    given = third(folder, [found], files, cara=("en",), dan=("fr",))
    assert {row.language for row in own(folder, "dan") if row.kind == "item"} == {"fr"}
    assert sum(given.values()) == len(list(disagreements(read(folder, [found], *files), [found])))


def test_who_has_a_page_is_no_third_person(task: Make) -> None:
    """Whatever the case of the letters; and nothing changes while a server has the folder."""
    found = material("harm", 10)
    folder = task([found], "anna", "ben", overlap=1.0)
    files = [sent(folder, "anna"), sent(folder, "ben", wrong)]
    with pytest.raises(SpecError, match=r"--annotator Ben: has a page of this task already"):
        third(folder, [found], files, Ben=())
    with serving(folder), pytest.raises(HeldError, match="another process"):
        third(folder, [found], files, cara=())
    assert list(read_task(folder)[0].annotators) == ["anna", "ben"]
