from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from members import codes, reminders, security_notices, visits


@shared_task(ignore_result=True)
def forget_codes_task() -> None:
    codes.forget(now=timezone.now())
    security_notices.forget_former_phones(now=timezone.now())


@shared_task(ignore_result=True)
def clear_sessions_task() -> None:
    SessionStore.clear_expired()


@shared_task(ignore_result=True)
def forget_visits_task() -> int:
    return visits.forget_old(now=timezone.now())


@shared_task(ignore_result=True)
def schedule_reminders_task() -> int:
    return reminders.schedule(now=timezone.now())
