"""A real Chromium for tests of pages, and what an open page asked for and complained of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

NEEDS_CHROMIUM = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium (Debian's package) on this machine"),
]

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run one headless Chromium within the block."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield started
        started.close()


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


def focused(page: Page) -> str:
    """Return the identifier, name or class of the focused element."""
    return str(
        page.evaluate(
            "(() => { const e = document.activeElement; "
            "return e.id || e.getAttribute('name') || e.className || e.tagName; })()"
        )
    )


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
