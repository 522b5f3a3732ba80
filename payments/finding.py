"""An order for whoever may see it: its owner by session, or anybody by a signed link."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import Http404

from kameng.http import ShopRequest, member_of
from members import links
from orders import numbers
from orders.models import Order


def own_order(request: ShopRequest, no: str) -> Order:
    """The order of the signed-in member; for anyone else there is none (security 52)."""
    member = member_of(request)
    if member is None:
        raise Http404
    found = orders().filter(no=numbers.tidy(no), member=member).first()
    if found is None:
        raise Http404
    found.member = member
    return found


def order_by_token(token: str) -> Order:
    pk = links.read(token, links.ORDER)
    found = orders().filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise Http404
    return found


def orders() -> QuerySet[Order]:
    return Order.objects.select_related("plan__tier", "goods", "member")
