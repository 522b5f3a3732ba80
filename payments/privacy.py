"""What the shop holds about a person: out as a file, or gone (security 75).

The law wants orders and receipts kept, so their rows stay and the person leaves them:
phone, identities, passkeys, addresses and sessions go, and nobody can sign in again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, Model

from members.models import Member, OneTimeCode, RealName
from members.sign_in import codes
from members.timeline import lock_member
from orders.models import Order, Status
from payments.models import Attempt, Refund
from payments.renewing import mandates
from payments.renewing.renewal_models import EndedBy

UNDO = timedelta(days=7)


class Unfinished(Exception):
    """Money may still come or go: an order is open, a payment or a refund under way."""


class NotAPerson(Exception):
    """Staff accounts are closed in the console, not erased."""


_PARTS = {
    "orders": "no title quantity amount_fen currency status placed_at paid_at",
    "entitlements": "seconds revoked_seconds source created_at",
    "segments": "starts_at ends_at",
    "pauses": "starts_at ends_at",
    "notifications": "kind channel params state created_at sent_at read_at",
    "identities": "provider openid unionid nickname created_at used_at",
    "passkeys": "name created_at used_at",
    "push_subscriptions": "endpoint created_at last_success_at",
    "visit_days": "day",
    "advice_records": "at shown_id chosen_id features",
    "real_name_checks": "consent_version asked_at provider outcome",
    "opt_outs": "kind channel created_at",
    "former_phones": "phone left_at",
    "renewal_consents": "price_fen days terms agreed_at signed_at ended_at ended_by",
}
_PAYMENTS = "channel amount_fen state txn_id payer_ip created_at paid_at"
_REFUNDS = "amount_fen reason state created_at finished_at"


def export(member: Member) -> dict[str, Any]:
    """Everything about her, ready for JSON; moments are ISO 8601."""
    payments = Attempt.objects.filter(order__member=member)
    refunds = Refund.objects.filter(attempt__order__member=member)
    return {
        "phone": member.phone,
        "created_at": member.created_at,
        "paid_until": member.paid_until,
        "real_name": _real_name(member),
        **{
            part: _rows(getattr(member, part).order_by("pk"), fields)
            for part, fields in _PARTS.items()
        },
        "payments": _rows(payments.order_by("pk"), _PAYMENTS),
        "refunds": _rows(refunds.order_by("pk"), _REFUNDS),
    }


def _real_name(member: Member) -> dict[str, Any] | None:
    """That a name was verified, and when; the shop has no more of it."""
    held = RealName.objects.filter(member=member)
    return next(iter(_rows(held, "verified_at provider adult_on")), None)


def _rows(found: Iterable[Model], fields: str) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in fields.split()} for row in found]


@transaction.atomic(durable=True)
def ask_to_erase(member_id: int, *, now: datetime) -> datetime:
    """Erase her in seven days; a repeat keeps the first day. Returns when."""
    member = lock_member(member_id)
    if member.erase_at is None:
        member.erase_at = now + UNDO
        member.save(update_fields=["erase_at"])
    return member.erase_at


@transaction.atomic(durable=True)
def keep(member_id: int) -> None:
    """She has thought better of it."""
    member = lock_member(member_id)
    member.erase_at = None
    member.save(update_fields=["erase_at"])


def erase_due(*, now: datetime, limit: int = 50) -> int:
    """Erase whose seven days are over; what is unfinished waits for the next run."""
    due = Member.objects.filter(erase_at__lte=now, erased_at=None).order_by("erase_at")
    done = 0
    for member_id in list(due.values_list("pk", flat=True)[:limit]):
        try:
            done += erase(member_id, now=now, due=True)
        except Unfinished:
            continue
    return done


def erase(member_id: int, *, now: datetime, due: bool = False) -> bool:
    """Take the person out of everything; False when there was nothing to do.

    due  only if her seven days are over, read under the lock: she may undo meanwhile

    raises  Unfinished, NotAPerson
    """
    with transaction.atomic(durable=True):
        hers = Order.objects.select_for_update().filter(member_id=member_id)
        orders = list(hers.order_by("pk"))
        member = lock_member(member_id)
        if member.is_staff:
            raise NotAPerson
        if member.erased_at or (
            due and not (member.erase_at and member.erase_at <= now)
        ):
            return False
        _refuse_unfinished(member, orders, now=now)
        phone = member.phone
        Order.objects.filter(member=member).update(address_digest="")
        Attempt.objects.filter(order__member=member).update(
            payer_ip=None, handover=None
        )
        member.identities.all().delete()
        member.passkeys.all().delete()
        member.push_subscriptions.all().delete()
        member.visit_days.all().delete()
        member.advice_records.all().delete()
        RealName.objects.filter(member=member).delete()
        member.opt_outs.all().delete()
        member.former_phones.all().delete()
        mandates.end_all_locked(member.pk, EndedBy.MEMBER, now=now)
        kind = ContentType.objects.get_for_model(Member)
        about = LogEntry.objects.filter(content_type=kind, object_id=str(member.pk))
        about.update(object_repr=f"#{member.pk}")
        if phone is not None:
            OneTimeCode.objects.filter(phone=phone).delete()
            codes.unblock(phone)
        Member.objects.filter(pk=member.pk).update(
            phone=None,
            phone_proved_at=None,
            password=make_password(None),
            is_active=False,
            last_login=None,
            guide_done=[],
            erased_at=now,
            version=F("version") + 1,
        )
    _end_sessions(member_id)
    return True


def _refuse_unfinished(
    member: Member, orders: Iterable[Order], *, now: datetime
) -> None:
    if any(each.status == Status.PENDING and each.expires_at > now for each in orders):
        raise Unfinished
    mine = Attempt.objects.filter(order__member=member, next_query_at__isnull=False)
    theirs = Refund.objects.filter(
        attempt__order__member=member, next_query_at__isnull=False
    )
    if mine.exists() or theirs.exists():
        raise Unfinished


def _end_sessions(member_id: int) -> None:
    """Delete her sessions; they name her only inside, so each one is read."""
    wanted = str(member_id)
    gone = [
        session.pk
        for session in Session.objects.iterator()
        if session.get_decoded().get("_auth_user_id") == wanted
    ]
    Session.objects.filter(pk__in=gone).delete()
