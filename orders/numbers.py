"""Numbers that people and gateways see: 128 random bits without ambiguous letters."""

from __future__ import annotations

import re
import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
LENGTH = 26
PATTERN = re.compile(rf"[{_ALPHABET}]{{{LENGTH}}}")


def random_number() -> str:
    """26 capitals and digits; fits every gateway's rule for merchant numbers."""
    bits = secrets.randbits(128)
    letters = []
    for _ in range(LENGTH):
        bits, digit = divmod(bits, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


def tidy(typed: str) -> str:
    """A number as a person types it: groups, lower case and look-alikes allowed."""
    compact = re.sub(r"[\s\-‐–—]", "", typed).upper()
    return compact.replace("O", "0").replace("I", "1").replace("L", "1")
