"""Periodic work of orders."""

from kameng import clock
from kameng.celery import app
from orders import delivery


@app.task(name="orders.tasks.serve_queues_task")
def serve_queues_task() -> int:
    return delivery.serve_all(now=clock.agreed_now())
