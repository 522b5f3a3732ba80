"""Periodic work of goods."""

from goods import importing
from kameng import clock
from kameng.celery import app


@app.task(name="goods.tasks.drop_old_imports_task")
def drop_old_imports_task() -> int:
    return importing.drop_old(now=clock.agreed_now())
