"""The English catalogue: find the Chinese texts, keep their translations, compile.

Run by ``bin/messages``. A text that is gone leaves the catalogue, a new one comes in
empty and is named; nothing is guessed from similar texts. ``.po`` and ``.mo`` are both
committed, so that neither gettext nor Babel is needed to run the shop.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "locale/en/LC_MESSAGES"
PO, MO = FOLDER / "django.po", FOLDER / "django.mo"
APPS = ("goods", "kameng", "members", "notifications", "orders", "payments")
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    **{f"{name}_lazy": DEFAULT_KEYWORDS[name] for name in ("gettext", "ngettext")},
    **{f"{name}_lazy": DEFAULT_KEYWORDS[name] for name in ("pgettext", "npgettext")},
    "gettext_noop": None,
}
PLACEHOLDER = re.compile(r"%\(\w+\)s|%[sd]|{\w*}")

type Message = str | tuple[str, ...]


def sources() -> Iterator[Path]:
    for app in APPS:
        yield from sorted((ROOT / app).rglob("*.py"))
    yield from sorted((ROOT / "templates").rglob("*.html"))


def found_in(path: Path) -> Iterator[tuple[str, object]]:
    """(function, message) for each call; templates are turned into calls first."""
    text = path.read_text()
    if path.suffix == ".html":
        text = re.sub(r"^[ \t]+", "", templatize(text), flags=re.MULTILINE)
    calls = extract_python(BytesIO(text.encode()), KEYWORDS, (), {"encoding": "utf-8"})
    for call in calls:
        yield str(call[1]), call[2]


def extracted() -> dict[tuple[Message, str | None], None]:
    """(text or (singular, plural), context) of every text, in the order of the files."""
    found: dict[tuple[Message, str | None], None] = {}
    for path in sources():
        for function, message in found_in(path):
            context = None
            parts = message if isinstance(message, tuple) else (message,)
            texts = tuple(part for part in parts if isinstance(part, str))
            if "pgettext" in function and texts:
                context, texts = texts[0], texts[1:]
            if texts and texts[0]:
                plural = "ngettext" in function or "npgettext" in function
                found[texts[:2] if plural else texts[0], context] = None
    return found


def stored() -> Catalog:
    if not PO.exists():
        return Catalog(locale="en")
    with PO.open("rb") as file:
        return read_po(file, locale="en")


def merged() -> Catalog:
    """The texts of today with the translations of the file."""
    old = stored()
    new = Catalog(
        locale="en",
        domain="django",
        project="kameng",
        version="1",
        header_comment="# English texts of the shop; the msgids are the Chinese ones.",
        msgid_bugs_address="kameng",
        # Kept, so that the file changes only where a text does.
        creation_date=old.creation_date,
        revision_date=old.creation_date,
        last_translator="kameng",
        language_team="en",
        fuzzy=False,
    )
    for message, context in extracted():
        known = old.get(message, context)
        kept = known.string if known and known.string else ""
        if isinstance(message, tuple) and isinstance(kept, str):
            kept = ("", "")
        new.add(message, kept, context=context)
    return new


def forms(text: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    """The plural forms of a message or a translation; one where it has no plural."""
    return (text or "",) if isinstance(text, str | None) else tuple(text)


def complaints(catalog: Catalog) -> Iterator[str]:
    """What is not translated, or not with the same placeholders."""
    for message in catalog:
        if not message.id:
            continue
        ids, words = forms(message.id), forms(message.string)
        if message.fuzzy or not all(words):
            yield f"not translated: {ids[0]}"
            continue
        expected = set(PLACEHOLDER.findall(ids[0]))
        for word in words:
            if set(PLACEHOLDER.findall(word)) != expected:
                yield f"other placeholders: {ids[0]} / {word}"


def po_bytes(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_po(file, catalog, width=88, no_location=True, sort_output=True)
    return file.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/messages", description=__doc__)
    parser.parse_args()
    catalog = merged()
    FOLDER.mkdir(parents=True, exist_ok=True)
    PO.write_bytes(po_bytes(catalog))
    MO.write_bytes(mo_bytes(catalog))
    found = list(complaints(catalog))
    report = [f"{len(catalog)} texts, {len(found)} to do", *found]
    sys.stdout.write("\n".join(report) + "\n")
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main())
