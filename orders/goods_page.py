"""What the pages of the zone show: shelves, prices for guests and members, honest stock.

Builds finished values for the templates; decides nothing about money or rights.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import get_language

from goods.models import Category, Goods
from kameng.http import ShopRequest, member_of
from members.context import standing_of
from members.identity import offers
from members.models import Tier
from members.sign_in import phone_step, way_back
from members.sign_in.phone_step import FieldError
from members.standing import Standing
from members.tiers import catalogue
from orders import goods_sale, real_name
from orders.choice import Typed, last_choice
from orders.coupon_state import CouponState
from orders.pricing import line_fen

SLUG = re.compile(r"[-A-Za-z0-9_]{1,40}", re.ASCII)
PAGE = 24
COUNTED = 99
"""A stock above it is told as plenty."""


@dataclass(slots=True)
class GoodsPage:
    """Everything that decides one rendering of the page of one thing."""

    request: ShopRequest
    goods: Goods
    typed: Typed = field(default_factory=Typed)
    phone_state: Mapping[str, Any] | None = None
    errors: list[FieldError] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    in_wechat: bool = False
    has_caps: bool = False
    """Some way to pay has a limit, so that the chooser depends on the sum."""
    coupon: CouponState = field(default_factory=CouponState)

    @property
    def now(self) -> datetime:
        return self.request.now

    @property
    def standing(self) -> Standing:
        return standing_of(self.request)

    def last_choice(self, name: str) -> str:
        return last_choice(self.request, name)

    def amount_fen(self, bp: int | None = None) -> int:
        """What the chosen number costs her, or at another discount without a coupon."""
        if bp is None and self.coupon.cut is not None:
            return self.coupon.cut.amount_fen
        if bp is None:
            bp = goods_sale.discount_of(self.goods, self.standing)
        return line_fen(self.goods.price_fen, max(1, self.typed.quantity), bp)

    def offer(self) -> tuple[Goods, int, int]:
        """The goods, their full price and her price without a coupon."""
        bp = goods_sale.discount_of(self.goods, self.standing)
        return self.goods, self.amount_fen(goods_sale.FULL_PRICE), self.amount_fen(bp)

    def real_name_url(self) -> str:
        """Where a name is verified, with the way back to this choice."""
        return real_name.page_url(
            reverse("zone-goods", args=[self.goods.slug]),
            quantity=self.typed.quantity if self.typed.quantity > 1 else "",
            channel=self.typed.channel,
        )

    @property
    def allowed(self) -> int:
        """How many pieces her limits leave for one order."""
        member = member_of(self.request)
        bought = 0
        if member is not None and self.goods.max_per_member is not None:
            bought = goods_sale.bought_by(member, self.goods, now=self.now)
        return goods_sale.left_for(self.goods, bought)


def find(slug: str) -> Goods | None:
    """The thing with its stock, sold or not; None where it is unknown."""
    if not SLUG.fullmatch(slug):  # a NUL would make PostgreSQL refuse the question
        return None
    named = goods_sale.with_waiting(Goods.objects.filter(slug=slug))
    return named.select_related("category").first()


def zone_context(request: ShopRequest) -> dict[str, Any]:
    """The context of ``goods/zone.html``: one shelf or all, searched, by pages."""
    wish = request.GET.get("category", "")[:32]
    words = filter(str.isprintable, request.GET.get("q", "").replace("\t", " "))
    typed = " ".join("".join(words).split())[:40]
    shelves = list(Category.objects.filter(goods__enabled=True).distinct())
    chosen = next((each for each in shelves if each.slug == wish), None)
    found = goods_sale.with_waiting(Goods.objects.filter(enabled=True))
    if chosen is not None:
        found = found.filter(category=chosen)
    if typed:
        found = found.filter(
            Q(name__icontains=typed)
            | Q(name_en__icontains=typed)
            | Q(summary__icontains=typed)
        )
    pages = Paginator(found.order_by("category__position", "position", "id"), PAGE)
    page = pages.get_page(request.GET.get("page"))
    held = standing_of(request)

    def page_url(number: int) -> str:
        query: dict[str, str | int] = {
            "category": chosen.slug if chosen else "",
            "q": typed,
            "page": number,
        }
        return f"{reverse('zone')}?{urlencode({k: v for k, v in query.items() if v})}"

    return {
        "here": "zone",
        "goods": [_row(each, held) for each in page.object_list],
        "categories": [{"slug": c.slug, "name": _name(c)} for c in shelves],
        "category": chosen.slug if chosen else "",
        "q": typed,
        "before_url": page_url(page.number - 1) if page.has_previous() else "",
        "after_url": page_url(page.number + 1) if page.has_next() else "",
        "is_member": held.tier is not None,
        "errors": [],
    }


def context(page: GoodsPage) -> dict[str, Any]:
    """The context of ``goods/item.html``."""
    allowed = page.allowed
    return {
        "here": "zone",
        **summary_context(page),
        **phone_context(page),
        **item_context(page, allowed),  # last: the fragments know less of the thing
        "channels": page.channels,
        "in_wechat": page.in_wechat,
        "client_token": page.typed.client_token or secrets.token_urlsafe(18),
        "coupon_on": page.coupon.cut is not None,
        "errors": page.errors,
    }


def item_context(page: GoodsPage, allowed: int) -> dict[str, Any]:
    row = _row(page.goods, page.standing)
    stock = goods_sale.available(page.goods)
    state = row["state"]
    if state == "in_stock" and not allowed:
        state = "limit"
    return {
        "item": {
            **row,
            "state": state,
            "category": _name(page.goods.category),
            "most": min(allowed, stock),
            "max_per_order": page.goods.max_per_order,
            "max_per_member": page.goods.max_per_member,
        },
        "tiers": _tier_prices(page),
    }


def summary_context(page: GoodsPage) -> dict[str, Any]:
    """What the fragment ``#summary`` needs."""
    price = page.amount_fen()
    return {
        "item": _row(page.goods, page.standing),
        "summary": {
            "quantity": max(1, page.typed.quantity),
            "price_fen": price,
            "saved_fen": page.amount_fen(goods_sale.FULL_PRICE) - price,
            **page.coupon.facts(),
        },
        "real_name": real_name.notice(
            page.goods, price, page.request, page.real_name_url()
        ),
    }


def phone_context(page: GoodsPage) -> dict[str, Any]:
    """What the fragment ``#phone`` needs."""
    step = page.phone_state or phone_step.entry(member_of(page.request))
    return {
        **step,
        "item": _row(page.goods, page.standing),
        "errors": page.errors,
        "form": page.typed,
        **offers.beside_phone(page.request, step["phone_state"]),
    }


def _row(goods: Goods, held: Standing) -> dict[str, Any]:
    """A thing as it stands on a shelf, with the price of whoever looks at it."""
    stock = goods_sale.available(goods)
    bp = goods_sale.discount_of(goods, held)
    return {
        "slug": goods.slug,
        "name": _name(goods),
        "summary": (goods.summary_en if _english() else "") or goods.summary,
        "list_fen": goods.price_fen,
        "price_fen": line_fen(goods.price_fen, 1, bp),
        "discount_bp": bp,
        "locked_fen": _locked_fen(goods, held),
        "stock": stock,
        "plenty": stock > COUNTED,
        "state": _state(goods, stock),
    }


def _state(goods: Goods, stock: int) -> str:
    """in_stock, out (more will come) or sold_out."""
    if stock:
        return "in_stock"
    return "out" if goods.restocks else "sold_out"


def _locked_fen(goods: Goods, held: Standing) -> int | None:
    """What she would pay with the cheapest way in; None for members and full prices."""
    if held.tier is not None or not goods.member_discount:
        return None
    tiers = _tiers()
    if not tiers:
        return None
    price = line_fen(goods.price_fen, 1, tiers[0].discount_bp)
    return price if price < goods.price_fen else None


def _tiers() -> list[Tier]:
    """The tiers on sale, by rank: the lowest is the cheapest way in."""
    tiers = {plan.tier_id: plan.tier for plan in catalogue.current().on_sale()}
    return sorted(tiers.values(), key=lambda tier: tier.rank)


def _tier_prices(page: GoodsPage) -> list[dict[str, Any]]:
    """What each tier pays for one, and for a guest the way to it and back."""
    goods, held = page.goods, page.standing
    if not goods.member_discount:
        return []
    back = way_back.sign(reverse("zone-goods", args=[goods.slug]))
    rows = []
    for tier in _tiers():
        mine = held.tier is not None and held.tier.pk == tier.pk
        bp = held.discount_bp if mine else tier.discount_bp
        door = reverse("membership-kind", args=[tier.kind])
        rows.append(
            {
                "name": catalogue.tier_name(tier),
                "price_fen": line_fen(goods.price_fen, 1, bp),
                "mine": mine,
                "url": "" if held.tier else f"{door}?next={back}",
            }
        )
    return rows


def _name(thing: Goods | Category) -> str:
    return (thing.name_en if _english() else "") or thing.name


def _english() -> bool:
    return get_language() == "en"
