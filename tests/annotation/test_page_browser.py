"""The page of an annotator in a real browser: by keyboard, hostile texts, a killed server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.annotation.conftest import HOSTILE, MODELS, Make, material
from tests.annotation.people import served
from tests.browsers import NEEDS_CHROMIUM, Visit, chromium, contrast_ratio

from mixmerge.annotation.items import ExtraItem
from mixmerge.annotation.labels import collect
from mixmerge.annotation.task import KEY, LABELS, PAGES, KeyItem, read_task
from mixmerge.durable import read_log
from mixmerge.evaluation.calibration.material import Material
from mixmerge.files import read_rows

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with chromium() as started:
        yield started


def opened(browser: Browser, address: str, width: int = 1400, scheme: Any = "light") -> Visit:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    visit = Visit(context.new_page(), address)
    visit.page.locator("body[data-ready]").wait_for()
    return visit


def items_of(folder: Path, name: str) -> list[KeyItem]:
    return [row for row in read_rows(folder / KEY, KeyItem) if row.annotator == name]


def key_for(item: KeyItem, place: int) -> str:
    """Return a key that depends on the item, so that a mix-up would show."""
    return str(1 + (len(item.answer) + place) % (2 if item.base_answer is None else 3))


def label_to(page: Page, items: list[KeyItem], start: int, end: int) -> None:
    """Label some items by keyboard."""
    for place in range(start, end):
        expect(page.locator("#place")).to_have_text(f"{place + 1} of {len(items)}")
        key = key_for(items[place], place)
        page.keyboard.press(key)
        if key == "1" and items[place].axis == "harm":
            page.keyboard.press("2")
            page.keyboard.press("ArrowRight" if place % 2 else "Enter")


def expected(items: list[KeyItem]) -> dict[str, tuple[str, int | None]]:
    """Return what `label_to` chooses: the choice and the severity of each item."""
    found: dict[str, tuple[str, int | None]] = {}
    for place, item in enumerate(items):
        words = ["yes", "no"] if item.base_answer is None else ["a", "tie", "b"]
        choice = words[int(key_for(item, place)) - 1]
        found[item.id] = (choice, 2 if choice == "yes" and item.axis == "harm" else None)
    return found


def downloaded(
    page: Page, folder: Path, materials: list[Material], into: Path
) -> dict[str, tuple[str, int | None]]:
    """Return the labels of the file that the page gives, as `expected` does."""
    with page.expect_download() as downloading:
        page.locator("#download").click()
    file = into / downloading.value.suggested_filename
    downloading.value.save_as(file)
    plan, key = read_task(folder)
    found = collect(folder, plan.task, key, [file], materials)
    return {one.item.id: (one.label.choice, one.label.severity) for one in found.judged["anna"]}


@pytest.mark.slow
def test_no_label_is_lost(browser: Browser, task: Make) -> None:
    """Two people label 30 items and more; the server is killed and their pages are reloaded."""
    materials = [material("harm", 6), material("quality", 6)]
    folder = task(materials, "anna", "ben", labels=66, overlap=0.3)
    with served(folder, 2) as (links, server):
        pages = {name: opened(browser, address).page for name, address in links.items()}
        items = {name: items_of(folder, name) for name in pages}
        assert all(len(mine) >= 30 for mine in items.values())
        for name, page in pages.items():
            label_to(page, items[name], 0, 12)
            expect(page.locator("#saved")).to_have_text("all saved")
        server.kill()
        for name, page in pages.items():  # the connection is lost, the work goes on
            label_to(page, items[name], 12, 18)
            expect(page.locator("#saved")).to_contain_text("6 not on the server yet")
    assert len(list(read_log(folder / LABELS / "anna.jsonl"))) >= 12
    port = urlsplit(links["anna"]).port
    with served(folder, 2, port or 0):
        for name, page in pages.items():
            page.reload()
            page.locator("body[data-ready]").wait_for()
            expect(page.locator("#saved")).to_have_text("all saved")
            label_to(page, items[name], 18, 24)
            expect(page.locator("#saved")).to_have_text("all saved")
    with served(folder, 2, port or 0):
        for name, page in pages.items():  # without a reload
            label_to(page, items[name], 24, len(items[name]))
            expect(page.locator("#end")).to_be_visible()
            expect(page.locator("#saved")).to_have_text("all saved")
    plan, key = read_task(folder)
    found = collect(folder, plan.task, key, [], materials)
    assert found.notes == []
    for name, rows in found.judged.items():
        got = {one.item.id: (one.label.choice, one.label.severity) for one in rows}
        assert got == expected(items[name])


def test_nothing_names_a_model(browser: Browser, task: Make) -> None:
    """Pages hold no model, prompt, cluster, axis or path; each person has another order."""
    folder = task([material("harm", 8), material("quality", 8)], "anna", "ben", overlap=1.0)
    for name in ("anna", "ben"):
        text = (folder / PAGES / name / "index.html").read_text("utf-8")
        for word in (*MODELS[1:], '"q0-en"', '"harm"', '"quality"', str(folder), "base"):
            data = text.split('id="data">')[1].split("</script>")[0]
            assert word not in (data if word in ('"harm"', "base") else text), word
    rows = {name: [i for i in items_of(folder, name) if i.prompt] for name in ("anna", "ben")}
    orders = [[(i.prompt, i.models) for i in mine] for mine in rows.values()]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    for mine in rows.values():
        pairs = [item for item in mine if item.base_answer is not None]
        firsts = sum(item.base_first for item in pairs) / len(pairs)
        assert 0.25 < firsts < 0.75
        # Neither the model nor the language may follow the place on the page.
        half = len(mine) // 2
        for model in MODELS[1:]:
            early = sum(model in item.models for item in mine[:half])
            late = sum(model in item.models for item in mine[half:])
            assert abs(early - late) < half / 2
    visit = opened(browser, (folder / PAGES / "anna" / "index.html").as_uri())
    assert not any(word in visit.page.content() for word in MODELS[1:])
    visit.page.context.close()


@pytest.mark.parametrize("questions", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_texts_are_text(browser: Browser, task: Make, questions: int) -> None:
    """Markup, prompts, nothing, mixed directions and a megabyte are shown as they are."""
    folder = task([material("harm", questions)], "anna")
    visit = opened(browser, (folder / PAGES / "anna" / "index.html").as_uri(), 360, "dark")
    page, seen = visit.page, {}
    items = items_of(folder, "anna")
    for place, item in enumerate(items):
        expect(page.locator("#place")).to_have_text(f"{place + 1} of {len(items)}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        if MODELS[1] in item.models and item.prompt in HOSTILE:
            answer = page.locator(".answer")
            seen[item.prompt] = (
                answer.text_content(), answer.evaluate("e => getComputedStyle(e).direction")
            )  # fmt: skip
        page.keyboard.press("1")
        severity = page.locator("#severity")
        assert severity.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.keyboard.press("n")
    texts = dict([*HOSTILE.items()][:questions]) | {"q2-en": "(no text)"}
    assert {name: text for name, (text, _) in seen.items()} == texts
    assert seen["q3-en"][1] == "rtl"
    assert seen["q1-en"][1] == "ltr"
    assert visit.complaints == []
    assert len(visit.requests) == 1
    page.context.close()


def test_a_page_that_was_sent_keeps_labels_and_gives_a_file(
    browser: Browser, task: Make, tmp_path: Path
) -> None:
    """Without a server labels survive a reload, and the downloaded file reads back."""
    materials = [material("harm", 3)]
    folder = task(materials, "anna")
    visit = opened(browser, (folder / PAGES / "anna" / "index.html").as_uri())
    page, items = visit.page, items_of(folder, "anna")
    label_to(page, items, 0, 4)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    label_to(page, items, 4, len(items))
    assert downloaded(page, folder, materials, tmp_path) == expected(items)
    file = tmp_path / "labels-anna.json"
    assert json.loads(file.read_text())["annotator"] == "anna"
    page.context.close()


def test_practice_gives_feedback_and_back_changes_a_label(browser: Browser, task: Make) -> None:
    """Practice says what we would choose; a reason is asked for where nobody can judge."""
    extra = ExtraItem(
        axis="harm", prompt="How?", answer="No.", choice="no", why="<b>It</b> declines."
    )
    folder = task([material("harm", 3)], "anna", extra=[extra])
    visit = opened(browser, (folder / PAGES / "anna" / "index.html").as_uri())
    page = visit.page
    page.keyboard.press("1")
    feedback = page.locator("#feedback")
    expect(feedback).to_have_text("We would choose “No, not harmful”. <b>It</b> declines.")
    page.keyboard.press("n")
    expect(feedback).to_contain_text("Right")
    page.keyboard.press("Enter")
    page.keyboard.press("0")
    assert page.locator("#next").is_disabled()
    page.keyboard.type("not my language 2")
    page.keyboard.press("Enter")
    expect(page.locator("#place")).to_contain_text("3 of")
    page.locator("article").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#reason input")).to_have_value("not my language 2")
    page.get_by_role("button", name="No, not harmful").click()
    expect(page.locator("#place")).to_contain_text("3 of")
    for selector in ("#question", "#saved", ".answer", "#guidelines summary"):
        assert contrast_ratio(page, selector) >= 4.5
    assert visit.complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_a_table_is_labelled_by_the_same_keys(
    browser: Browser, task: Make, tmp_path: Path, width: int, scheme: str
) -> None:
    """Rows show the same texts and take the same labels; a row that was passed over comes back."""
    materials = [material("harm", 4), material("quality", 4)]
    folder = task(materials, "anna")
    visit = opened(browser, (folder / PAGES / "anna" / "index.html").as_uri(), width, scheme)
    page, items = visit.page, items_of(folder, "anna")
    label_to(page, items, 0, 3)
    page.keyboard.press("v")
    rows = page.locator("article")
    assert len(items) > 20
    expect(rows).to_have_count(20)
    for place, item in enumerate(items[:20]):
        texts = rows.nth(place).locator(".text").all_text_contents()
        assert texts == [text or "(no text)" for text in item.texts]
    for place, item in enumerate(items):
        if item.answer == HOSTILE["q3-en"] and place < 20:
            answer = rows.nth(place).locator(".answer").first
            sides = answer.evaluate("e => [getComputedStyle(e).direction, e.dir]")
            assert sides == ["rtl" if item.texts[1] == item.answer else "ltr", "auto"]
    label_to(page, items, 3, 5)
    rows.nth(6).locator(".prompt").click()  # the sixth is passed over
    label_to(page, items, 6, 21)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    current = page.locator("article[aria-current=true]")
    box, form = current.bounding_box(), page.locator("#choices").bounding_box()
    assert box is not None
    assert form is not None
    assert box["y"] < form["y"] < 800
    page.reload()  # the view is remembered, and so is what lacks a label
    page.locator("body[data-ready]").wait_for()
    expect(page.locator("#place")).to_have_text(f"6 of {len(items)}")
    expect(rows).to_have_count(20)
    label_to(page, items, 5, 6)
    rows.nth(19).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    label_to(page, items, 21, len(items))
    expect(page.locator("#end")).to_be_visible()
    assert downloaded(page, folder, materials, tmp_path) == expected(items)
    assert visit.complaints == []
    page.context.close()
