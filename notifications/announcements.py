"""The announcement that every page shows, kept in the process for a few seconds."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.db.models.signals import post_delete, post_save
from django.utils.translation import get_language

from notifications.models import Announcement

_SECONDS = 5.0
_kept: tuple[float, list[Announcement]] | None = None


def current(*, now: datetime) -> dict[str, Any] | None:
    """The one that began last of those that run, in the reader's language.

    A change made by another process is seen within five seconds.
    """
    running = [each for each in _not_over(now) if each.runs_at(now)]
    if not running:
        return None
    told = running[0]
    text = (told.text_en if get_language() == "en" else "") or told.text
    return {"text": text, "url": told.link}


def _not_over(now: datetime) -> list[Announcement]:
    global _kept
    at = time.monotonic()
    if _kept is None or at - _kept[0] > _SECONDS:
        ahead = Q(ends_at__isnull=True) | Q(ends_at__gt=now)
        _kept = (at, list(Announcement.objects.filter(ahead)))
    return _kept[1]


def forget(**_: object) -> None:
    global _kept
    _kept = None


for signal in (post_save, post_delete):
    signal.connect(
        forget, sender=Announcement, dispatch_uid="notifications.announcements.forget"
    )
