"""The page in a real browser: quiet, self-contained, small enough, usable by keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.browsers import NEEDS_CHROMIUM, Visit, chromium, contrast_ratio, focused

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """The address of the whole study's report."""
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with chromium() as started:
        yield started


@pytest.fixture
def desktop(browser: Browser, address: str) -> Iterator[Visit]:
    """The page on a wide light screen."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme="light")
    yield Visit(context.new_page(), address)
    context.close()


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Visit]:
    """The page on a dark phone with reduced motion."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark", reduced_motion="reduce"
    )
    yield Visit(context.new_page(), address)
    context.close()


def test_is_quiet_and_asks_for_nothing(desktop: Visit, address: str) -> None:
    """Loading, sorting, pointing and toggling cause no console message, dialog or request."""
    page = desktop.page
    page.get_by_role("button", name="Dark theme").click()
    page.locator("#models .sort").first.click()
    page.locator(".point").first.hover()
    page.get_by_text("How this was decided").click()
    assert desktop.requests == [address]
    assert desktop.complaints == []


def column(visit: Visit, title: str) -> list[str]:
    """Return a column of the table of all models, as it is shown."""
    cells = (
        visit.page.locator("#models table")
        .first.locator("tr")
        .evaluate_all(
            """(rows, title) => {
          const at = [...rows[0].cells].findIndex(cell => cell.textContent.trim() === title);
          return rows.slice(1).map(row => row.cells[at].firstChild.textContent.trim());
        }""",
            title,
        )
    )
    return [str(cell) for cell in cells]


def test_a_table_sorts_by_each_column(desktop: Visit) -> None:
    """Numbers sort by value, largest first, then reversed; absent ones last; words by name."""
    table = desktop.page.locator("#models table").first
    for title in ("general: win rate", "gain over baseline, points"):
        before = column(desktop, title)
        numbers = [float(cell.replace("−", "-").split()[0]) for cell in before if cell != "–"]
        absent = ["–"] * (len(before) - len(numbers))
        button = table.get_by_role("button", name=title, exact=True).first
        button.click()
        assert button.locator("..").get_attribute("aria-sort") == "descending"
        seen = column(desktop, title)
        assert [float(cell.replace("−", "-").split()[0]) for cell in seen if cell != "–"] == sorted(
            numbers, reverse=True
        )
        assert seen[len(numbers) :] == absent
        button.press("Enter")
        assert button.locator("..").get_attribute("aria-sort") == "ascending"
        assert column(desktop, title)[len(numbers) :] == absent
    table.get_by_role("button", name="Model", exact=True).click()
    names = column(desktop, "Model")
    kinds = ("0", "15", "100", "dare-ties", "linear", "slerp", "ties")  # 15 before 100
    assert names == ["base", *(f"{stage}-{kind}" for stage in ("dpo", "sft") for kind in kinds)]
    assert table.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 1


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_a_point_says_what_it_is(desktop: Visit, how: str) -> None:
    """Pointer and focus show a point's name, numbers and recipe; Escape hides them."""
    page = desktop.page
    plane = page.locator("#tradeoffs .canvas").first
    point = plane.get_by_role("link", name="sft-slerp:")
    tip = point.locator(".tip")
    assert not tip.is_visible()
    point.hover() if how == "pointer" else point.focus()
    said = tip.inner_text()
    assert said.startswith("sft-slerp\nMerge\ngeneral: win rate 72.6")
    assert "method: slerp, models: [sft-0, sft-100]" in said
    page.keyboard.press("Escape")
    assert not tip.is_visible()


def test_points_lie_on_their_markers(desktop: Visit) -> None:
    """The middle of each point is that of a marker in the drawing beneath it, within a pixel."""
    plane = desktop.page.locator("#tradeoffs .canvas").first
    middle = """all => all.map(e => e.getBoundingClientRect())
      .map(r => [(r.left + r.right) / 2, (r.top + r.bottom) / 2])"""
    points = plane.locator(".point").evaluate_all(middle)
    markers = plane.locator("svg use").evaluate_all(middle)
    assert len(points) == 8
    for x, y in points:
        assert min(abs(x - left) + abs(y - top) for left, top in markers) < 1


def test_a_name_leads_to_its_recipe_and_answers(desktop: Visit) -> None:
    """A model's name in a table opens its recipe, with a link to its answers beside the page."""
    page = desktop.page
    page.locator("#models table").first.get_by_role("link", name="sft-slerp", exact=True).click()
    recipe = page.locator("#recipes pre")
    assert recipe.is_visible()
    assert "method: slerp" in recipe.inner_text()
    page.get_by_role("link", name="Answers of sft-slerp", exact=True).click()
    assert page.url.endswith("/samples.html#a=sft-slerp")
    assert page.locator("[name=a] option:checked").inner_text() == "sft-slerp"
    page.get_by_role("link", name="Back to the report").click()
    assert page.url.endswith("/report.html")
    assert desktop.complaints == []


def test_the_phone_never_scrolls_sideways(phone: Visit) -> None:
    """At 360 pixels the page is as wide as the screen; wide tables scroll inside their area."""
    page = phone.page
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    table = page.locator(".scroll").first
    assert table.evaluate("e => e.scrollWidth > e.clientWidth")
    # What is cut off at the edge would not make the page wider: look at every figure and card.
    right = page.locator(".drawing svg, figcaption, h1, h2, .headline, .tip:visible").evaluate_all(
        "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
    )
    assert right <= 360


@pytest.mark.parametrize("height", [740, 844])
def test_the_advice_is_on_the_first_screen(browser: Browser, address: str, height: int) -> None:
    """On a phone the verdict, the model to take and its folder are seen without any scrolling."""
    context = browser.new_context(viewport={"width": 390, "height": height})
    page = Visit(context.new_page(), address).page
    for selector in (".headline", ".take", ".take .folder"):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= height
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()


def test_the_keyboard_reaches_everything(desktop: Visit) -> None:
    """Tab visits the skip link, the theme button, points, table areas and their headings."""
    page = desktop.page
    visited = []
    for _ in range(600):
        page.keyboard.press("Tab")
        visited.append(focused(page))
        if visited[-1] == "BODY":
            break
    assert visited[:2] == ["skip", "theme"]
    for kind, selector in (
        ("scroll", ".scroll:visible"),
        ("sort", ".sort:visible"),
        ("point", ".point:visible"),
    ):
        found = sum(name.split()[0] == kind for name in visited)
        assert found == page.locator(selector).count() > 8
    assert visited[-1] == "BODY"


def test_the_skip_link_leads_to_the_verdict(desktop: Visit) -> None:
    """Enter on the first stop of the keyboard moves the focus to the verdict."""
    desktop.page.keyboard.press("Tab")
    desktop.page.keyboard.press("Enter")
    assert focused(desktop.page) == "verdict"


def test_a_table_scrolls_with_the_arrow_keys(phone: Visit) -> None:
    """A focused table area moves sideways by keyboard, its first column stays."""
    page = phone.page
    area = page.locator(".scroll").first
    area.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(100):  # The page forbids the eval that Playwright's own waiting needs.
        if area.evaluate("e => e.scrollLeft") > 0:
            break
        page.wait_for_timeout(50)
    assert area.evaluate("e => e.scrollLeft") > 0
    heading = area.locator("tbody th").first
    assert heading.evaluate("e => e.getBoundingClientRect().left") >= 0


def test_dark_is_the_system_s_choice_and_can_be_changed(phone: Visit) -> None:
    """On a dark system the page is dark; the button makes it light and says what it does."""
    page = phone.page
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert page.get_by_role("button", name="Dark theme").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(desktop: Visit, scheme: str) -> None:
    """Every colour of text reaches 4.5 to 1 in light and in dark (WCAG 2.2, level AA)."""
    page = desktop.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    selectors = [
        ".headline", ".take", ".folder", ".open", ".note", ".byline", "nav a", "thead th",
        "td small",
        "tr[data-mark=base] th", "tr[data-mark=mixture] th", "tr[data-mark=expert] th",
        "tr[data-mark=merge] th", "#theme", ".sort", "#recipes summary",
    ]  # fmt: skip
    low = {s: ratio for s in selectors if (ratio := contrast_ratio(page, s)) < 4.5}
    assert low == {}


def test_reduced_motion_does_not_scroll_smoothly(desktop: Visit, phone: Visit) -> None:
    """Smooth scrolling is off for readers who asked for less motion, on for others."""
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert desktop.page.evaluate(behaviour) == "smooth"
    assert phone.page.evaluate(behaviour) == "auto"


def test_without_script_everything_is_shown(browser: Browser, address: str) -> None:
    """A reader without JavaScript sees all tables and no dead controls."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("#models table:visible").count() == 1
    assert page.locator("#theme:visible, .sort").count() == 0
    context.close()


def test_names_of_the_plane_do_not_overlap(desktop: Visit) -> None:
    """In the browser's own font no two names of a plane overlap."""
    boxes = (
        desktop.page.locator("#tradeoffs .drawing")
        .first.locator("svg text")
        .evaluate_all(
            "all => all.map(e => [e.textContent.trim(), e.getBoundingClientRect()])"
            ".map(([t, r]) => [t, r.left, r.top, r.right, r.bottom])"
        )
    )
    labels = [box for box in boxes if box[0] == "base" or box[0].startswith("sft-")]
    assert len(labels) == 8
    for number, (_, left, top, right, bottom) in enumerate(labels):
        for _, other_left, other_top, other_right, other_bottom in labels[number + 1 :]:
            wide = min(right, other_right) - max(left, other_left)
            high = min(bottom, other_bottom) - max(top, other_top)
            # Line boxes are higher than letters: a touch of three pixels is no overlap.
            assert wide <= 0 or high <= 3


def test_every_table_has_a_caption_and_every_figure_words(desktop: Visit) -> None:
    """Tables are captioned, drawings described, and header cells scoped."""
    page = desktop.page
    assert page.locator("table").count() == page.locator("table > caption").count() == 13
    drawings = page.locator(".drawing [role=img]")
    assert drawings.count() == 18
    for index in range(18):
        assert len(drawings.nth(index).get_attribute("aria-label") or "") > 80
    assert page.locator("th:not([scope])").count() == 0


def test_the_report_can_be_opened_from_any_folder(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    """The page alone, moved elsewhere, still shows its figures and saves its tables."""
    alone = tmp_path / "moved.html"
    alone.write_bytes(Path(address.removeprefix("file://")).read_bytes())
    context = browser.new_context(accept_downloads=True)
    visit = Visit(context.new_page(), alone.as_uri())
    assert visit.page.locator(".drawing svg").count() == 18
    with visit.page.expect_download() as download:
        visit.page.locator("a[download='models.csv']").click()
    assert download.value.suggested_filename == "models.csv"
    assert "dpo-slerp" in Path(download.value.path()).read_text()
    assert visit.complaints == []
    context.close()
