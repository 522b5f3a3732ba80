from django.urls import path

from notifications import views

urlpatterns = [
    path(
        "notifications/sms/<slug:provider>/<slug:secret>/report/",
        views.sms_report,
        name="sms-report",
    ),
]
