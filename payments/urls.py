from django.urls import path, register_converter

from payments import account_page, delivery_page, privacy_page, views
from payments.refunding import return_pages
from payments.renewing import renewal_account


class NumberConverter:
    """An order number, with or without the groups in which people read it."""

    regex = r"[0-9A-Za-z-]{26,40}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(NumberConverter, "order")

urlpatterns = [
    path("s/<slug:token>/", views.short_link, name="short-link"),
    path("orders/<order:no>/", views.order, name="order"),
    path("orders/<order:no>/pay/", views.pay, name="order-pay"),
    path("orders/<order:no>/payments/", views.pay_again, name="order-payments"),
    path("orders/<order:no>/status/", views.status, name="order-status"),
    path("orders/<order:no>/cancel/", views.cancel, name="order-cancel"),
    path("delivery/<order:no>/", delivery_page.page, name="delivery"),
    path("delivery/<order:no>/keys/", delivery_page.reveal, name="delivery-reveal"),
    path("orders/<order:no>/return/", return_pages.return_order, name="order-return"),
    path("account/", account_page.account, name="account"),
    path("account/orders/", account_page.orders, name="account-orders"),
    path("account/privacy/", privacy_page.privacy_page, name="account-privacy"),
    path("account/privacy/export/", privacy_page.export, name="account-privacy-export"),
    path("account/privacy/delete/", privacy_page.delete, name="account-privacy-delete"),
    path("account/privacy/keep/", privacy_page.keep, name="account-privacy-keep"),
    path("account/returns/", return_pages.account_returns, name="account-returns"),
    path("account/renewal/", renewal_account.renewal, name="account-renewal"),
    path("account/renewal/sign/", renewal_account.sign, name="account-renewal-sign"),
    path("account/renewal/stop/", renewal_account.stop, name="account-renewal-stop"),
    path("orders/<order:no>/openid/", views.openid, name="order-openid"),
    path("payments/<slug:gateway>/notify/", views.notify, name="notify"),
    path("payments/<slug:gateway>/return/", views.come_back, name="return"),
]
