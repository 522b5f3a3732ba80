"""A member whose time renews itself: signed on the sandbox's page, charged by it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx

from members import reminders
from members.models import Member, Plan
from notifications.models import Notification
from orders.models import Order
from payments.models import Attempt, AutoRenew, Consent
from payments.renewing import mandates, renewal
from tests.sandbox_process import Json, wait_for
from tests.shopping import WECHAT, Till, fresh, new_member

SHANGHAI = ZoneInfo("Asia/Shanghai")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def beijing(text: str) -> datetime:
    """``11-29 10:00`` of 2026."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=SHANGHAI)


def bought(
    till: Till, plan: str = "temporary-7", member: Member | None = None
) -> Member:
    """A member who has just paid for a plan by WeChat."""
    member = member or new_member()
    till.hear(till.bill(member, plan, way=WECHAT))
    return fresh(member)


@dataclass
class Renewals:
    """A till with renewals: its clock, the member's wallet, and the ticks of the shop."""

    till: Till

    @property
    def now(self) -> datetime:
        return self.till.now

    def at(self, text: str) -> Renewals:
        self.till.set_clock(beijing(text))
        return self

    # --- The member ----------------------------------------------------------------

    def ask(self, member: Member, plan: str = "temporary-7") -> Consent:
        """She ticked the box: a consent, and Alipay's page opened in her browser."""
        offered = Plan.objects.select_related("tier").get(slug=plan)
        consent = mandates.begin(
            member.pk,
            plan=offered,
            gateway="alipay",
            shown_fen=offered.price_at(self.now),
            now=self.now,
        )
        self.look_at(consent)
        return consent

    def look_at(self, consent: Consent) -> None:
        """Her browser opens the page to sign on."""
        handover = mandates.handover(consent, now=self.now)
        with httpx.Client(trust_env=False) as browser:
            page = browser.get(handover.url, follow_redirects=True)
        assert page.status_code == 200, page.text

    def agree(self, consent: Consent, **options: object) -> None:
        """She agrees on the page, and its notice reaches the shop."""
        self.wallet(consent, "agree", **options)
        if options.get("notify") != "lose":
            assert self.till.notices is not None
            box, mark = self.till.notices.received, consent.number.encode()
            [notice] = wait_for(lambda: [each for each in box if mark in each.body])
            box.remove(notice)
            answer = self.till.deliver(notice, gateway="alipay")
            assert answer.content == b"success"

    def signed(self, member: Member, plan: str = "temporary-7") -> AutoRenew:
        self.agree(self.ask(member, plan))
        return AutoRenew.objects.get(member=member)

    def wallet(self, consent: Consent, deed: str, **options: object) -> Json:
        path = f"agreements/{consent.number}/{deed}/"
        return self.till.wallet.control(path, dict(options))

    def agreement(self, consent: Consent) -> Json:
        return self.till.wallet.control(f"agreements/{consent.number}/")

    def next_debit(self, renewing: AutoRenew, outcome: str, **options: object) -> None:
        self.wallet(renewing.consent, "debits", outcome=outcome, **options)

    # --- The shop ------------------------------------------------------------------

    def tick(self) -> None:
        """All that beat does, at this moment."""
        mandates.poll_signatures(now=self.now)
        renewal.run_due(now=self.now)
        reminders.schedule(now=self.now)
        self.till.poll()
        self.till.expire()
        self.till.run_outbox()

    def until(self, text: str, *, every: timedelta = 6 * HOUR) -> Renewals:
        """Let time pass, with a tick now and then and one at the end."""
        end = beijing(text)
        while self.now + every < end:
            self.till.set_clock(self.now + every)
            self.tick()
        self.till.set_clock(end)
        self.tick()
        return self

    def debits(self) -> list[Json]:
        return self.till.wallet.calls("alipay", "debit")

    def deliver_all(self, count: int = 1) -> None:
        for notice in self.till.caught(count):
            self.till.deliver(notice, gateway="alipay")


def renewals_of(member: Member) -> list[Order]:
    return list(
        Order.objects.filter(member=member, renewal_key__isnull=False).order_by("pk")
    )


def charges_of(member: Member) -> list[tuple[str, int, str]]:
    """When (China), how much and what became of each charge, oldest first."""
    found = Attempt.objects.filter(order__member=member, product="mandate")
    return [
        (
            attempt.created_at.astimezone(SHANGHAI).strftime("%m-%d %H:%M"),
            attempt.amount_fen,
            str(attempt.state),
        )
        for attempt in found.order_by("pk")
    ]


def texts_to(till: Till, member: Member) -> list[str]:
    return [message["text"] for message in till.wallet.sms(str(member.phone))]


def told(member: Member, kind: str, channel: str = "site") -> list[Notification]:
    found = Notification.objects.filter(member=member, kind=kind, channel=channel)
    return list(found.order_by("pk"))
