"""Periodic work of payments; each task is a query over due rows."""

from kameng import clock
from kameng.celery import app
from payments import confirmation, polling, privacy
from payments.reconciling import bill_days
from payments.refunding import refunds, shortage
from payments.renewing import mandates, renewal


@app.task(name="payments.tasks.poll_attempts_task")
def poll_attempts_task() -> int:
    return polling.poll_due(now=clock.agreed_now())


@app.task(name="payments.tasks.expire_orders_task")
def expire_orders_task() -> int:
    return polling.expire_due(now=clock.agreed_now())


@app.task(name="payments.tasks.refund_short_task")
def refund_short_task() -> int:
    return shortage.refund_short(now=clock.agreed_now())


@app.task(name="payments.tasks.continue_refunds_task")
def continue_refunds_task() -> int:
    return refunds.continue_refunds(now=clock.agreed_now())


@app.task(name="payments.tasks.confirm_payments_task")
def confirm_payments_task() -> int:
    return confirmation.confirm_due(now=clock.agreed_now())


@app.task(name="payments.tasks.fetch_bills_task")
def fetch_bills_task() -> int:
    return bill_days.fetch_due(now=clock.agreed_now())


@app.task(name="payments.tasks.renew_task")
def renew_task() -> int:
    now = clock.agreed_now()
    return mandates.poll_signatures(now=now) + renewal.run_due(now=now)


@app.task(name="payments.tasks.erase_members_task")
def erase_members_task() -> int:
    return privacy.erase_due(now=clock.agreed_now())
