"""Web push: reminders that a browser shows although the page is closed.

An extra beside SMS and the site (docs/web-push.md). Off while it has no key; then
nothing of it is shown anywhere.
"""

from __future__ import annotations

import re

from django.conf import settings

SUBJECT = re.compile(r"mailto:[^@\s]+@[^@\s]+|https://[^\s/]+\S*")


def is_on() -> bool:
    return bool(settings.VAPID_PRIVATE_KEY and settings.VAPID_SUBJECT)


def public_key() -> str:
    """What a browser subscribes with; changing the key ends all subscriptions."""
    from notifications.push import seal  # loads the cryptography: not at the start

    return seal.to_text(seal.public_bytes(seal.vapid_key(settings.VAPID_PRIVATE_KEY)))


def problems() -> list[str]:
    """What keeps push from working, each line naming its variable."""
    from notifications.push import seal

    found = []
    key, subject = settings.VAPID_PRIVATE_KEY, settings.VAPID_SUBJECT
    if settings.PRODUCTION and settings.PUSH_SANDBOX_URL:
        found.append("PUSH_SANDBOX_URL: the sandbox in production")
    if subject and not key:
        found.append("VAPID_PRIVATE_KEY: empty, and VAPID_SUBJECT is set")
    if key and not subject:
        found.append("VAPID_SUBJECT: empty, and VAPID_PRIVATE_KEY is set")
    if subject and not SUBJECT.fullmatch(subject):
        found.append("VAPID_SUBJECT: neither mailto: nor https:")
    if key:
        try:
            seal.vapid_key(key)
        except seal.BadKey:
            found.append("VAPID_PRIVATE_KEY: no P-256 key as PEM or 32 bytes base64url")
    return found
