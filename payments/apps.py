from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class PaymentsConfig(AppConfig):
    name = "payments"
    verbose_name = _("支付")

    def ready(self) -> None:
        # They register the outbox handlers and checks of the audit.
        from payments import effects  # noqa: F401
        from payments.renewing import renewal_audit  # noqa: F401
