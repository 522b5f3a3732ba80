"""The coupon of a checkout form: from what was typed to a price and words.

Used alike by the choice page and the pages of goods. A coupon that is on the page goes
along to the next fragment as a signed reference, never as the code: addresses are kept
in logs.
"""

from __future__ import annotations

from datetime import timedelta

from django.core import signing
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from kameng.http import member_of
from kameng.templatetags.shop import time_to_wait, yuan
from members.addresses import client_of
from members.sign_in.phone_step import FieldError
from orders import coupons
from orders.choice import Page
from orders.coupon_models import Coupon
from orders.coupon_state import REFERENCE, CouponState
from orders.coupons import CouponRefused
from orders.goods_page import GoodsPage

SECONDS = 86_400
"""How long a page may stay open with its coupon on it."""


@sensitive_variables()
def judge(page: Page | GoodsPage) -> int | None:
    """Put the typed coupon on the page, or its words among the coupon's faults.

    Returns in how many seconds to try again after too many wrong codes, else None.
    """
    page.coupon = CouponState()
    if not coupons.plain(page.typed.coupon):
        return None
    request = page.request
    try:
        page.coupon.coupon = coupons.find(
            page.typed.coupon,
            member=member_of(request),
            client=client_of(request),
            now=page.now,
        )
    except coupons.TooManyTries as refusal:
        wait = refusal.retry_after
        until = time_to_wait(page.now + timedelta(seconds=wait), page.now)
        page.coupon.fault = FieldError(
            "coupon", _("试得太多了，{t}后再来").format(t=until)
        )
        return wait
    if page.coupon.coupon is None:
        page.coupon.fault = FieldError("coupon", words(coupons.CouponGone()))
    else:
        apply(page)
    return None


def put_back(page: Page | GoodsPage, reference: str) -> None:
    """The coupon that a page has had on it already, named by ``coupon_state.facts``."""
    try:
        pk = signing.loads(reference[:200], salt=REFERENCE, max_age=SECONDS)
    except signing.BadSignature:
        return
    page.coupon.coupon = Coupon.objects.filter(pk=pk).first()
    apply(page)


def apply(page: Page | GoodsPage) -> None:
    """Work the page's price out anew with its coupon, or say why it does not apply."""
    found = page.coupon.coupon
    page.coupon = CouponState(found)
    offer = page.offer()
    if found is None or offer is None:
        return
    thing, full_fen, otherwise_fen = offer
    try:
        page.coupon.cut = coupons.check(
            found,
            thing,
            full_fen=full_fen,
            otherwise_fen=otherwise_fen,
            member=member_of(page.request),
            now=page.now,
        )
    except CouponRefused as why:
        page.coupon.fault = FieldError("coupon", words(why))


def words(why: CouponRefused) -> str:
    match why:
        case coupons.CouponBelowMinimum(min_fen=least):
            return _("满 {price} 才能用这个优惠码").format(price=yuan(least))
        case coupons.CouponElsewhere():
            return _("这个优惠码不能用在这里")
        case coupons.CouponSpent():
            return _("你已经用过这个优惠码了")
        case coupons.CouponNoBetter():
            return _("不用码也是这个价或更低，这个码留着下次用")
    return _("这个优惠码无效、过期或已经用完")
