from django.urls import path

from members import account, confirm, views
from members.identity import views as identity

urlpatterns = [
    path("login/", views.login, name="login"),
    path("login/code/", views.login_code, name="login-code"),
    path("login/<slug:provider>/", identity.login, name="login-identity"),
    path("login/<slug:provider>/callback/", identity.callback, name="login-callback"),
    path("logout/", views.logout, name="logout"),
    path("account/", account.account, name="account"),
    path("account/confirm/", confirm.confirm, name="account-confirm"),
    path("account/confirm/code/", confirm.send_code, name="account-confirm-code"),
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
    path("account/orders/", account.orders, name="account-orders"),
    path(
        "account/notice/dismiss/", account.dismiss_notice, name="account-notice-dismiss"
    ),
    path("account/guide/dismiss/", account.dismiss_guide, name="guide-dismiss"),
]
