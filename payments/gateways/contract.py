"""What every payment gateway adapter offers to the shop.

An adapter translates between one provider's wire protocol and the plain values
below. It holds no ORM and decides nothing: amounts are compared, orders settled and
refunds booked by ``payments.settle`` and ``payments.refunding.refunds``.

Money is integer fen, moments are aware datetimes, numbers are our own
(``out_trade_no`` of an attempt, ``out_refund_no`` of a refund).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from kameng.devices import Device

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from payments.gateways.mandates import Mandate


class Product(StrEnum):
    """How the shopper meets the wallet; an attempt keeps its product.

    A gateway whose products are configured has others besides these: wherever one is
    passed on it is any text.
    """

    NATIVE = "native"  # WeChat: QR on our page
    H5 = "h5"  # WeChat: phone browser outside WeChat
    JSAPI = "jsapi"  # WeChat: inside WeChat, needs an openid
    PAGE = "page"  # Alipay: cashier page on a desktop
    WAP = "wap"  # Alipay: cashier page on a phone
    QR = "qr"  # Alipay: QR on our page
    FRONT = "front"  # UnionPay: cashier page on a desktop
    FRONT_PHONE = "front_phone"  # UnionPay: cashier page on a phone
    MANDATE = "mandate"  # charged under a renewal mandate, without the shopper


@dataclass(frozen=True, slots=True)
class Channel:
    """One row of the payment chooser."""

    code: str
    gateway: str
    label: StrPromise | str
    app: StrPromise | str
    """The wallet's short name, for buttons."""
    products: dict[Device, tuple[str, ...]]
    """What serves on a device, the first by default; empty: not usable there."""
    reasons: dict[Device, StrPromise] = field(default_factory=dict)
    """Why not, where there is more to say than that."""
    cashier: StrPromise | str = ""
    """What opens instead of the wallet, where that is a page of somebody else."""
    cap_fen: int | None = None
    """The largest order that it can pay."""


BY_ADDRESS = frozenset({Product.PAGE, Product.WAP, Product.FRONT, Product.FRONT_PHONE})
"""What the browser opens by a signed address or form alone: ``start`` asks nobody."""


class RefundCapability(StrEnum):
    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StartRequest:
    """One attempt to be opened at the gateway.

    number      our out_trade_no, repeated unchanged when the same attempt is re-sent
    subject     what the wallet shows, at most 127 characters
    expires_at  end of the order's hold; the gateway refuses payment after it
    payer_ip    the shopper's address (WeChat H5 demands it)
    openid      only for ``Product.JSAPI``
    placed_at   when the attempt was made, the same whenever it is sent again; UnionPay
                names an order by it. None: now
    """

    number: str
    amount_fen: int
    subject: str
    product: str
    expires_at: datetime
    notify_url: str
    return_url: str
    payer_ip: str = ""
    openid: str = ""
    placed_at: datetime | None = None


class HandoverKind(StrEnum):
    REDIRECT = "redirect"  # send the browser to ``url``
    QR = "qr"  # show ``url`` as a QR code
    JSAPI = "jsapi"  # hand ``params`` to the WeChat bridge
    FORM = "form"  # POST ``params`` to ``url`` as a form of the browser's


@dataclass(frozen=True, slots=True)
class Handover:
    """How the shopper gets from our pay page into the wallet.

    valid_until  after it the same request must be sent again (WeChat H5: 5 minutes);
                 None when it lives as long as the order
    """

    kind: HandoverKind
    url: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """When an attempt may be paid: from its making to the end of the order's hold.

    UnionPay names an order by the first, and its answers are final after the second.
    """

    placed_at: datetime
    expires_at: datetime


class TradeState(StrEnum):
    WAITING = "waiting"  # exists at the gateway, not paid
    PAID = "paid"
    CLOSED = "closed"  # can no longer be paid
    MISSING = "missing"  # the gateway does not know the number (proves nothing)
    UNKNOWN = "unknown"  # a state this adapter does not know


@dataclass(frozen=True, slots=True)
class Trade:
    """What the gateway says about one attempt, by notice or by query.

    amount_fen  the order total as the gateway holds it, before its own coupons;
                None unless the gateway stated it as a plain amount. ``PAID`` without
                an amount never settles an order: query, and when the query has none
                either, it is a mismatch for operators
    refused     the gateway's reason in plain words, where it gives one
    placed_at   to the second, where the gateway names the attempt by it as well as by
                its number: another moment is another order
    """

    number: str
    state: TradeState
    txn_id: str = ""
    amount_fen: int | None = None
    currency: str = "CNY"
    paid_at: datetime | None = None
    refused: str = ""
    raw_state: str = ""
    placed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One refund; ``number`` is the idempotency key and is reused on every retry.

    paid_at       when the payment came in
    requested_at  when the refund was decided, the same on every retry; UnionPay names
                  a refund by it as well. None: now
    """

    number: str
    trade_number: str
    txn_id: str
    refund_fen: int
    total_fen: int
    reason: str
    notify_url: str
    currency: str = "CNY"
    paid_at: datetime | None = None
    requested_at: datetime | None = None


class RefundState(StrEnum):
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"  # definite: the money did not and will not move
    MISSING = "missing"  # the gateway does not know this refund number
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RefundResult:
    """What the gateway says about one refund, by answer, query or notice.

    refund_fen          this refund; None unless the gateway stated it
    refunded_total_fen  all refunds of the trade so far, where the gateway counts that
                        instead (Alipay's answers and notices)
    """

    number: str
    trade_number: str
    state: RefundState
    refund_fen: int | None = None
    refunded_total_fen: int | None = None
    gateway_refund_id: str = ""
    raw_state: str = ""


@dataclass(frozen=True, slots=True)
class NoticeRequest:
    """A notice exactly as it came in; ``headers`` are case-insensitive."""

    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice whose signature held.

    ours     merchant and app id are this shop's; when False nothing may change
    fresh    the time stamp lies in the replay window; when False the content is not
             used, but ``number`` may be queried
    trade    what it says about a payment, if it does
    refund   what it says about a refund, if it does (both may be present)
    mandate  what it says about a renewal mandate, if it is about one
    event_id the gateway's own id of the notice, "" where it has none
    confirm  the signature alone is weak (a key that both sides hold): a success is
             booked only as the gateway's own query confirms it
    """

    number: str
    ours: bool = True
    fresh: bool = True
    trade: Trade | None = None
    refund: RefundResult | None = None
    mandate: Mandate | None = None
    event_id: str = ""
    confirm: bool = False


class NoticeRefused(Exception):
    """The notice is forged, malformed or not decryptable; nothing may be looked up.

    ``reason`` is a short English word for counters and logs, free of personal data.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """The gateway's own words for "received" or "try again"."""

    status: int
    body: bytes
    content_type: str


class GatewayError(Exception):
    """A call did not give a usable answer.

    code   the gateway's own code or a short English word
    words  its message, safe to show to operators
    """

    def __init__(self, code: str, words: str = "") -> None:
        super().__init__(f"{code} {words}".strip())
        self.code = code
        self.words = words


class Refused(GatewayError):
    """The gateway said no, definitely: nothing was created, repeating is useless."""


class Unclear(GatewayError):
    """Time-out, 5xx, throttled, malformed or unsigned answer: it may have happened.

    Repeat with the same number, or query.
    """


class Gateway(Protocol):
    """One payment gateway, configured. Safe to share between threads.

    Every method that talks to the gateway uses a timeout of at most 5 seconds and
    raises ``Refused`` or ``Unclear``, never an error of the HTTP library.
    """

    code: str
    """Folder name, URL name and ``Attempt.gateway``: ``alipay``, ``wechat`` ..."""
    refunds: RefundCapability
    notice_methods: tuple[str, ...]
    """How its notices come: ``POST``, also ``GET``."""
    origins: tuple[str, ...]
    """Origins (scheme://host[:port]) a shopper's browser may be sent to; the first is
    the gateway's own."""

    def start(self, request: StartRequest, *, now: datetime) -> Handover: ...

    def query(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        """Ask for one attempt; an unknown number is ``TradeState.MISSING``, no error.

        window  always given by the shop; only UnionPay needs it
        """
        ...

    def close(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        """Close an unpaid attempt; returns what is known afterwards (``PAID`` when the
        gateway says it was paid meanwhile, ``UNKNOWN`` when it only says that the
        state forbids closing: query it, ``WAITING`` when it cannot be closed and may
        still be paid)."""
        ...

    def refund(self, request: RefundRequest, *, now: datetime) -> RefundResult: ...

    def query_refund(
        self, request: RefundRequest, *, now: datetime
    ) -> RefundResult: ...

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        """Verify and translate; raises ``NoticeRefused``."""
        ...

    def problems(self, *, now: datetime) -> list[str]:
        """What an operator must see to, e.g. a certificate that runs out; each line
        begins with the name of the setting."""
        ...

    def received(self) -> Reply: ...

    def not_received(self, reason: str) -> Reply: ...
