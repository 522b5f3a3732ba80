from celery import shared_task
from django.utils import timezone

from notifications import outbox


@shared_task(ignore_result=True)
def run_outbox_task() -> None:
    outbox.run_due(now=timezone.now())
