from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = _("支付")

    def ready(self) -> None:
        from payments import effects  # noqa: F401  (registers the outbox handlers)
