"""What every SMS provider offers to the shop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Result(StrEnum):
    """What became of one call; each value asks for another next step."""

    SENT = "sent"  # accepted by the provider
    RATE_LIMITED = "rate_limited"  # not accepted, this number has had enough for now
    BAD_NUMBER = "bad_number"  # never will be accepted for this number
    OPERATOR_ALARM = "operator_alarm"  # balance, template, keys: a person must act
    RETRY_OTHER_PROVIDER = "retry_other_provider"  # not accepted, their trouble
    UNKNOWN = "unknown"  # it may have been accepted: never repeat at once


@dataclass(frozen=True, slots=True)
class SendResult:
    """provider_id: theirs, "" when none; code: their word for it, without free text."""

    result: Result
    provider_id: str = ""
    code: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Sms:
    """One message to one phone.

    to          E.164, mainland mobile
    words       the finished parameters by name, for the provider's template
    text        the same as one text, for providers without templates
    message_id  ours; the same when a message is repeated
    """

    to: str
    kind: str
    words: Mapping[str, str]
    text: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One line of a delivery report (回执): did the phone get it, in their word."""

    provider_id: str
    delivered: bool
    code: str


class Provider(Protocol):
    """One configured SMS provider.

    ``send`` ends within seconds and never raises for what the network or the provider
    did; that is in the result. It raises ``Unfillable`` when its template does not fit.
    """

    def send(self, sms: Sms, *, now: datetime) -> SendResult: ...
