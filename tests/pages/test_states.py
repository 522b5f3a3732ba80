"""Every state in a real browser, under the real security policy: nothing for axe to
find, no sideways scrolling, no word in the console."""

from __future__ import annotations

from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.pages.states import HANDED_OVER, STATES

pytestmark = pytest.mark.browser

STANDARDS = {
    "runOnly": [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
    ],
    "resultTypes": ["violations"],
}
SCHEMES = ("light", "dark")
SIZES = ((320, 640), (390, 844), (1280, 800), (640, 400))
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BIG_TEXT = "document.documentElement.style.fontSize = '200%'"
SPACED_TEXT = """
for (const each of document.querySelectorAll('body *')) {
  each.style.lineHeight = '1.5';
  each.style.letterSpacing = '.12em';
  each.style.wordSpacing = '.16em';
}
"""


RUN_AXE = "async (options) => (await axe.run(document, options)).violations"


@pytest.fixture
def page(page: Page) -> Page:
    page.add_init_script(HANDED_OVER)
    page.add_init_script(Axe().axe_script)
    return page


def findings(page: Page) -> list[str]:
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in page.evaluate(RUN_AXE, STANDARDS)
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_clean_for_axe_and_never_scrolls_sideways(
    name: str, page: Page, address: str
) -> None:
    """Light and dark at every size; 640x400 is a desktop at 200 % zoom."""
    page.goto(f"{address}/{name}")
    for scheme, (width, height) in product(SCHEMES, SIZES):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate(OVERFLOW) <= 0, f"{width} px wide"
        assert findings(page) == [], f"{width}x{height}, {scheme}"
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate(BIG_TEXT)
    assert page.evaluate(OVERFLOW) <= 0, "200 % root font"
    page.evaluate(SPACED_TEXT)
    assert page.evaluate(OVERFLOW) <= 0, "200 % root font, text spacing"


def test_every_state_fits_in_english(page: Page, english_address: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    too_wide = []
    for name in STATES:
        page.goto(f"{english_address}/{name}")
        if page.evaluate(OVERFLOW) > 0:
            too_wide.append(name)
    assert too_wide == []
