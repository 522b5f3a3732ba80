"""What every page of the shop shows: the shop's own data, the badge, the notice bar."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from kameng.http import member_of
from members import reminders, rules
from members.models import Member
from members.standing import Standing, standing
from members.tiers import catalogue
from notifications import announcements, choices
from notifications.messages import Channel

WARN = timedelta(hours=24)
NOTICE = timedelta(days=3)
AFTERWARDS = timedelta(days=7)
DISMISSED = "dismissed_notice"


def shop(request: HttpRequest) -> dict[str, Any]:
    """Context processor; the badge costs its one query only where it is shown."""
    if not hasattr(request, "user"):  # an error page before the middleware ran
        return {"shop": shop_data()}
    return {
        "shop": shop_data(),
        "badge": SimpleLazyObject(lambda: badge(request)),
        "expiry_notice": SimpleLazyObject(lambda: expiry_notice(request)),
        "announcement": announcements.current(now=request.now),  # type: ignore[attr-defined]
    }


def shop_data() -> dict[str, str]:
    row = rules.current()
    return {
        "name": row.shop_name,
        "company": row.company,
        "icp": row.icp_number,
        "license": row.license_number,
        "support_hours": row.support_hours,
        "support_contact": row.support_contact,
        "support_url": row.support_url,
        "public_host": settings.PUBLIC_HOST,
    }


def standing_of(request: HttpRequest) -> Standing:
    """The member's standing at this request's moment, read once."""
    known: Standing | None = getattr(request, "standing", None)
    if known is None:
        at = request.now  # type: ignore[attr-defined]
        known = Standing(at)
        if request.user.is_authenticated:
            known = standing(request.user, at=at)
        request.standing = known  # type: ignore[attr-defined]
    return known


def forget_standing(request: HttpRequest) -> None:
    """Read it again: who asked as a guest has just signed in."""
    if hasattr(request, "standing"):
        del request.standing


def badge(request: HttpRequest) -> dict[str, Any]:
    """The remaining time beside the account link; empty for a guest."""
    user = request.user
    if not user.is_authenticated:
        return {}
    held = standing_of(request)
    if held.tier is not None:
        assert held.paid_until is not None
        return {
            "active": True,
            "tier_name": catalogue.tier_name(held.tier),
            "ends_at": held.tier_ends_at,
            "expires_soon": held.paid_until - held.at < WARN,
        }
    if held.paused:
        return {"paused": True, "tier_name": _("会员")}
    ended = ended_at(user, held)
    return {"expired_recently": ended is not None}


def ended_at(member: Member, held: Standing) -> Any:
    """When the membership ended, within the last seven days, else None."""
    end = member.paid_until
    return end if end is not None and end <= held.at < end + AFTERWARDS else None


def expiry_notice(request: HttpRequest) -> dict[str, Any]:
    """The bar above the header: from three days before the end to seven days after.

    Not shown for what was bought less than a day ago (E3), nor once dismissed.
    """
    user = request.user
    if not user.is_authenticated:
        return {}
    held = standing_of(request)
    end = held.paid_until or ended_at(user, held)
    if end is None or end - held.at > NOTICE:
        return {}
    started: Any = getattr(user, "timeline_at", None)
    if end > held.at and started is not None and held.at - started < WARN:
        return {}
    stage = "ended" if end <= held.at else "day" if end - held.at < WARN else "soon"
    key = f"{stage}:{int(end.timestamp())}"
    if request.session.get(DISMISSED) == key or choices.is_off(
        user.pk, reminders.KIND, Channel.SITE
    ):
        return {}
    told = reminders.told_of_renewal(user, end) if end > held.at else None
    return {
        "ends_at": end,
        "ended": end <= held.at,
        "key": key,
        "renewal": {
            "amount_fen": told["price"],
            "at": datetime.fromisoformat(str(told["end"])),
            "off_url": reverse("account-renewal"),
        }
        if told
        else None,
    }


def standing_facts(request: HttpRequest) -> dict[str, Any] | None:
    """What runs, what waits, what stands still; None for someone without time."""
    member = member_of(request)
    held = standing_of(request)
    if member is None or (held.tier is None and not held.paused):
        return None
    return {
        "tier_name": catalogue.tier_name(held.tier) if held.tier else _("会员"),
        "discount_bp": held.discount_bp,
        "ends_at": held.tier_ends_at,
        "paid_until": held.paid_until,
        "paused": held.paused,
        "segments": [
            {
                "tier_name": catalogue.tier_name(segment.entitlement.tier),
                "kind": segment.entitlement.tier.kind,
                "starts_at": segment.starts_at,
                "ends_at": segment.ends_at,
                "running": segment is held.running,
            }
            for segment in held.segments
        ],
    }
