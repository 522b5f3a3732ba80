from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from kameng import pwa, views

handler500 = "kameng.views.server_error"

urlpatterns = [
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics),
    path("manifest.webmanifest", pwa.manifest, name="manifest"),
    path("sw.js", pwa.service_worker, name="service-worker"),
    path("language/", views.set_language, name="set_language"),
    path(settings.CONSOLE_PATH, admin.site.urls),
    path("official/", views.official, name="official"),
    path("legal/<slug:slug>/", views.legal, name="legal"),
    path("", include("members.urls")),
    path("", include("orders.urls")),
    path("", include("payments.urls")),
    path("", include("notifications.urls")),
]
