"""What the choice page shows: the ladder, the exact end, the ways to pay.

Builds finished values for the template; decides nothing about money or rights.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from kameng.http import ShopRequest, member_of
from members.context import standing_of
from members.identity import offers
from members.models import Plan, TierKind
from members.sign_in import phone_step, way_back
from members.sign_in.phone_step import FieldError
from members.standing import Standing, preview
from members.tiers import catalogue
from orders import advice, real_name
from orders.advice import FIRST_DAYS
from orders.coupon_state import CouponState
from orders.pricing import line_fen

SHORTEST_RENEWAL_DAYS = 7
"""No auto-renewal below: its notice would precede the purchase (E8)."""
LAST_CHOICE = "last_choice"
"""Session key: plan and channel of the last order on this device."""


@dataclass(slots=True)
class Typed:
    """What came with a form, kept when the page comes back."""

    plan: str = ""
    goods: str = ""
    channel: str = ""
    phone: str = ""
    code: str = ""
    client_token: str = ""
    quantity: int = 1
    next: str = ""
    renew: bool = False
    renew_for: str = ""
    renew_fen: str = ""
    coupon: str = ""


@dataclass(slots=True)
class Page:
    """Everything that decides one rendering of the choice page."""

    request: ShopRequest
    kind: str
    typed: Typed = field(default_factory=Typed)
    phone_state: Mapping[str, Any] | None = None
    errors: list[FieldError] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    in_wechat: bool = False
    has_caps: bool = False
    """Some way to pay has a limit, so that the chooser depends on the plan."""
    renewal: dict[str, Any] | None = None
    """The box of automatic renewal, where the plan and a way to pay offer it."""
    coupon: CouponState = field(default_factory=CouponState)
    is_advised: bool = False
    """A page that recommends, and so may read her history."""

    @property
    def now(self) -> datetime:
        return self.request.now

    @property
    def standing(self) -> Standing:
        return standing_of(self.request)

    def last_choice(self, name: str) -> str:
        return last_choice(self.request, name)

    def selected_plan(self) -> Plan | None:
        """Typed, else asked for in the address, else recommended, else the last bought,
        else the rule; who switched the recommendation off gets the rule at once."""
        on_sale = catalogue.current().on_sale(self.kind)
        found = self.recommended()
        wishes = (
            self.typed.plan,
            self.request.GET.get("plan", ""),
            found.plan.slug if found else "",
            "" if advice.is_off(self.request) else self.last_choice("plan"),
        )
        for slug in wishes:
            for plan in on_sale:
                if plan.slug == slug:
                    return plan
        if self.kind == TierKind.TEMPORARY:
            for plan in on_sale:
                if plan.days == FIRST_DAYS:
                    return plan
        return on_sale[0] if on_sale else None

    def recommended(self) -> advice.Found | None:
        if not self.is_advised or self.kind != TierKind.TEMPORARY:
            return None
        return advice.temporary(self.request)

    def amount_fen(self) -> int:
        """What the chosen plan costs now; 0 while nothing is on sale."""
        if self.coupon.cut is not None:
            return self.coupon.cut.amount_fen
        offer = self.offer()
        return offer[2] if offer else 0

    def offer(self) -> tuple[Plan, int, int] | None:
        """The chosen plan, its full price and its price without a coupon: the same,
        since memberships are never discounted (R17)."""
        plan = self.selected_plan()
        if plan is None:
            return None
        quantity = max(1, self.typed.quantity)
        fen = line_fen(plan.price_at(self.now), quantity, 10_000)
        return plan, fen, fen

    def real_name_url(self, plan: Plan | None = None) -> str:
        """Where a name is verified, with the way back to this choice."""
        plan = plan or self.selected_plan()
        signed = self.typed.next or self.request.GET.get("next", "")
        return real_name.page_url(
            reverse("membership-kind", args=[self.kind]),
            plan=plan.slug if plan else "",
            quantity=self.typed.quantity if self.typed.quantity > 1 else "",
            channel=self.typed.channel,
            next=signed if way_back.read(signed) else "",
        )

    def is_first_time(self) -> bool:
        member = member_of(self.request)
        return not self.last_choice("plan") and (
            member is None or member.timeline_at is None
        )


def last_choice(request: ShopRequest, name: str) -> str:
    """From the session, without making one for a mere visitor."""
    kept = request.session.get(LAST_CHOICE) or {}
    return str(kept.get(name, ""))


def remember(request: ShopRequest, typed: Typed) -> None:
    """Keep plan and channel of an order; a session that stays the same is not saved."""
    plan = typed.plan or last_choice(request, "plan")  # goods leave the plan alone
    chosen = {"plan": plan, "channel": typed.channel}
    if request.session.get(LAST_CHOICE) != chosen:
        request.session[LAST_CHOICE] = chosen


def context(page: Page) -> dict[str, Any]:
    page.is_advised = True
    plan = page.selected_plan()
    ladder = stubs(page)
    signed = page.typed.next or page.request.GET.get("next", "")
    return {
        "here": "membership",
        "kind": page.kind,
        "plans": ladder,
        **summary_context(page, plan),
        "recommendation": _recommendation(page, ladder),
        "conversion": conversion(page),
        "benefits": benefit_rows(),
        "ladder_version": ladder_version(),
        **phone_context(page),
        "channels": page.channels,
        "in_wechat": page.in_wechat,
        "client_token": page.typed.client_token or secrets.token_urlsafe(18),
        "errors": page.errors,
        "renewal": page.renewal,
        "coupon_on": page.coupon.cut is not None,
        "next": signed if way_back.read(signed) else "",
    }


def summary_context(page: Page, plan: Plan | None) -> dict[str, Any]:
    """What the fragment ``#summary`` needs."""
    return {
        "selected": _stub(page, plan, plan) if plan else None,
        "summary": summary(page, plan) if plan else None,
        "real_name": _real_name(page, plan) if plan else None,
    }


def _real_name(page: Page, plan: Plan) -> dict[str, Any] | None:
    """Whether this choice asks for a verified name that she has not, and the way to it."""
    price_fen = line_fen(plan.price_at(page.now), max(1, page.typed.quantity), 10_000)
    url = page.real_name_url(plan)
    return real_name.notice(plan.tier, price_fen, page.request, url)


def phone_context(page: Page) -> dict[str, Any]:
    """What the fragment ``#phone`` needs."""
    step = page.phone_state or phone_step.entry(member_of(page.request))
    return {
        **step,
        "kind": page.kind,
        "errors": page.errors,
        "form": page.typed,
        **offers.beside_phone(page.request, step["phone_state"]),
    }


def stubs(page: Page) -> list[dict[str, Any]]:
    """The ladder of one kind as it stands on the home page and in the centre."""
    plan = page.selected_plan()
    return [_stub(page, each, plan) for each in _shown_plans(page)]


def ladder_version() -> int:
    return catalogue.current().version


def _shown_plans(page: Page) -> list[Plan]:
    """Plans of the tiers on sale; a plan sold off stays, marked as such."""
    plans = catalogue.current().of_kind(page.kind)
    return [plan for plan in plans if plan.tier.enabled]


def _stub(page: Page, plan: Plan, selected: Plan | None) -> dict[str, Any]:
    shop = catalogue.current()
    saved = shop.saving(plan, at=page.now) if plan.enabled else None
    promoted = plan.promotion_runs(at=page.now)
    first = page.is_first_time() and plan.days == FIRST_DAYS
    return {
        "slug": plan.slug,
        "days": plan.days,
        "name": plan_name(plan),
        "price_fen": plan.price_at(page.now),
        "was_fen": plan.price_fen if promoted else None,
        "promo_ends_at": plan.promo_ends_at if promoted else None,
        "saving_fen": saved.fen if saved else None,
        "saving_by_day": saved.by_day if saved else False,
        "tie": shop.tie(plan, at=page.now) if plan.enabled else None,
        "tag": _("首次推荐") if first and plan.tier.kind == TierKind.TEMPORARY else "",
        "never_renews": plan.days < SHORTEST_RENEWAL_DAYS,
        "selected": selected is not None and plan.pk == selected.pk,
        "sold_off": not plan.enabled,
    }


def _recommendation(page: Page, ladder: list[dict[str, Any]]) -> dict[str, Any] | None:
    if page.kind != TierKind.TEMPORARY:
        return None
    if page.is_first_time():
        return _first_recommendation(page, ladder)
    off_url = reverse("account-advice")
    if advice.is_off(page.request):
        return {"off": True, "off_url": off_url}
    found = page.recommended()
    if found is None:
        return None
    name = plan_name(found.plan)
    return {
        "plan": next(stub for stub in ladder if stub["slug"] == found.plan.slug),
        **advice.sums(found),
        "inputs": advice.inputs(found, name),
        "off_url": off_url,
    }


def centre_recommendation(page: Page) -> dict[str, Any] | None:
    """The same in the member centre, which has no form and no ladder chosen."""
    page.is_advised = True
    found = page.recommended()
    if found is None:
        return None
    return {
        "kind": page.kind,
        "plan": _stub(page, found.plan, found.plan),
        **advice.sums(found),
    }


def conversion(page: Page) -> dict[str, Any] | None:
    """A long-term plan beside the temporary ones, with the sum that speaks for it."""
    if page.kind != TierKind.TEMPORARY:
        return None
    offer = advice.long_term(page.request, page.standing)
    return offer and {**offer, "plan": _stub(page, offer["plan"], None)}


def _first_recommendation(
    page: Page, ladder: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Neutral words for a first purchase, while the rule's plan is the chosen one."""
    sold = [stub for stub in ladder if not stub["sold_off"]]
    first = next((stub for stub in sold if stub["days"] == FIRST_DAYS), None)
    shortest = min((stub["days"] for stub in sold), default=FIRST_DAYS)
    if first is None or shortest >= FIRST_DAYS:
        return None
    return {"first": True, "plan": first, "shortest_days": shortest}


def plan_name(plan: Plan) -> str:
    if get_language() == "en":
        days = "day" if plan.days == 1 else "days"
        return f"{plan.tier.name_en or plan.tier.name}, {plan.days} {days}"
    return str(plan)


def summary(page: Page, plan: Plan) -> dict[str, Any]:
    """The panel beside the button: total and the exact end, merged time included."""
    quantity = max(1, page.typed.quantity)
    held = page.standing
    price = {
        "quantity": quantity,
        "price_fen": page.amount_fen(),
        **page.coupon.facts(),
    }
    effect = preview(held, plan, quantity=quantity)
    if effect is None:
        return {**price, "stands_still": True}
    running = held.tier
    other = running if running and running.pk != plan.tier_id else None
    return {
        **price,
        "ends_at": effect.ends_at if effect.waits and other else effect.paid_until,
        "merged_seconds": effect.merged_seconds or None,
        "waits_until": effect.starts_at if effect.waits and other else None,
        "waits_for": catalogue.tier_name(other) if other else "",
        "paused_seconds": effect.merged_seconds if other and not effect.waits else None,
        "paused_name": catalogue.tier_name(other) if other else "",
        "better_bp": held.discount_bp
        if other and held.discount_bp < plan.tier.discount_bp
        else None,
        "better_name": catalogue.tier_name(other) if other else "",
        "other_name": catalogue.tier_name(plan.tier),
        "other_bp": plan.tier.discount_bp,
    }


def benefit_rows() -> list[dict[str, Any]]:
    english = get_language() == "en"
    rows = []
    for row in catalogue.current().benefits:
        label = row.benefit.label_en if english else ""
        rows.append(
            {
                "label": label or row.benefit.label,
                **{
                    kind.replace("-", "_"): _detail(row.details.get(kind), english)
                    for kind in catalogue.KINDS
                },
            }
        )
    return rows


def _detail(given: Any, english: bool) -> str:
    """The tier's words for a benefit, a tick where it has none, empty without it."""
    if given is None:
        return ""
    words = (given.detail_en if english else "") or given.detail
    return words or "✓"


def entry(page: Page) -> dict[str, Any]:
    """One of the two doors of the member centre."""
    ladder = stubs(page)
    sold = [stub for stub in ladder if not stub["sold_off"]]
    plans = catalogue.current().on_sale(page.kind)
    return {
        "kind": page.kind,
        "from_fen": min((stub["price_fen"] for stub in sold), default=None),
        "discount_bp": min((plan.tier.discount_bp for plan in plans), default=10_000),
        "promo": any(stub["promo_ends_at"] for stub in sold),
        "plans": ladder,
    }
