"""After an activation: the popup, and three tasks until they are put away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from members.models import Member

FRESH = timedelta(hours=1)
TASKS = (
    ("zone", "zone"),
    ("remaining", "account"),
    ("orders", "account-orders"),
)


def is_fresh(paid_at: datetime | None, *, now: datetime) -> bool:
    """Whether the popup belongs on the page; the browser shows it once an order."""
    return paid_at is not None and now - paid_at < FRESH


def tick(member: Member, code: str) -> None:
    """Mark a task as done; an unknown code changes nothing."""
    if code in {known for known, _ in TASKS} and code not in member.guide_done:
        member.guide_done = [*member.guide_done, code]
        member.save(update_fields=["guide_done"])


def dismiss(member: Member, *, now: datetime) -> None:
    member.guide_dismissed_at = now
    member.save(update_fields=["guide_dismissed_at"])


def of(member: Member) -> dict[str, Any] | None:
    """The tasks of a new member; None once she put them away."""
    if member.guide_dismissed_at is not None:
        return None
    tasks = [
        {
            "code": code,
            "url": reverse(url) + f"?guide={code}",
            "done": code in member.guide_done,
        }
        for code, url in TASKS
    ]
    return {"tasks": tasks, "done": sum(bool(task["done"]) for task in tasks)}
