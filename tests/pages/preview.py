"""Look at every state: ``python -m tests.pages.preview FOLDER [NAME …] [--english]``.

Writes each state as HTML and as pictures (phone and desktop, light and dark, narrow).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import ConsoleMessage, sync_playwright

SIZES: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "phone-light": (390, 844, "light"),
    "phone-dark": (390, 844, "dark"),
    "desktop-light": (1280, 800, "light"),
    "desktop-dark": (1280, 800, "dark"),
    "narrow-light": (320, 640, "light"),
}


def report(said: ConsoleMessage) -> None:
    sys.stderr.write(f"{said.text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--english", action="store_true")
    parser.add_argument("--sizes", default=",".join(SIZES))
    wanted = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")
    import django

    django.setup()

    from tests.browser import CHROMIUM_ARGUMENTS, find_chromium
    from tests.pages.site import serve
    from tests.pages.states import HANDED_OVER, STATES

    language = "en" if wanted.english else "zh-hans"
    wanted.folder.mkdir(parents=True, exist_ok=True)
    with serve(language) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS)
        )
        for size in wanted.sizes.split(","):
            width, height, scheme = SIZES[size]
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page.add_init_script(HANDED_OVER)
            page.on("console", report)
            for name in wanted.names or STATES:
                page.goto(f"{address}/{name}")
                page.screenshot(
                    path=wanted.folder / f"{name}--{size}.png", full_page=True
                )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
