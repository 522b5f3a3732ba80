import os

from celery import Celery
from celery.signals import setup_logging, task_success

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")

app = Celery("kameng")
app.set_default()  # else every thread that did not make it has an application of its own
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """Django has configured the log, masks included; Celery would replace it."""


@task_success.connect
def note_periodic_job(sender: object = None, **_: object) -> None:
    """Leave the time of a periodic job for ``/readyz``."""
    from django.conf import settings
    from django.utils import timezone

    from kameng import freshness

    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        if entry["task"] == getattr(sender, "name", None):
            freshness.note(name, now=timezone.now())
