"""Every address of the sandbox."""

from __future__ import annotations

from django.urls import path

from sandbox import (
    agreement_pages,
    cashier,
    consent,
    control,
    pages,
    push,
    qq_login,
    real_names,
    sms,
    wechat_login,
)
from sandbox.gateways import GATEWAYS

urlpatterns = [
    *sms.urls(),
    *real_names.urls(),
    *push.urls(),
    *control.urls(),
    *agreement_pages.urls(),
    *consent.urls(),
    *wechat_login.urls(),
    *qq_login.urls(),
    path("static/<path:path>", pages.static, name="static"),
    path("<str:gateway>/cashier/<str:token>/", cashier.show, name="cashier"),
    path("<str:gateway>/cashier/<str:token>/pay/", cashier.pay, name="pay"),
    path("<str:gateway>/cashier/<str:token>/refuse/", cashier.refuse, name="refuse"),
    path("<str:gateway>/cashier/<str:token>/close/", cashier.close, name="close"),
]
for gateway in GATEWAYS.values():
    urlpatterns += gateway.urls()
