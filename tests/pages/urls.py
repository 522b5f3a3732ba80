"""The URL names that the templates use, for tests of templates alone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def page(request: HttpRequest, **_: str) -> HttpResponse:
    return HttpResponse()


NAMES = {
    "home": "",
    "membership": "membership/",
    "membership-kind": "membership/<slug:kind>/",
    "checkout": "checkout/",
    "checkout-code": "checkout/code/",
    "checkout-summary": "checkout/summary/",
    "order": "orders/<slug:no>/",
    "order-pay": "orders/<slug:no>/pay/",
    "order-payments": "orders/<slug:no>/payments/",
    "order-status": "orders/<slug:no>/status/",
    "order-cancel": "orders/<slug:no>/cancel/",
    "zone": "zone/",
    "zone-goods": "zone/<slug:slug>/",
    "delivery": "delivery/<slug:no>/",
    "delivery-reveal": "delivery/<slug:no>/keys/",
    "order-return": "orders/<slug:no>/return/",
    "account-returns": "account/returns/",
    "login": "login/",
    "login-code": "login/code/",
    "logout": "logout/",
    "account": "account/",
    "account-orders": "account/orders/",
    "account-notice-dismiss": "account/notice/",
    "guide-dismiss": "account/guide/",
    "account-advice": "account/advice/",
    "official": "official/",
    "legal": "legal/<slug:slug>/",
    "short-link": "s/<str:token>/",
    "set_language": "language/",
}

urlpatterns = [path(route, page, name=name) for name, route in NAMES.items()]
