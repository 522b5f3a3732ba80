"""The numbers of ``/metrics``: what an alarm should ring for, in Prometheus' text form.

Each is one cheap look at an index; nothing in it tells of a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Sum

from kameng import counters, freshness
from notifications import outbox
from payments import cases
from payments.gateways import GATEWAYS


@dataclass(frozen=True, slots=True)
class Metric:
    """One name with its values; ``label`` names what tells them apart."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""
    kind: str = "gauge"

    def lines(self) -> Iterator[str]:
        name = f"kameng_{self.name}"
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {self.kind}"
        for key, value in self.values.items():
            labels = f'{{{self.label}="{key}"}}' if self.label else ""
            yield f"{name}{labels} {value:g}"


def text(*, now: datetime) -> str:
    return "".join(f"{line}\n" for each in _all(now) for line in each.lines())


def _all(now: datetime) -> Iterator[Metric]:
    yield Metric("up", "The process answers.", {"": 1})
    yield from _sweeps(now)
    yield from _outbox(now)
    yield from _money()
    refused = {
        gateway: count
        for gateway in GATEWAYS
        if (count := counters.read(counters.REFUSED_NOTICES, gateway)) is not None
    }
    yield Metric(
        "notices_refused_total",
        "Notices whose signature does not hold.",
        refused,
        "gateway",
        "counter",
    )


def _sweeps(now: datetime) -> Iterator[Metric]:
    jobs = freshness.jobs(now=now)
    yield Metric(
        "job_age_seconds",
        "Since a periodic job last finished.",
        {
            job.name: (now - job.finished_at).total_seconds()
            for job in jobs
            if job.finished_at is not None
        },
        "job",
    )
    yield Metric(
        "job_stale",
        "Whether a periodic job is overdue.",
        {job.name: int(job.stale) for job in jobs},
        "job",
    )


def _outbox(now: datetime) -> Iterator[Metric]:
    found = outbox.status(now=now)
    lag = (now - found.oldest_due_at).total_seconds() if found.oldest_due_at else 0
    yield Metric("outbox_lag_seconds", "Age of the oldest due row.", {"": lag})
    yield Metric("outbox_due", "Rows that are due.", {"": found.due})
    yield Metric(
        "outbox_dead", "Rows that were given up.", {"": sum(found.dead.values())}
    )


def _money() -> Iterator[Metric]:
    waiting = cases.unallocated().aggregate(
        payments=Count("pk"), fen=Sum(F("paid_fen") - F("refund_reserved_fen"))
    )
    yield Metric(
        "unallocated_payments",
        "Paid attempts that settle no order and are not refunded.",
        {"": waiting["payments"]},
    )
    yield Metric(
        "unallocated_fen", "The money of those, in fen.", {"": waiting["fen"] or 0}
    )
    yield Metric(
        "gateway_events_open",
        "Genuine messages of gateways that wait for a person.",
        {"": cases.open_events().count()},
    )
