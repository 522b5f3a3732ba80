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
    "order-openid": "orders/<slug:no>/openid/",
    "order-cancel": "orders/<slug:no>/cancel/",
    "zone": "zone/",
    "zone-goods": "zone/<slug:slug>/",
    "delivery": "delivery/<slug:no>/",
    "delivery-reveal": "delivery/<slug:no>/keys/",
    "order-return": "orders/<slug:no>/return/",
    "account-returns": "account/returns/",
    "login": "login/",
    "login-code": "login/code/",
    "login-identity": "login/<slug:provider>/",
    "logout": "logout/",
    "account": "account/",
    "account-confirm": "account/confirm/",
    "account-confirm-code": "account/confirm/code/",
    "account-confirm-with": "account/confirm/<slug:provider>/",
    "account-identities": "account/identities/",
    "account-identity-bind": "account/identities/bind/",
    "account-identity-unbind": "account/identities/<int:pk>/unbind/",
    "account-identity": "account/identities/<slug:provider>/",
    "account-orders": "account/orders/",
    "account-notice-dismiss": "account/notice/",
    "guide-dismiss": "account/guide/",
    "lookup": "lookup/",
    "lookup-code": "lookup/code/",
    "lookup-orders": "lookup/orders/",
    "login-passkey": "login/passkey/",
    "account-confirm-passkey": "account/confirm/passkey/",
    "account-passkeys": "account/passkeys/",
    "account-passkey-new": "account/passkeys/new/",
    "account-passkey": "account/passkeys/<int:pk>/",
    "account-passkey-remove": "account/passkeys/<int:pk>/remove/",
    "account-phone": "account/phone/",
    "account-phone-code": "account/phone/code/",
    "account-privacy": "account/privacy/",
    "account-privacy-export": "account/privacy/export/",
    "account-privacy-delete": "account/privacy/delete/",
    "account-privacy-keep": "account/privacy/keep/",
    "logout-everywhere": "account/sessions/end/",
    "account-advice": "account/advice/",
    "manifest": "manifest.webmanifest",
    "service-worker": "sw.js",
    "push-on": "account/push/",
    "push-off": "account/push/off/",
    "official": "official/",
    "legal": "legal/<slug:slug>/",
    "short-link": "s/<str:token>/",
    "set_language": "language/",
}

urlpatterns = [path(route, page, name=name) for name, route in NAMES.items()]
