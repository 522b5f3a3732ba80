from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GoodsConfig(AppConfig):
    name = "goods"
    verbose_name = _("商品")

    def ready(self) -> None:
        from goods import importing  # noqa: F401  (registers the outbox handler)
