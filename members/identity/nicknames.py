"""A name that a stranger has chosen, made fit to be shown (security 63)."""

from __future__ import annotations

LONGEST = 32
_LOOKED_AT = 1024


def clean(text: str) -> str:
    """At most 32 characters on one line, nothing invisible, nothing that turns the
    direction of what stands beside it.

    ``isprintable`` leaves out control and format characters (bidi overrides, zero-width
    joiners, NUL), lone surrogates, private and unassigned ones. Markup stays as the text
    it is: pages escape it.
    """
    line = " ".join(text[:_LOOKED_AT].split())
    return "".join(filter(str.isprintable, line))[:LONGEST].strip()
