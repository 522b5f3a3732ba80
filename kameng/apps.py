from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class KamengConfig(AppConfig):
    name = "kameng"
    verbose_name = "kameng"

    def ready(self) -> None:
        """Register the system checks; in production a broken setting ends the start.

        Here, so that it holds for web server, worker, beat and every command alike.
        """
        from django.conf import settings

        from kameng import checks

        if settings.PRODUCTION:
            checks.refuse_broken_settings()


class ConsoleConfig(admin_apps.AdminConfig):
    """Django's admin app with the shop's own site."""

    default = False
    default_site = "kameng.admin_site.Console"
    verbose_name = _("操作记录")
