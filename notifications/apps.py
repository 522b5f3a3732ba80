from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("消息")

    def ready(self) -> None:
        # Importing registers the outbox handlers of this app.
        from notifications import messages  # noqa: F401
        from notifications.push import delivery  # noqa: F401
