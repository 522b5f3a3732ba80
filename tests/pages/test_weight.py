"""What a first visit costs over the wire, compressed: the budgets of the pages."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from tests.pages.states import STATES, render

KILOBYTE = 1000
STATIC = Path(settings.BASE_DIR / "static")
ASSETS = {
    "css/site.css": 12 * KILOBYTE,
    "js/htmx.min.js": 17 * KILOBYTE,
    "js/site.js": 4 * KILOBYTE,
    "js/passkeys.js": 2 * KILOBYTE,  # fetched only where the page has a use for it
    "img/favicon.svg": 1 * KILOBYTE,
}
PAGE = 12 * KILOBYTE
FIRST_VISIT = 60 * KILOBYTE

# Long texts, read on purpose, are not the first page of a visit.
SHOP_PAGES = [name for name in STATES if not name.startswith("legal-")]
ON_REQUEST = {"js/push.js": 2 * KILOBYTE}
"""Fetched only where its switch stands, never by a first visit."""


def weight(content: bytes) -> int:
    return len(gzip.compress(content, 9))


def page(name: str) -> bytes:
    with override_settings(ROOT_URLCONF="tests.pages.urls"):
        return render(name).encode()


@pytest.mark.parametrize("path", [*ASSETS, *ON_REQUEST])
def test_an_asset_stays_in_its_budget(path: str) -> None:
    budget = (ASSETS | ON_REQUEST)[path]
    assert weight((STATIC / path).read_bytes()) <= budget


@pytest.mark.parametrize("name", SHOP_PAGES)
def test_a_page_stays_in_its_budget(name: str) -> None:
    assert weight(page(name)) <= PAGE


def test_a_first_visit_stays_in_its_budget() -> None:
    assets = sum(weight((STATIC / path).read_bytes()) for path in ASSETS)
    assert assets + max(weight(page(name)) for name in SHOP_PAGES) <= FIRST_VISIT


@pytest.mark.parametrize("name", ["home", "choice", "pay-desktop-qr", "success"])
def test_a_page_asks_for_nothing_but_its_own_assets(name: str) -> None:
    """With the page itself the budget of six, passkeys where there are any."""
    content = page(name).decode()
    for path in ASSETS:
        assert content.count(f'"/static/{path}"') == 1
    assert content.count("/static/") == len(ASSETS)
