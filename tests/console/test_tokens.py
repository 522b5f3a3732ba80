"""The console wears the shop's colours: one table of tokens, written in two files."""

from __future__ import annotations

import re

from django.conf import settings

TOKEN = re.compile(r"(--[a-z0-9]+):\s*(#[0-9A-F]{6})")


def tables(path: str) -> list[dict[str, str]]:
    """The blocks of a stylesheet that give colours their values, in order."""
    css = (settings.BASE_DIR / "static" / path).read_text()
    blocks = (dict(TOKEN.findall(block)) for block in css.split("}"))
    return [block for block in blocks if len(block) > 10]


def test_light_and_dark_are_the_shops() -> None:
    light, dark = tables("css/site.css")[:2]
    assert len(light) == len(dark) > 15
    assert tables("console/console.css") == [light, dark, dark]
