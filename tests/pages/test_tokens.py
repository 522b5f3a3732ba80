"""The colours of the stylesheet against the table they were chosen by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

CSS = Path(settings.BASE_DIR / "static/css/site.css").read_text()
ERRORS = Path(settings.BASE_DIR / "static/errors/error.css").read_text()

# pair: contrast in light and in dark
TABLE = {
    "ink / bg": (14.56, 16.17),
    "ink2 / bg": (6.71, 8.77),
    "ink / surface": (16.17, 14.55),
    "ink2 / surface": (7.45, 7.90),
    "ink / tint": (13.41, 11.89),
    "ink2 / tint": (6.18, 6.45),
    "ink2 / sunken": (6.08, 6.84),
    "brand / bg": (7.05, 9.51),
    "brand / surface": (7.82, 8.56),
    "brand / tint": (6.49, 6.99),
    "onbrand / brand": (7.82, 8.79),
    "onbrand / brandh": (10.69, 10.52),
    "seal / bg": (5.38, 8.64),
    "seal / surface": (5.97, 7.78),
    "seal / tint": (4.95, 6.35),
    "seal / sealt": (5.00, 7.04),
    "warn / warnt": (6.34, 8.64),
    "ok / okt": (5.64, 8.14),
    "danger / surface": (6.54, 8.25),
    "danger / dangert": (5.46, 7.62),
    "edge / surface": (3.87, 4.34),
    "edge / bg": (3.48, 4.82),
    "focus / bg": (6.04, 9.44),
    "focus / surface": (6.70, 8.50),
}
EDGES = {"edge", "focus"}


def tokens(css: str) -> tuple[dict[str, str], dict[str, str]]:
    """The colours of the light block and of the dark one."""
    light, _, rest = css.partition("prefers-color-scheme: dark")
    dark = rest[: rest.index("}")]
    return colours(light), colours(dark)


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+):(#[0-9A-F]{6})", block))


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("pair", TABLE)
def test_a_pair_of_colours_has_the_contrast_it_was_chosen_for(
    pair: str, scheme: int
) -> None:
    front, back = pair.split(" / ")
    palette = tokens(CSS)[scheme]
    found = contrast(palette[front], palette[back])
    assert found == pytest.approx(TABLE[pair][scheme], abs=0.006)
    assert found >= (3.0 if front in EDGES else 4.5)


def test_the_error_pages_use_the_same_colours() -> None:
    for ours, theirs in zip(tokens(CSS), tokens(ERRORS), strict=True):
        assert theirs
        assert theirs.items() <= ours.items()


def test_only_the_tokens_name_a_colour() -> None:
    body = CSS[CSS.index("@layer reset {") : CSS.index("@media print")]
    named = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", body))
    assert named == {"#fff"}  # the QR code's tile stays white in the dark
