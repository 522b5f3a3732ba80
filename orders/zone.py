"""The member price zone: shelves and the page of one thing, which is its checkout too."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from kameng.http import ShopRequest
from orders import goods_page
from orders.goods_page import GoodsPage
from orders.views import wished, with_channels


@require_GET
def zone(request: ShopRequest) -> HttpResponse:
    return render(request, "goods/zone.html", goods_page.zone_context(request))


@require_GET
def goods(request: ShopRequest, slug: str) -> HttpResponse:
    found = goods_page.find(slug)
    if found is None or not found.enabled:
        raise Http404
    page = with_channels(GoodsPage(request, found, wished(request)))
    return render(request, "goods/item.html", goods_page.context(page))
