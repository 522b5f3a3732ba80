"""What a gateway that can charge again by itself offers besides ``contract.Gateway``.

A mandate is a member's standing permission at one gateway. Only Alipay's cycle pay is
built; a gateway without one has no ``mandates``, and nothing is offered for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from payments import gateways
from payments.gateways.contract import Handover, Trade


class MandateState(StrEnum):
    WAITING = "waiting"  # known at the gateway, not agreed to yet
    LIVE = "live"
    STOPPED = "stopped"  # may no longer be charged
    MISSING = "missing"  # the gateway has no such mandate in force
    UNKNOWN = "unknown"  # a state this adapter does not know


@dataclass(frozen=True, slots=True)
class Mandate:
    """What the gateway says about one mandate, by notice or by query.

    number       ours, "" where a notice left it out
    contract_no  the gateway's, "" before it has one
    next_on      the day it expects the next charge on, in China; None if not said
    """

    number: str
    state: MandateState
    contract_no: str = ""
    next_on: date | None = None
    raw_state: str = ""


@dataclass(frozen=True, slots=True)
class SignRequest:
    """A mandate to be agreed to on the gateway's own page.

    number      our own, at most 32 capitals and digits
    amount_fen  the most that one charge may take
    days        a charge at most once in so many
    first_on    the day of the first charge, in China
    """

    number: str
    amount_fen: int
    days: int
    first_on: date
    notify_url: str
    return_url: str


@dataclass(frozen=True, slots=True)
class DebitRequest:
    """One charge under a mandate; ``number`` is the attempt's and makes it once."""

    number: str
    contract_no: str
    amount_fen: int
    subject: str
    expires_at: datetime
    notify_url: str


class MandateGateway(Protocol):
    """Methods that talk to the gateway raise ``Refused`` or ``Unclear`` as others do."""

    shortest_days: int
    most_fen: int
    """No single charge may be larger."""

    def sign(self, request: SignRequest, *, now: datetime) -> Handover: ...

    def query(self, number: str, contract_no: str, *, now: datetime) -> Mandate:
        """Ask for one mandate; an unknown one is ``MISSING``, no error."""
        ...

    def stop(self, contract_no: str, notify_url: str, *, now: datetime) -> None:
        """End a mandate; one that is over already counts as ended."""
        ...

    def postpone(self, contract_no: str, to: date, *, now: datetime) -> None:
        """Let the gateway expect the next charge on a later day."""
        ...

    def debit(self, request: DebitRequest, *, now: datetime) -> Trade:
        """Charge now. ``Unclear`` also when the money may move later: query the trade."""
        ...


def of(code: str) -> MandateGateway | None:
    """The mandates of a gateway; None when it is off or has none."""
    found: MandateGateway | None = getattr(gateways.get(code), "mandates", None)
    return found


def offering() -> list[str]:
    """The gateways of this shop at which a mandate can be signed now."""
    return [code for code in gateways.GATEWAYS if of(code) is not None]
