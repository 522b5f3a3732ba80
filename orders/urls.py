from django.urls import path, re_path

from orders import lookup, views, zone

urlpatterns = [
    path("", views.home, name="home"),
    path("membership/", views.membership, name="membership"),
    re_path(
        r"^membership/(?P<kind>temporary|long-term)/$",
        views.membership_kind,
        name="membership-kind",
    ),
    path("zone/", zone.zone, name="zone"),
    path("zone/<slug:slug>/", zone.goods, name="zone-goods"),
    path("checkout/", views.checkout, name="checkout"),
    path("checkout/code/", views.send_code, name="checkout-code"),
    path("checkout/coupon/", views.coupon, name="checkout-coupon"),
    path("checkout/summary/", views.summary, name="checkout-summary"),
    path("lookup/", lookup.lookup, name="lookup"),
    path("lookup/code/", lookup.send_code, name="lookup-code"),
    path("lookup/orders/", lookup.orders, name="lookup-orders"),
]
