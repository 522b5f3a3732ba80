from celery import shared_task

from kameng import clock
from notifications import outbox


@shared_task(ignore_result=True)
def run_outbox_task() -> None:
    outbox.run_due(now=clock.agreed_now())
