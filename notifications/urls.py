from django.urls import path

from notifications import views

urlpatterns = [
    path("account/push/", views.push_on, name="push-on"),
    path("account/push/off/", views.push_off, name="push-off"),
    path(
        "notifications/sms/<slug:provider>/<slug:secret>/report/",
        views.sms_report,
        name="sms-report",
    ),
]
