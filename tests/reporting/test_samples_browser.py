"""The page of samples in a real browser: a large study is quick, and usable by keyboard."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests.browsers import NEEDS_CHROMIUM, Visit, chromium, contrast_ratio, focused

from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.samples import (
    SampleAnswer,
    SampleItem,
    SampleModel,
    Samples,
    write_samples,
)

pytestmark = NEEDS_CHROMIUM

WORDS = {
    "en": ["the", "model", "answers", "with", "long", "text", "about", "people", "world"],
    "hi": ["फ़्रांस", "की", "राजधानी", "पेरिस", "है", "और", "यह", "बहुत", "सुन्दर", "शहर"],
    "ar": ["عاصمة", "فرنسا", "هي", "باريس", "وعدد", "سكانها", "كبير", "جدا"],
}
MODELS = 20
ITEMS = 6000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """The address of the samples beside the whole study's report."""
    return (folder / "samples.html").as_uri()


def opened(browser: Browser, address: str, width: int = 1400, scheme: str = "light") -> Visit:
    """Open a page and wait until all texts are there."""
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    visit = Visit(context.new_page(), address)
    visit.page.locator("body[data-ready]").wait_for()
    return visit


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    """The page on a wide light screen."""
    found = opened(browser, address)
    yield found
    found.page.context.close()


def choose(page: Page, name: str, option: str) -> None:
    """Choose an option of one of the filters."""
    page.locator(f"#filters select[name={name}]").select_option(option)


def status(page: Page) -> str:
    """Return what the page says of the items that it found."""
    return page.locator("#found").inner_text()


def test_is_quiet_and_asks_for_nothing(visit: Visit, address: str) -> None:
    """Loading, filtering, sorting and opening cause no message, no dialog and no request."""
    page = visit.page
    page.get_by_label("Search prompts and answers").fill("paris")
    choose(page, "show", "differ")
    page.locator(".head .sort").nth(1).click()
    page.locator(".row").first.click()
    page.keyboard.press("Escape")
    assert visit.requests == [address]
    assert visit.complaints == []


def test_hostile_answers_are_text(visit: Visit) -> None:
    """Markup in an answer is shown as typed; Arabic runs from right to left."""
    page = visit.page
    choose(page, "a", "sft-slerp")
    cell = page.locator(".row [role=gridcell] .text").first
    assert cell.text_content() == (
        "<script>alert(1)</script> </script><b>bold</b> {{ 7 * 7 }} & <img src=http://x.test/a>"
    )
    assert visit.complaints == []
    choose(page, "language", "ar")
    prompt = page.locator(".row .prompt").first
    assert prompt.inner_text().startswith("عاصمة فرنسا")
    assert prompt.evaluate("e => getComputedStyle(e).direction") == "rtl"


def found(study: ReportInput, a: str, b: str) -> list[tuple[SampleItem, float]]:
    """Return every item with the gain of A over B, counted here once more."""
    assert study.samples is not None
    signs = {"general": 1, "safety": -1, "over_refusal": -1}
    gains = []
    for item in study.samples.items:
        own, other = item.answers[a].score, item.answers[b].score
        gain = 0.0 if own is None or other is None else signs[item.axis] * (own - other)
        gains.append((item, gain))
    return gains


def test_filters_agree_with_a_count(visit: Visit, study: ReportInput) -> None:
    """Who won, axis, language, outcome, severity and text narrow to what is counted here."""
    page, gains = visit.page, found(study, "dpo-ties", "base")
    choose(page, "a", "dpo-ties")
    choose(page, "b", "base")
    for option, test in (("a", 1), ("b", -1)):
        choose(page, "show", option)
        expected = sum(gain * test > 0 for _, gain in gains)
        assert 0 < expected < len(gains)
        assert status(page).startswith(f"{expected} of 42 items")
    choose(page, "show", "")
    choose(page, "axis", "safety")
    choose(page, "language", "ru")
    choose(page, "outcome", "Harmful: yes")
    chosen = [
        item
        for item, _ in gains
        if item.axis == "safety"
        and item.language == "ru"
        and item.answers["dpo-ties"].outcome == "Harmful: yes"
    ]
    assert status(page).startswith(f"{len(chosen)} of 42 items")
    page.get_by_label("Search prompts and answers").fill("СТОЛИЦА")
    assert status(page).startswith(f"{len(chosen)} of 42 items")
    page.get_by_label("Search prompts and answers").fill("no such words")
    assert page.get_by_text("No item matches these filters.").is_visible()
    page.get_by_role("button", name="Clear filters").click()
    assert status(page).startswith("42 of 42 items")
    choose(page, "severity", "high")
    severe = sum(
        any(item.answers[model].severity for model in ("dpo-ties", "base")) for item, _ in gains
    )
    assert status(page).startswith(f"{severe} of 42 items")


def test_the_search_marks_what_it_found_in_the_shown_models_only(visit: Visit) -> None:
    """A word that only another model said finds nothing until that model stands beside."""
    page = visit.page
    page.get_by_label("Search prompts and answers").fill("alert(1)")
    assert status(page).startswith("0 of 42")
    page.get_by_role("checkbox", name="sft-slerp").check()
    assert status(page).startswith("1 of 42")
    assert page.locator(".row mark").all_inner_texts() == ["alert(1)"]
    assert page.locator(".head .sort").all_inner_texts() == [
        "Item", "A: dpo-slerp", "B: dpo-15", "sft-slerp",
    ]  # fmt: skip


def test_columns_sort_by_who_is_better(visit: Visit, study: ReportInput) -> None:
    """A click on a model's heading puts its best items first, a second one its worst."""
    page = visit.page
    choose(page, "axis", "safety")
    heading = page.locator(".head [role=columnheader]").nth(1)
    for order, outcome in (("descending", "Harmful: no"), ("ascending", "Harmful: yes")):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == order
        assert focused(page) == "sort"
        assert page.locator(".row .outcome").first.inner_text() == outcome
    assert study.samples is not None


def test_a_link_opens_a_choice_and_the_address_keeps_it(browser: Browser, address: str) -> None:
    """Models and filters in the address are chosen, and a change is in the address."""
    visit = opened(browser, f"{address}#a=dpo-ties&b=dpo-15&show=differ&axis=safety&model=base")
    page = visit.page
    chosen = page.locator("#filters select").evaluate_all(
        "all => all.map(e => [e.name, e.selectedOptions[0].text])"
    )
    values = dict(chosen)
    assert [values[name] for name in ("a", "b", "show", "axis")] == [
        "dpo-ties", "dpo-15", "A and B differ", "safety",
    ]  # fmt: skip
    assert page.locator(".head .sort").count() == 4
    choose(page, "language", "fr")
    page.wait_for_timeout(400)
    assert page.evaluate("location.hash").endswith("&language=fr&model=base")
    page.context.close()


def test_the_keyboard_walks_opens_and_searches(visit: Visit) -> None:
    """Arrows, Page, Home and End move the row with the focus; Enter opens; / searches."""
    page = visit.page
    page.locator(".row").first.focus()
    steps = [("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 41), ("Home", 0)]
    for key, place in steps:
        page.keyboard.press(key)
        row = page.evaluate("document.activeElement.getAttribute('aria-rowindex')")
        assert int(row) == place + 2
        assert page.locator(".row[tabindex='0']").count() == 1
        hidden = page.evaluate(
            """() => {
              const row = document.activeElement.getBoundingClientRect();
              const area = document.querySelector("#items").getBoundingClientRect();
              const head = document.querySelector(".heads").getBoundingClientRect();
              return Math.max(head.bottom - row.top, row.bottom - area.bottom,
                              row.bottom - innerHeight);
            }"""
        )
        assert hidden <= 1
    page.keyboard.press("PageDown")
    assert int(page.evaluate("document.activeElement.ariaRowIndex")) > 3
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    title = page.locator("#item-title")
    assert title.inner_text() == "Item 1 of 42: general-0-en"
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == "Item 2 of 42: general-0-hi"
    assert page.locator("dialog .answer").count() == 2
    page.get_by_text("Answers of 13 more models").click()
    page.locator("dialog .answer").nth(14).wait_for()
    page.keyboard.press("Escape")
    page.locator(".row[aria-rowindex='3']:focus").wait_for()
    page.keyboard.press("/")
    assert focused(page) == "q"


def test_screen_readers_hear_a_table(visit: Visit) -> None:
    """Rows and columns are counted, and rows carry their number and stand in order."""
    page = visit.page
    grid = page.get_by_role("grid", name="Items, with the answers of the models")
    assert grid.get_attribute("aria-rowcount") == "43"
    assert grid.get_attribute("aria-colcount") == "3"
    page.locator("#items").evaluate("e => { e.scrollTop = 2000; }")
    page.wait_for_timeout(100)
    numbers = [
        int(text or 0)
        for text in grid.get_by_role("row").evaluate_all(
            "all => all.map(e => e.getAttribute('aria-rowindex'))"
        )
    ]
    assert numbers == sorted(numbers)
    assert numbers[0] == 1
    assert len(numbers) < 20
    assert grid.get_by_role("rowheader").count() == len(numbers) - 1
    assert page.locator("select:not(label select), input:not(label input)").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1400, "dark")])
def test_no_screen_scrolls_sideways(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    """The page, its list and an open item are as wide as the screen; nothing is cut at its edge."""
    page = opened(browser, address, width, scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("#items").evaluate("e => e.scrollWidth <= e.clientWidth")
    edge = "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
    assert page.locator("h1, select:visible, .row .cell, #found").evaluate_all(edge) <= width
    page.locator(".row").first.click()
    assert page.locator("dialog .answer, dialog button").evaluate_all(edge) <= width
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Browser, address: str, scheme: str) -> None:
    """Every colour of text reaches 4.5 to 1 in light and in dark (WCAG 2.2, level AA)."""
    page = opened(browser, address, scheme=scheme).page
    page.get_by_label("Search prompts and answers").fill("paris")
    low = {
        selector: ratio
        for selector in (
            "#found", ".tags span", ".outcome.good", ".outcome.bad", ".better", "mark",
            ".head .sort", "summary", "legend", "#filters label", ".row .text",
        )
        if (ratio := contrast_ratio(page, selector)) < 4.5
    }  # fmt: skip
    assert low == {}
    page.context.close()


def test_without_script_the_page_says_what_it_needs(browser: Browser, address: str) -> None:
    """A reader without JavaScript is told, and sees no dead controls."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert "allow JavaScript" in page.locator("main").inner_text()
    assert page.locator("#filters:visible, #items:visible, #theme:visible").count() == 0
    context.close()


def test_a_page_without_items_opens(browser: Browser, tmp_path: Path) -> None:
    """One model and nothing to show give a page that says so, without an error."""
    data = Samples([SampleModel("only")], {"general": "higher"}, [])
    write_samples(data, tmp_path / "s.html", title="Nothing")
    visit = opened(browser, (tmp_path / "s.html").as_uri())
    assert status(visit.page) == "0 of 0 items"
    assert visit.page.get_by_text("No item matches these filters.").is_visible()
    assert visit.page.get_by_label("B", exact=True).is_hidden()
    assert visit.complaints == []
    visit.page.context.close()


def large() -> Iterator[SampleItem]:
    """Yield the items of a large study: texts of about 300 letters in three languages."""
    draw = random.Random(7)
    for number in range(ITEMS):
        language = list(WORDS)[number % 3]
        axis = ("general", "safety")[number // 3 % 2]
        answers = {}
        for model in range(MODELS):
            text = " ".join(draw.choices(WORDS[language], k=draw.randint(40, 80)))
            score = float(draw.random() < 0.4)
            answers[f"m{model}"] = SampleAnswer(text, score, f"is {score:g}", note="by the rule")
        yield SampleItem(
            axis, f"{axis}-{number}", f"question {number}?", answers, language, f"c{number % 5}"
        )


@pytest.mark.slow
def test_a_large_study_is_quick(browser: Browser, tmp_path: Path) -> None:
    """20 models with 6,000 items load within two seconds; every filter answers within 0.1 s."""
    models = [SampleModel(f"m{number}") for number in range(MODELS)]
    data = Samples(models, {"general": "higher", "safety": "lower"}, large())
    assert write_samples(data, tmp_path / "s.html", title="Large") == ""
    visit = opened(browser, (tmp_path / "s.html").as_uri())
    page = visit.page
    assert status(page).startswith("6,000 of 6,000 items")
    # All texts unpacked, since the navigation began.
    loaded = min(
        opened(browser, (tmp_path / "s.html").as_uri()).page.evaluate(
            "performance.getEntriesByName('unpacked')[0].startTime"
        )
        for _ in range(3)
    )
    assert loaded < 2000
    changes = {
        "q": ["world", "no such words", "पेरिस", "QUESTION 59"],
        "show": ["differ", "a", "alike"],
        "axis": ["safety"],
        "language": ["ar"],
        "outcome": ["is 1"],
        "category": ["c3"],
        "a": ["7"],
    }
    for name, values in changes.items():
        for value in values:
            # The best of three: other work on the machine is not the page's.
            spent = page.evaluate(
                """([name, value]) => {
                  const control = document.querySelector(`[name=${name}]`);
                  control.value = value;
                  const times = [1, 2, 3].map(() => {
                    const start = performance.now();
                    control.dispatchEvent(new Event("input", { bubbles: true }));
                    document.body.offsetHeight;  // with the layout
                    return performance.now() - start;
                  });
                  return Math.min(...times);
                }""",
                [name, value],
            )
            assert spent < 100, f"{name}={value}"
            if name in ("q", "show"):
                page.get_by_role("button", name="Clear filters").click()
    assert page.locator(".row").count() < 20
    assert visit.complaints == []
