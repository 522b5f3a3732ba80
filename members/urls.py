from django.urls import path

from members import (
    account,
    confirm,
    passkey_views,
    phone_change,
    privacy_views,
    redeem,
    views,
)
from members.identity import views as identity

urlpatterns = [
    path("login/", views.login, name="login"),
    path("login/code/", views.login_code, name="login-code"),
    path("login/passkey/", passkey_views.login, name="login-passkey"),
    path("login/<slug:provider>/", identity.login, name="login-identity"),
    path("login/<slug:provider>/callback/", identity.callback, name="login-callback"),
    path("redeem/", redeem.redeem, name="redeem"),
    path("redeem/code/", redeem.send_code, name="redeem-code"),
    path("redeem/done/", redeem.redeemed, name="redeemed"),
    path("logout/", views.logout, name="logout"),
    path("account/", account.account, name="account"),
    path("account/confirm/", confirm.confirm, name="account-confirm"),
    path("account/confirm/code/", confirm.send_code, name="account-confirm-code"),
    path(
        "account/confirm/passkey/",
        passkey_views.confirm_options,
        name="account-confirm-passkey",
    ),
    path(
        "account/confirm/<slug:provider>/",
        identity.confirm_with,
        name="account-confirm-with",
    ),
    path("account/identities/", identity.identities, name="account-identities"),
    path("account/identities/bind/", identity.bind_found, name="account-identity-bind"),
    path(
        "account/identities/<int:pk>/unbind/",
        identity.unbind,
        name="account-identity-unbind",
    ),
    path("account/identities/<slug:provider>/", identity.bind, name="account-identity"),
    path("account/passkeys/", passkey_views.passkeys_list, name="account-passkeys"),
    path("account/passkeys/new/", passkey_views.add, name="account-passkey-new"),
    path("account/passkeys/<int:pk>/", passkey_views.rename, name="account-passkey"),
    path(
        "account/passkeys/<int:pk>/remove/",
        passkey_views.remove,
        name="account-passkey-remove",
    ),
    path("account/phone/", phone_change.phone, name="account-phone"),
    path("account/phone/code/", phone_change.send_code, name="account-phone-code"),
    path("account/privacy/", privacy_views.privacy_page, name="account-privacy"),
    path(
        "account/privacy/export/", privacy_views.export, name="account-privacy-export"
    ),
    path(
        "account/privacy/delete/", privacy_views.delete, name="account-privacy-delete"
    ),
    path("account/privacy/keep/", privacy_views.keep, name="account-privacy-keep"),
    path("account/sessions/end/", views.logout_everywhere, name="logout-everywhere"),
    path("account/orders/", account.orders, name="account-orders"),
    path(
        "account/notice/dismiss/", account.dismiss_notice, name="account-notice-dismiss"
    ),
    path("account/advice/", account.advice, name="account-advice"),
    path("account/guide/dismiss/", account.dismiss_guide, name="guide-dismiss"),
]
