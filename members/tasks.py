from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from kameng import clock
from members import reminders, security_notices, visits
from members.sign_in import codes


@shared_task(ignore_result=True)
def forget_codes_task() -> None:
    now = clock.agreed_now()
    codes.forget(now=now)
    security_notices.forget_former_phones(now=now)


@shared_task(ignore_result=True)
def clear_sessions_task() -> None:
    clock.agreed_now()  # Django's own sweep takes no time: it must be right
    SessionStore.clear_expired()


@shared_task(ignore_result=True)
def forget_visits_task() -> int:
    return visits.forget_old(now=clock.agreed_now())


@shared_task(ignore_result=True)
def schedule_reminders_task() -> int:
    return reminders.schedule(now=clock.agreed_now())
