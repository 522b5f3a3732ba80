from django.urls import path

from members import account, views

urlpatterns = [
    path("login/", views.login, name="login"),
    path("login/code/", views.login_code, name="login-code"),
    path("logout/", views.logout, name="logout"),
    path("account/", account.account, name="account"),
    path("account/orders/", account.orders, name="account-orders"),
    path(
        "account/notice/dismiss/", account.dismiss_notice, name="account-notice-dismiss"
    ),
    path("account/advice/", account.advice, name="account-advice"),
    path("account/guide/dismiss/", account.dismiss_guide, name="guide-dismiss"),
]
