from django.urls import path

from members import account, notice_choices, redeem, views
from members.identity import views as identity
from members.real_name import views as real_name
from members.sign_in import confirm, passkey_views, phone_change, unused_phone

urlpatterns = [
    path("login/", views.login, name="login"),
    path("login/code/", views.login_code, name="login-code"),
    path("login/passkey/", passkey_views.login, name="login-passkey"),
    path("login/unused/", unused_phone.unused, name="login-unused"),
    path("login/<slug:provider>/", identity.login, name="login-identity"),
    path("login/<slug:provider>/callback/", identity.callback, name="login-callback"),
    path("redeem/", redeem.redeem, name="redeem"),
    path("redeem/code/", redeem.send_code, name="redeem-code"),
    path("redeem/passkey/", redeem.with_passkey, name="redeem-passkey"),
    path("redeem/with/<slug:provider>/", redeem.with_identity, name="redeem-identity"),
    path("redeem/done/", redeem.redeemed, name="redeemed"),
    path("logout/", views.logout, name="logout"),
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
    path("account/real-name/", real_name.page, name="account-real-name"),
    path(
        "account/real-name/withdraw/",
        real_name.withdraw,
        name="account-real-name-withdraw",
    ),
    path("account/sessions/end/", views.logout_everywhere, name="logout-everywhere"),
    path(
        "account/notice/dismiss/", account.dismiss_notice, name="account-notice-dismiss"
    ),
    path(
        "account/notifications/",
        notice_choices.notifications,
        name="account-notifications",
    ),
    path("account/advice/", account.advice, name="account-advice"),
    path("account/guide/zone/", account.begin_in_zone, name="guide-zone"),
    path(
        "account/guide/membership/",
        account.begin_in_membership,
        name="guide-membership",
    ),
    path("account/guide/dismiss/", account.dismiss_guide, name="guide-dismiss"),
]
