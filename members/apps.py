from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class MembersConfig(AppConfig):
    name = "members"
    verbose_name = _("会员")

    def ready(self) -> None:
        from members import reminders  # noqa: F401  (registers its check of messages)
        from members.staff_roles import ensure_after_migrate

        post_migrate.connect(ensure_after_migrate, sender=self)
