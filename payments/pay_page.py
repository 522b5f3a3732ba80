"""What the pay page says: one word for where the order stands, and the ways on.

Everything here is read; nothing is decided. Nothing says that no money was taken
before the gateway was asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import get_language

from kameng.devices import Device, device_of
from kameng.http import ShopRequest
from members import guide, rules
from members.context import standing_of
from members.models import Segment
from members.sign_in import way_back
from members.tiers import catalogue
from notifications.push import subscriptions
from orders.delivery_state import facts
from orders.models import Fulfil, Kind, Order, Status
from payments import channels, openid
from payments.attempts import handover_of, is_locked_for_check
from payments.gateways.contract import Channel, HandoverKind, Product
from payments.models import UNDER_WAY, Attempt, AttemptState, Refund, RefundState
from payments.polling import SECOND_QUERY
from payments.refunding import returning
from payments.renewing import renewal_state

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

SLOW = timedelta(seconds=60)

WAITING = {"ready", "returned", "slow", "unknown", "activating", "link_expired"}
"""States in which the page keeps asking."""


@dataclass(slots=True)
class Story:
    """An order with its attempts and refunds, read once."""

    order: Order
    attempts: list[Attempt]
    refunds: list[Refund]
    now: datetime

    @classmethod
    def of(cls, order: Order, *, now: datetime) -> Story:
        attempts = list(order.attempts.order_by("id"))
        for attempt in attempts:
            attempt.order = order
        paid = [a.pk for a in attempts if a.state == AttemptState.PAID]
        found = Refund.objects.filter(attempt__in=paid).order_by("id")
        refunds = list(found) if paid else []
        return cls(order, attempts, refunds, now)

    @property
    def live(self) -> Attempt | None:
        """The attempt that the page offers: the newest live one."""
        return next((a for a in reversed(self.attempts) if a.is_live), None)

    @property
    def shown(self) -> Attempt | None:
        return self.live or (self.attempts[-1] if self.attempts else None)

    @property
    def settling(self) -> Attempt | None:
        """The attempt whose money paid the order."""
        settled_by = self.order.settled_by_id
        return next((a for a in self.attempts if a.pk == settled_by), None)

    def status_word(self) -> str:
        """pending, paid, held, expired, cancelled, refunding, refunded or
        part_refunded (F16)."""
        if self.order.status == Status.PAID:
            return self._paid_word()
        if self.refund is not None:
            done = self.refund.state == RefundState.SUCCESS
            return "refunded" if done else "refunding"
        return self.order.status_at(self.now)

    def _paid_word(self) -> str:
        if any(refund.state in UNDER_WAY for refund in self.returns):
            return "refunding"
        back = sum(refund.amount_fen for refund in self.returns)
        paid = self.settling.paid_fen if self.settling else None
        if back:
            return "refunded" if back >= (paid or 0) else "part_refunded"
        return "held" if self.order.fulfil == Fulfil.HELD else "paid"

    @property
    def alive(self) -> list[Refund]:
        return [each for each in self.refunds if each.state != RefundState.FAILED]

    @property
    def returns(self) -> list[Refund]:
        """What goes back of the money that paid the order."""
        return [refund for refund in self.alive if not self._is_needless(refund)]

    @property
    def refund(self) -> Refund | None:
        """Needless money on its way back or returned."""
        needless = [refund for refund in self.alive if self._is_needless(refund)]
        return needless[-1] if needless else None

    @property
    def returned(self) -> Refund | None:
        """The last of what goes back, of the order's own money first."""
        return self.returns[-1] if self.returns else self.refund

    def _is_needless(self, refund: Refund) -> bool:
        settles = refund.attempt_id == self.order.settled_by_id
        return not settles or refund.second_payment_id is not None

    def state(self, *, returned: bool = False) -> str:
        """See the list at the top of ``templates/orders/pay.html``."""
        if self.order.status == Status.PAID:
            return self._paid_state()
        paid = any(a.state == AttemptState.PAID for a in self.attempts)
        if paid:
            return "late" if self.refund else "mismatch"
        if self.order.status_at(self.now) != Status.PENDING:
            cancelled = self.order.status == Status.CANCELLED
            return "cancelled" if cancelled else "expired"
        return self._open_state(returned=returned)

    def _paid_state(self) -> str:
        if self.order.fulfil == Fulfil.HELD:
            return "held"
        if self.order.fulfil == Fulfil.NONE:
            return "activating"
        if self.returns:
            return "returned-money"
        return "overpaid" if self.refund else "paid"

    def _open_state(self, *, returned: bool) -> str:
        live = self.live
        if live is None:
            if self.is_closing:
                return "closing"
            failed = self.shown is not None and self.shown.state == AttemptState.FAILED
            return "refused" if failed else "cancelled"
        if self.awaits_openid:
            return "ready"
        handover = handover_of(live)
        if live.state == AttemptState.UNKNOWN or handover is None:
            return "unknown"
        if returned:
            return "returned"
        if handover.valid_until is not None and self.now >= handover.valid_until:
            return "link_expired"
        return "slow" if self.now - live.created_at > SLOW else "ready"

    @property
    def awaits_openid(self) -> bool:
        """Inside WeChat: the wallet opens only for an openid, which the page fetches."""
        live = self.live
        return (
            live is not None
            and live.product == Product.JSAPI
            and handover_of(live) is None
            and not is_locked_for_check(live, now=self.now)
        )

    @property
    def is_closing(self) -> bool:
        """The last 90 seconds of the hold: no new attempt (A9)."""
        last = timedelta(seconds=rules.current().last_attempt_seconds)
        return self.now >= self.order.expires_at - last


def context(
    request: ShopRequest, order: Order, *, token: str = "", returned: bool = False
) -> dict[str, Any]:
    """The context of ``orders/pay.html``; ``token`` is set for a signed link."""
    story = Story.of(order, now=request.now)
    attempt = story.shown
    state = story.state(returned=returned)
    here = device_of(request.headers.get("User-Agent", ""))
    handover = handover_of(attempt) if attempt and attempt.is_live else None
    in_wechat = here == Device.WECHAT
    shows_qr = handover is not None and handover.kind == HandoverKind.QR
    return {
        "order": order_facts(order, now=request.now),
        "pay_state": state,
        "attempt": attempt_facts(attempt) if attempt else None,
        "handover": {
            "kind": handover.kind,
            "url": handover.url,
            "fields": handover.params,
            "bridge": json.dumps(dict(handover.params)),
        }
        if handover
        else None,
        "qr_data_uri": qr(handover.url) if handover and shows_qr else None,
        "desktop": here == Device.DESKTOP,
        "in_wechat": in_wechat,
        "openid_url": openid.authorize_url(request, order, now=request.now)
        if in_wechat and not token and story.awaits_openid
        else None,
        "retry_channels": [] if token else retry_channels(story, here),
        "retry_at": _retry_at(attempt, now=request.now) if attempt else None,
        "refused_reason": attempt.last_error if attempt and state == "refused" else "",
        "again_url": again_url(order),
        "refund": refund_facts(
            story.returned if order.kind == Kind.GOODS else story.refund
        ),
        "token": token,
        **(_settled(request, order, token) if order.status == Status.PAID else {}),
    }


STORY = {
    # OrderEvent.kind → what the order page calls it; other kinds are for staff
    "placed": "placed",
    "attempt-failed": "refused",
    "paid": "paid",
    "activated": "activated",
    "delivered": "delivered",
    "short": "short",
    "expired": "expired",
    "cancelled": "cancelled",
    "refund-requested": "refunding",
    "refunded": "refunded",
    "refunded-outside": "refunded",
    "returned-outside": "refunded",
    "refund-failed": "refund_failed",
}


def order_context(request: ShopRequest, order: Order, *, token: str) -> dict[str, Any]:
    """The context of ``orders/order.html``."""
    story = Story.of(order, now=request.now)
    brought = _settled(request, order, token) if order.status == Status.PAID else {}
    shown = story.settling or story.shown
    return {
        "order": order_facts(order, now=request.now),
        "status": story.status_word(),
        "attempt": attempt_facts(shown) if shown else None,
        "membership": brought.get("membership"),
        "delivery": brought.get("delivery"),
        "story": [] if token else _story_rows(story),
        "again_url": again_url(order),
        "refund": refund_facts(story.returned),
        "offer": None if token else _offer(order, now=request.now),
        "token": token,
        "here": "account",
    }


def refund_facts(refund: Refund | None) -> dict[str, Any] | None:
    """``by_hand``: the gateway cannot return it, an operator does."""
    if refund is None:
        return None
    return {
        "amount_fen": refund.amount_fen,
        "by_hand": refund.state == RefundState.MANUAL,
    }


def _offer(order: Order, *, now: datetime) -> returning.Offer | None:
    """What she may return herself, or why not; None where nobody would ask."""
    if order.status != Status.PAID or order.kind != Kind.TIER:
        return None
    offer = returning.offer_for(order, now=now)
    return offer if offer.left else None


def _story_rows(story: Story) -> list[dict[str, Any]]:
    attempts = {attempt.pk: attempt for attempt in story.attempts}
    refunds = {refund.pk: refund for refund in story.refunds}
    rows = []
    for event in story.order.events.order_by("at", "id"):
        if event.kind not in STORY:
            continue
        attempt = attempts.get(event.detail.get("attempt", 0))
        refund = refunds.get(event.detail.get("refund", 0))
        ends_at = event.detail.get("paid_until")
        rows.append(
            {
                "at": event.at,
                "code": STORY[event.kind],
                "label": attempt_facts(attempt)["label"] if attempt else "",
                "reason": attempt.last_error if attempt else "",
                "amount_fen": refund.amount_fen
                if refund
                else (attempt.paid_fen if attempt else None) or story.order.amount_fen,
                "ends_at": datetime.fromisoformat(ends_at) if ends_at else None,
            }
        )
    return rows


def status_words(orders: Sequence[Order], *, now: datetime) -> dict[int, str]:
    """The state of each order of a list in one word, in two queries."""
    paid = Attempt.objects.filter(order__in=orders, state=AttemptState.PAID)
    attempts = list(paid.order_by("id")) if orders else []
    found = Refund.objects.filter(attempt__in=attempts).order_by("id")
    refunds = list(found) if attempts else []
    words = {}
    for order in orders:
        mine = [each for each in attempts if each.order_id == order.pk]
        keys = {each.pk for each in mine}
        back = [each for each in refunds if each.attempt_id in keys]
        words[order.pk] = Story(order, mine, back, now).status_word()
    return words


def order_facts(order: Order, *, now: datetime) -> dict[str, Any]:
    return {
        "no": order.no,
        "title": title(order),
        "amount_fen": order.amount_fen,
        "coupon_off_fen": order.coupon_off_fen,
        "placed_at": order.placed_at,
        "expires_at": order.expires_at,
        "paid_at": order.paid_at,
        "status": order.status_at(now),
    }


def title(order: Order) -> str:
    """The frozen name; in English from the plan where that has an English name."""
    name = order.title
    if get_language() == "en" and order.goods and order.goods.name_en:
        name = order.goods.name_en
    if get_language() == "en" and order.plan and order.plan.tier.name_en:
        name = f"{order.plan.tier.name_en}, {order.plan.days} d"
    return f"{name} × {order.quantity}" if order.quantity > 1 else name


def attempt_facts(attempt: Attempt) -> dict[str, Any]:
    channel = channels.known().get(attempt.channel)
    label = channels.label_of(attempt.channel)
    return {
        "no": attempt.out_trade_no,
        "code": attempt.channel,
        "label": label,
        "app": str(_opens(channel, attempt) or label),
    }


def _opens(channel: Channel | None, attempt: Attempt) -> StrPromise | str:
    """What the shopper is asked to open: the wallet, or somebody else's cashier."""
    if channel is None:
        return ""
    handover = handover_of(attempt)
    leads_away = handover is not None and handover.kind == HandoverKind.REDIRECT
    return channel.cashier if leads_away and channel.cashier else channel.app


def retry_channels(story: Story, here: Device) -> list[dict[str, Any]]:
    """What one tap may pay with; nothing in the last 90 seconds or after the hold."""
    if not story.order.is_open(at=story.now) or story.is_closing:
        return []
    current = story.shown.channel if story.shown else ""
    return [
        {
            "code": offer.code,
            "label": str(offer.channel.label),
            "app": str(offer.channel.app),
            "current": offer.code == current,
        }
        for offer in channels.offers(here, story.order.amount_fen)
        if offer.usable
    ]


def again_url(order: Order) -> str:
    """The choice page with the same plan chosen."""
    if order.goods is not None:
        return reverse("zone-goods", args=[order.goods.slug])
    if order.plan is None:
        return reverse("membership")
    page = reverse("membership-kind", args=[order.plan.tier.kind])
    return f"{page}?plan={order.plan.slug}"


def qr(content: str) -> str:
    """A QR code as a data URI: error level M, a quiet zone of four modules."""
    import segno  # slow to load: not at the start of every command

    return segno.make(content, error="m", micro=False).svg_data_uri(
        border=4, dark="#000", light="#fff", xmldecl=False, svgns=True, scale=1
    )


def _retry_at(attempt: Attempt, *, now: datetime) -> datetime:
    if is_locked_for_check(attempt, now=now):
        return attempt.created_at + SECOND_QUERY
    return now


def _settled(request: ShopRequest, order: Order, token: str) -> dict[str, Any]:
    """What the order brought: time, read from the timeline, or goods."""
    if found := facts(order, now=request.now, token=token):
        return {"membership": None, "delivery": found}
    if order.fulfil != Fulfil.DONE or order.plan is None:
        return {"membership": None}
    tier = order.plan.tier
    mine = list(Segment.objects.filter(entitlement__order=order).order_by("starts_at"))
    member = order.member
    english = get_language() == "en"
    held = standing_of(request) if not token else None
    waits = bool(mine) and mine[0].starts_at > request.now
    waiting = None
    if held and held.segments and not waits:
        others = [s for s in held.segments if s.entitlement.tier_id != tier.pk]
        if others:
            waiting = {
                "tier_name": others[0].entitlement.tier.name,
                "seconds": sum(
                    int((s.ends_at - s.starts_at).total_seconds()) for s in others
                ),
            }
    same = (
        [s for s in held.segments if s.entitlement.tier_id == tier.pk] if held else []
    )
    ends_at = same[-1].ends_at if same else (mine[-1].ends_at if mine else None)
    merged = 0
    if mine and order.paid_at and not waits:
        merged = max(0, int((mine[0].starts_at - order.paid_at).total_seconds()))
    welcome = not token and guide.is_fresh(order.paid_at, now=request.now)
    push = subscriptions.offer(member.pk) if welcome else None
    return {
        "membership": {
            "tier_name": (tier.name_en if english else "") or tier.name,
            "discount_bp": order.tier_discount_bp,
            "starts_at": mine[0].starts_at if mine else order.paid_at,
            "ends_at": ends_at or member.paid_until or order.paid_at,
            "merged_seconds": merged or None,
            "waits": waits,
            "waiting": waiting,
            "benefits": catalogue.current().labels(tier),
        },
        "welcome": welcome,
        "guide": guide.of(member) if not token else None,
        "back_url": "" if token else way_back.after(request, order.no),
        "passkey_hint": not token and not member.passkeys.exists(),
        "renewal_waits": not token
        and renewal_state.order_waits(order, now=request.now),
        "push": push if push and not push.known else None,  # once, and a browser once
    }
