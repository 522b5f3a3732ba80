"""What the templates must not contain: rules that a reader of one diff would miss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import get_template
from django.test import override_settings

from tests.pages.states import STATES, render

FOLDER = Path(settings.BASE_DIR / "templates")
OURS = [
    path
    for path in sorted(FOLDER.rglob("*.html"))
    if path.relative_to(FOLDER).parts[0] not in ("admin", "console")
]
STANDALONE = {"500.html", "503.html"}  # shown when nothing else works
LEGAL_TEXTS = {path for path in OURS if path.parent.name == "legal"}
CHINESE = r"[㐀-鿿]"


def source(path: Path) -> str:
    text = path.read_text()
    return re.sub(r"{% comment %}.*?{% endcomment %}", "", text, flags=re.DOTALL)


each_template = pytest.mark.parametrize(
    "path", OURS, ids=lambda path: str(path.relative_to(FOLDER))
)


@each_template
def test_a_template_compiles(path: Path) -> None:
    get_template(str(path.relative_to(FOLDER)))


@each_template
def test_a_template_needs_nothing_that_the_security_policy_forbids(path: Path) -> None:
    text = source(path)
    forbidden = (
        r"<style",
        r"\sstyle\s*=",
        r"<script(?![^>]*\ssrc=)",
        r"\son[a-z]+\s*=",
        r"hx-on",
        r"\bjs:",
        r"javascript:",
        r'hx-trigger="[^"]*\[',
        r"hx-vars",
        r"\|\s*safe\b",
        r"autoescape off",
    )
    assert [rule for rule in forbidden if re.search(rule, text)] == []


@each_template
def test_htmx_attributes_are_valid_html(path: Path) -> None:
    assert re.findall(r"(?<!data-)\bhx-[a-z-]+=", source(path)) == []


@each_template
def test_a_template_holds_no_price_and_no_percentage(path: Path) -> None:
    """INV: prices, discounts and caps are data."""
    if path in LEGAL_TEXTS:
        assert re.findall(r"[¥￥]\s*\d", source(path)) == []
        return
    assert re.findall(r"[¥￥]\s*\d|\d+\s*%(?!})|\d+\s*折", source(path)) == []


@each_template
def test_every_chinese_text_can_be_translated(path: Path) -> None:
    if path in LEGAL_TEXTS or path.name in STANDALONE:
        return
    text = source(path)
    text = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", text, flags=re.S)
    text = re.sub(r"{% translate .*?%}", "", text)
    text = text.replace("简体中文", "")  # the name of a language is its own translation
    assert re.findall(rf".{{0,20}}{CHINESE}.{{0,20}}", text) == []


@each_template
def test_a_fragment_is_named_like_the_element_it_swaps(path: Path) -> None:
    text = source(path)
    found = re.findall(
        r"{% partialdef ([\w-]+) inline %}(.*?){% endpartialdef \1 %}", text, re.S
    )
    nested = sum(body.count("{% partialdef ") for _, body in found)
    assert len(found) + nested == text.count("{% partialdef ")
    for name, body in found:
        first_tag = re.search(r"<\w+[^>]*>", body)
        assert first_tag
        assert f'id="{name}"' in first_tag[0]


@each_template
def test_blocks_are_closed_by_name(path: Path) -> None:
    assert re.findall(r"{% end(?:block|partialdef) %}", source(path)) == []


def test_the_static_error_pages_stand_alone() -> None:
    pages = [FOLDER / name for name in STANDALONE]
    pages += [settings.BASE_DIR / f"static/errors/{name}" for name in STANDALONE]
    for page in pages:
        text = page.read_text()
        assert "{% " not in text.replace("{% if request_id %}", "").replace(
            "{% endif %}", ""
        )
        assert set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text)) == {
            "/static/img/favicon.svg",
            "/static/errors/error.css",
        }
    copy = settings.BASE_DIR / "static/errors/503.html"
    assert copy.read_text() == (FOLDER / "503.html").read_text()


@pytest.mark.parametrize("name", STATES)
def test_a_page_carries_the_icons_that_it_shows(name: str) -> None:
    """The choice page leaves out those that it has no use for."""
    with override_settings(ROOT_URLCONF="tests.pages.urls"):
        content = render(name)
    shown = set(re.findall(r'<use href="#([^"]+)"', content))
    assert shown <= set(re.findall(r'<symbol id="([^"]+)"', content))
