"""What an automatic renewal has to do next: decided without database, clock or HTTP.

By default (operators tune it): a notice five days before the charge; the charge 24
hours before the end, earlier where that is outside 09:00–21:00; after a failure again
6 hours and 1 hour before the end where that is inside; nothing after the end (R23).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from members.models import ShopRules
from members.reminders import SHANGHAI
from orders.models import Status
from payments.renewing.renewal_models import EndedBy

UNHURRIED = timedelta(days=3)
"""A charge comes so long after its notice has gone out, or not at all (INV-15)."""
LOOK_AGAIN = timedelta(hours=1)
"""Nothing is trusted for longer: a refund or an operator may move the end forward."""
RESULT_WAIT = timedelta(minutes=5)
"""From one look at a charge without a result to the next."""
BEFORE_CLOSING = timedelta(hours=1)
"""What falls outside the hours is charged so long before they end."""


class Do(StrEnum):
    WAIT = "wait"
    TELL = "tell"
    CHARGE = "charge"
    RESEND = "resend"  # the same charge under the same number
    END = "end"


@dataclass(frozen=True, slots=True)
class Charge:
    """The newest attempt at a renewal's order.

    unanswered  never heard of since it was written: its worker may have died
    """

    made_at: datetime
    live: bool
    by_mandate: bool = True
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """One member's renewal as the database has it.

    paid_until   None while paused, and once nothing is left
    price_fen    what the plan costs now
    told_fen     the sum in the notice for this very end, None before it was written
    heard_at     when that notice reached her, None while it has not
    order        status of the order for this end, "" before there is one
    order_fits   the order is for what the consent allows
    """

    paid_until: datetime | None
    paused: bool
    on_sale: bool
    price_fen: int
    consent_fen: int
    told_fen: int | None = None
    heard_at: datetime | None = None
    order: str = ""
    order_fits: bool = True
    charge: Charge | None = None

    @property
    def amount_fen(self) -> int:
        """Never more than she agreed to, nor than she was told, nor than it costs."""
        return min(self.price_fen, self.consent_fen, self.told_fen or self.price_fen)


@dataclass(frozen=True, slots=True)
class Step:
    """``at`` is when to look again; ``why`` only with ``END``."""

    do: Do
    at: datetime
    why: EndedBy | None = None


def next_step(facts: Facts, rules: ShopRules, *, now: datetime) -> Step:
    """Decide; whatever is due has no limit to how late it is, except the end."""
    end, charge = facts.paid_until, facts.charge
    if charge is not None and charge.live:
        return _awaiting(charge, end, rules, now)
    if end is None and facts.paused:
        return _wait(now)  # E15
    if end is None or now >= end:
        return _end(EndedBy.FAILED if charge else EndedBy.LAPSED, now)
    if facts.order and (facts.order != Status.PENDING or not facts.order_fits):
        return _wait(now, end)
    if not facts.on_sale:
        return _end(EndedBy.PLAN, now)  # E14
    if facts.price_fen > facts.consent_fen:
        return _end(EndedBy.PRICE, now)  # E13
    if facts.told_fen is None:
        return _notice(end, rules, now)
    if facts.heard_at is None:
        return _wait(now, end)
    if charge is None:
        at = max(charge_at(end, rules), facts.heard_at + UNHURRIED)
        return _charge_from(at, end, rules, now) or _wait(now, end)
    return _retry(charge, end, rules, now)


def charge_at(end: datetime, rules: ShopRules) -> datetime:
    """When the first charge is due (E8)."""
    at = end - timedelta(seconds=rules.renewal_charge_seconds)
    if is_inside(at, rules):
        return at
    local = at.astimezone(SHANGHAI)
    day = local if local.hour >= rules.renewal_until_hour else local - timedelta(days=1)
    closing = day.replace(
        hour=rules.renewal_until_hour, minute=0, second=0, microsecond=0
    )
    return (closing - BEFORE_CLOSING).astimezone(end.tzinfo)


def planned_charge(facts: Facts, rules: ShopRules, *, now: datetime) -> datetime | None:
    """When money will be taken next if nothing changes; None: not for this end.

    What a page promises, by the very rules of ``next_step``.
    """
    end, charge = facts.paid_until, facts.charge
    ends_first = next_step(facts, rules, now=now).do == Do.END
    if end is None or ends_first or (charge is not None and charge.live):
        return None
    if facts.order and (facts.order != Status.PENDING or not facts.order_fits):
        return None
    if charge is not None:
        tries = (
            _inside_from(moment, end, rules, now)
            for moment in _left(charge, end, rules)
        )
        return next((at for at in tries if at is not None), None)
    heard_at = facts.heard_at or max(now, notice_at(end, rules))
    if facts.told_fen is None and _is_too_late_to_tell(heard_at, end, rules):
        return None
    return _inside_from(
        max(charge_at(end, rules), heard_at + UNHURRIED), end, rules, now
    )


def will_try_again(facts: Facts, rules: ShopRules, *, now: datetime) -> bool:
    """Whether a charge for this end has failed and another try is to come."""
    charge = facts.charge
    if charge is None or charge.live or not charge.by_mandate:
        return False
    return planned_charge(facts, rules, now=now) is not None


def notice_at(end: datetime, rules: ShopRules) -> datetime:
    return charge_at(end, rules) - timedelta(seconds=rules.renewal_notice_seconds)


def retries(end: datetime, rules: ShopRules) -> list[datetime]:
    """When a failed charge is tried again; what is outside the hours is dropped (E11)."""
    ahead = (rules.renewal_retry_seconds, rules.renewal_last_retry_seconds)
    moments = (end - timedelta(seconds=seconds) for seconds in ahead)
    return [moment for moment in moments if is_inside(moment, rules)]


def is_inside(at: datetime, rules: ShopRules) -> bool:
    hour = at.astimezone(SHANGHAI).hour
    return rules.renewal_from_hour <= hour < rules.renewal_until_hour


def _awaiting(
    charge: Charge, end: datetime | None, rules: ShopRules, now: datetime
) -> Step:
    """No other number while one has no result; the same may be sent again (E12)."""
    later = Step(Do.WAIT, now + RESULT_WAIT)
    if not charge.by_mandate or end is None or now >= end or not is_inside(now, rules):
        return later
    lost = charge.unanswered and now >= charge.made_at + RESULT_WAIT
    again = any(
        charge.made_at < moment <= now < moment + 2 * RESULT_WAIT
        for moment in retries(end, rules)
    )
    return Step(Do.RESEND, now + RESULT_WAIT) if lost or again else later


def _notice(end: datetime, rules: ShopRules, now: datetime) -> Step:
    at = notice_at(end, rules)
    if now < at:
        return _wait(now, at)
    if _is_too_late_to_tell(now, end, rules):
        return _wait(now, end)  # nothing is charged for this end
    return Step(Do.TELL, now)


def _is_too_late_to_tell(at: datetime, end: datetime, rules: ShopRules) -> bool:
    last = end - timedelta(seconds=rules.renewal_last_retry_seconds)
    return at + UNHURRIED > last


def _retry(charge: Charge, end: datetime, rules: ShopRules, now: datetime) -> Step:
    """The next try after a failed one; after the last it is over."""
    for moment in _left(charge, end, rules):
        step = _charge_from(moment, end, rules, now)
        if step is not None:
            return step
    return _end(EndedBy.FAILED, now)


def _left(charge: Charge, end: datetime, rules: ShopRules) -> list[datetime]:
    return [moment for moment in retries(end, rules) if moment > charge.made_at]


def _charge_from(
    at: datetime, end: datetime, rules: ShopRules, now: datetime
) -> Step | None:
    """Charge at this moment or, when it has passed, as soon as the hours allow."""
    moment = _inside_from(at, end, rules, now)
    if moment is None:
        return None
    return Step(Do.CHARGE, now + RESULT_WAIT) if moment <= now else _wait(now, moment)


def _inside_from(
    at: datetime, end: datetime, rules: ShopRules, now: datetime
) -> datetime | None:
    """The first moment from ``at`` on, and not past, inside the hours; None after the
    end."""
    at = max(at, now)
    if not is_inside(at, rules):
        local = at.astimezone(SHANGHAI)
        opening = local.replace(
            hour=rules.renewal_from_hour, minute=0, second=0, microsecond=0
        )
        at = opening if opening > at else opening + timedelta(days=1)
    return at if at < end else None


def _wait(now: datetime, until: datetime | None = None) -> Step:
    later = now + LOOK_AGAIN
    return Step(Do.WAIT, min(later, until) if until else later)


def _end(why: EndedBy, now: datetime) -> Step:
    return Step(Do.END, now, why)
