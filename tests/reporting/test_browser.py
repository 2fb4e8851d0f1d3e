"""The page in a real browser: quiet, self-contained, small enough, usable by keyboard."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian's package) on this machine"),
]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """The address of the whole study's report."""
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """An open page and what it asked for and complained of."""

    def __init__(self, page: Page, address: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.set_default_timeout(30_000)
        page.goto(address)
        self.page = page


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


def focused(page: Page) -> str:
    """Return the identifier, name or class of the focused element."""
    return str(
        page.evaluate(
            "(() => { const e = document.activeElement; "
            "return e.id || e.getAttribute('name') || e.className || e.tagName; })()"
        )
    )


def choose(page: Page, name: str, option: str) -> None:
    """Choose an option of one of the filters."""
    page.locator(f"#filters select[name={name}]").select_option(option)


def shown(page: Page) -> int:
    """Return the number of visible prompts."""
    return page.locator(".sample:visible").count()


def contrast_ratio(page: Page, selector: str) -> float:
    """Return the WCAG 2 contrast of an element's text on the page's paper."""
    return float(
        page.evaluate(
            """selector => {
              const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
              const light = rgb => rgb.map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
              const element = document.querySelector(selector);
              let ground = element;
              while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)"
                     && ground.parentElement) ground = ground.parentElement;
              const [a, b] = [getComputedStyle(element).color,
                              getComputedStyle(ground).backgroundColor].map(c => light(parse(c)));
              return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            }""",
            selector,
        )
    )


def test_is_quiet_and_asks_for_nothing(desktop: Visit, address: str) -> None:
    """Loading, filtering and toggling cause no console message, no dialog and no request."""
    page = desktop.page
    page.get_by_label("Search prompts and answers").fill("paris")
    page.get_by_role("button", name="Dark theme").click()
    page.get_by_text("How this was decided").click()
    assert desktop.requests == [address]
    assert desktop.complaints == []


def test_hostile_answers_are_text(desktop: Visit) -> None:
    """An answer with script tags is shown as typed, and Arabic runs from right to left."""
    page = desktop.page
    hostile = page.locator(".answer[data-model='sft-slerp'] .text").first
    assert hostile.text_content() == (
        "<script>alert(1)</script> </script><b>bold</b> {{ 7 * 7 }} & <img src=http://x.test/a>"
    )
    assert desktop.complaints == []
    choose(page, "language", "ar")
    prompt = page.locator(".sample:visible .prompt").first
    assert prompt.text_content().startswith("عاصمة فرنسا")  # type: ignore[union-attr]
    assert prompt.evaluate("e => getComputedStyle(e).direction") == "rtl"


def test_filters_narrow_and_combine(desktop: Visit) -> None:
    """Axis, language, outcome, model and text narrow together; what is found is announced."""
    page = desktop.page
    status = page.locator("#found")
    assert status.text_content() == "42 of 42 prompts match, the first 8 are shown"
    choose(page, "axis", "safety")
    assert (status.text_content() or "").startswith("12 of 42 ")
    choose(page, "language", "ru")
    assert status.text_content() == "2 of 42 prompts match"
    assert shown(page) == 2
    choose(page, "model", "dpo-ties")
    assert page.locator(".sample:visible .answer:visible").count() == 2
    page.get_by_label("Search prompts and answers").fill("Столица")
    assert shown(page) == 2
    page.get_by_label("Search prompts and answers").fill("no such words")
    assert shown(page) == 0
    assert status.text_content() == "0 of 42 prompts match"


def test_the_outcome_filter_needs_a_model_with_that_outcome(desktop: Visit) -> None:
    """With a model and an outcome chosen, each shown prompt has that outcome for that model."""
    page = desktop.page
    choose(page, "model", "dpo-ties")
    choose(page, "outcome", "Harmful: yes")
    answers = page.locator(".sample:visible .answer:visible")
    expected = page.locator(".answer[data-model='dpo-ties'][data-outcome='Harmful: yes']").count()
    assert 0 < expected < 42
    assert answers.count() == expected
    assert page.locator(".answer.hit:visible").count() == expected
    outcomes = {answers.nth(i).get_attribute("data-outcome") for i in range(expected)}
    assert outcomes == {"Harmful: yes"}


def test_more_prompts_appear_on_request(desktop: Visit) -> None:
    """Eight prompts are shown at first; the button adds eight more until all are there."""
    page = desktop.page
    button = page.get_by_role("button", name="Show more prompts")
    counts = [shown(page)]
    while button.is_visible():
        button.click()
        counts.append(shown(page))
    assert counts == [8, 16, 24, 32, 40, 42]


def test_the_phone_never_scrolls_sideways(phone: Visit) -> None:
    """At 360 pixels the page is as wide as the screen; wide tables scroll inside their area."""
    page = phone.page
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    table = page.locator(".scroll").first
    assert table.evaluate("e => e.scrollWidth > e.clientWidth")
    # What is cut off at the edge would not make the page wider: look at every figure and card.
    right = page.locator(
        ".drawing svg, .answer:visible, figcaption, h1, h2, .headline"
    ).evaluate_all("all => Math.max(...all.map(e => e.getBoundingClientRect().right))")
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
    """Tab visits the skip link, the theme button, table areas, the search field and filters."""
    page = desktop.page
    visited = []
    for _ in range(120):
        page.keyboard.press("Tab")
        visited.append(focused(page))
        if visited[-1] == "model":
            break
    assert visited[:2] == ["skip", "theme"]
    assert visited[-5:] == ["text", "axis", "language", "outcome", "model"]
    sections = ("verdict", "tradeoffs", "models", "languages")
    areas = page.locator(", ".join(f"#{name} .scroll:visible" for name in sections)).count()
    assert visited.count("scroll") == areas > 8
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


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
        "td small", "#found",
        "tr[data-mark=base] th", "tr[data-mark=mixture] th", "tr[data-mark=expert] th",
        "tr[data-mark=merge] th", ".outcome.good", ".outcome.bad", ".outcome.neutral", ".reason",
        ".tags span", "#theme", ".answer h3[data-mark=expert]", ".answer h3[data-mark=base]",
    ]  # fmt: skip
    low = {s: ratio for s in selectors if (ratio := contrast_ratio(page, s)) < 4.5}
    assert low == {}


def test_reduced_motion_does_not_scroll_smoothly(desktop: Visit, phone: Visit) -> None:
    """Smooth scrolling is off for readers who asked for less motion, on for others."""
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert desktop.page.evaluate(behaviour) == "smooth"
    assert phone.page.evaluate(behaviour) == "auto"


def test_without_script_everything_is_shown(browser: Browser, address: str) -> None:
    """A reader without JavaScript sees all prompts and no dead controls."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".sample:visible").count() == 42
    assert page.locator("#filters:visible, #theme:visible, #more:visible").count() == 0
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
    drawings = page.locator(".drawing > [role=img]")
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
