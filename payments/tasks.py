"""Periodic work of payments; each task is a query over due rows."""

from django.utils import timezone

from kameng.celery import app
from payments import polling, privacy, refunds


@app.task(name="payments.tasks.poll_attempts_task")
def poll_attempts_task() -> int:
    return polling.poll_due(now=timezone.now())


@app.task(name="payments.tasks.expire_orders_task")
def expire_orders_task() -> int:
    return polling.expire_due(now=timezone.now())


@app.task(name="payments.tasks.continue_refunds_task")
def continue_refunds_task() -> int:
    return refunds.continue_refunds(now=timezone.now())


@app.task(name="payments.tasks.erase_members_task")
def erase_members_task() -> int:
    return privacy.erase_due(now=timezone.now())
