from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class KamengConfig(AppConfig):
    name = "kameng"
    verbose_name = "kameng"

    def ready(self) -> None:
        from kameng import checks  # noqa: F401  (registers the system checks)


class ConsoleConfig(admin_apps.AdminConfig):
    """Django's admin app with the shop's own site."""

    default = False
    default_site = "kameng.admin_site.Console"
    verbose_name = _("操作记录")
