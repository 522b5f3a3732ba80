"""What a refund of an order comes to: arithmetic alone, without database or clock.

Money is integer fen, rounded down in the shop's favour by less than one fen; time is
whole seconds. Sums that are proposed may be changed by an operator, within what has
come in and not gone back yet (K12) and what has not run yet (K17).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Time:
    """Membership time that an order has given.

    seconds  all that was bought
    left     what has neither run nor been taken back
    """

    seconds: int
    left: int


@dataclass(frozen=True, slots=True)
class Keys:
    """Card keys that an order has given; one that somebody has seen is used (F14)."""

    quantity: int
    unseen: int


type Delivered = Time | Keys | None
"""What the money has bought so far; None where nothing was handed out (F17)."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """``amount_fen`` goes back and ``seconds`` are taken back with it."""

    amount_fen: int
    seconds: int


def worth_fen(paid_fen: int, delivered: Delivered) -> int:
    """What of the money has not been used: paid × unused ÷ bought, rounded down (R19)."""
    match delivered:
        case Time():
            return paid_fen * delivered.left // delivered.seconds
        case Keys():
            return paid_fen * delivered.unseen // delivered.quantity
    return paid_fen


def propose(paid_fen: int, reserved_fen: int, delivered: Delivered) -> Proposal:
    """What is fair to return now, and everything unused that ends with it.

    reserved_fen  what has gone back already or is on its way
    """
    amount = min(worth_fen(paid_fen, delivered), paid_fen - reserved_fen)
    return Proposal(max(0, amount), seconds_for(amount, paid_fen, delivered))


def seconds_for(amount_fen: int, paid_fen: int, delivered: Delivered) -> int:
    """The seconds that go with a sum: its share of the time bought (F5).

    All that is left where the sum is worth all of that, so that no rest of a second's
    fraction of a fen stays behind.
    """
    if not isinstance(delivered, Time) or amount_fen <= 0:
        return 0
    if amount_fen >= worth_fen(paid_fen, delivered):
        return delivered.left
    return min(delivered.left, delivered.seconds * amount_fen // paid_fen)
