"""Values that no honest browser sends."""

from __future__ import annotations

PROBE = "\"'><svg/onload=alert(7)>{{7331*7333}}${7331*7333}</textarea></script>"
PRODUCT = str(7331 * 7333)
HOSTILE: dict[str, str] = {
    "markup": PROBE,
    "script URL": "javascript:alert(7)",
    "NUL": "a\0b",
    "only NUL": "\0" * 20,
    "NUL in a token": "client-token-00\0001",
    "control characters": "\x01\x1b[31m\x7f\x85\u2028",
    "direction marks": "\u202e\u200b\ufeff138",
    "newlines": "a\r\nSet-Cookie: x=1\r\n\r\n<b>",
    "10 kB": "A" * 10_000,
    "emoji": "🧧" * 50,
    "outside the planes": "\U0010fffd\ufffe",
    "SQL": "1' OR '1'='1'; --",
    "lookup": "member__phone__startswith=1",
    "template": "{% load x %}{{ settings.SECRET_KEY }}",
    "negative": "-1",
    "float": "1e3",
    "huge": "9" * 400,
    "full-width": "１３８００１３８０００",
    "path": "../../../../etc/passwd",
    "empty": "",
}
