"""An order's whole story for staff, merged from every table that tells a part of it.

Placed, screened, each attempt, each message of a gateway, activation, refunds, what
the member was told and what staff did: one list, oldest first, at a fixed number of
queries. Links of the wallet, addresses and tokens are left out; text is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.logs import mask
from kameng.templatetags.shop import duration, moment, yuan
from members.models import Entitlement
from notifications import kinds
from notifications.models import Notification
from orders.models import Order, OrderEvent, Risk
from payments import channels
from payments.channels import CHANNELS
from payments.gateways.contract import Product
from payments.models import Attempt, Consent, GatewayEvent, Refund, RefundReason

type Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the story.

    part    what it is about: ``order``, ``risk``, ``payment``, ``notice``,
            ``membership``, ``delivery``, ``refund``, ``message`` or ``staff``
    actor   who did it, in words
    source  which record tells it, in words
    step    its place among entries of the same moment
    """

    at: datetime
    part: str
    title: str
    actor: str
    source: str
    facts: Facts = field(default_factory=list)
    step: int = 0

    @property
    def label(self) -> str:
        return str(PARTS[self.part])


@dataclass(frozen=True, slots=True)
class Records:
    """The rows around one order."""

    order: Order
    attempts: list[Attempt]
    refunds: list[Refund]
    events: list[OrderEvent]
    gateway_events: list[GatewayEvent]
    messages: list[Notification]
    entitlement: Entitlement | None
    consents: list[Consent] = field(default_factory=list)


PARTS = {
    "order": gettext_lazy("订单"),
    "risk": gettext_lazy("风控"),
    "payment": gettext_lazy("支付"),
    "notice": gettext_lazy("通知"),
    "membership": gettext_lazy("开通"),
    "delivery": gettext_lazy("发货"),
    "refund": gettext_lazy("退款"),
    "message": gettext_lazy("消息"),
    "staff": gettext_lazy("客服"),
}
STEPS = ("placed", "risk", "payment", "notice", "order", *list(PARTS)[4:])
"""The order of what happens in one moment: being placed comes before all else."""

EVENTS = {
    # kind: (part, words)
    "placed": ("order", gettext_lazy("下单")),
    "cancelled": ("order", gettext_lazy("订单取消")),
    "expired": ("order", gettext_lazy("订单过期")),
    "paid": ("order", gettext_lazy("订单已付款")),
    "held": ("order", gettext_lazy("转人工核对")),
    "activated": ("membership", gettext_lazy("会员开通")),
    "delivered": ("delivery", gettext_lazy("卡密已发")),
    "short": ("delivery", gettext_lazy("缺货，排队等货")),
    "key-revealed": ("delivery", gettext_lazy("查看卡密")),
    "keys-returned": ("delivery", gettext_lazy("收回没看过的卡密")),
    "attempt-failed": ("payment", gettext_lazy("支付失败")),
    "attempt-unknown": ("payment", gettext_lazy("支付结果不明")),
    "attempt-closed": ("payment", gettext_lazy("支付关闭")),
    "refund-requested": ("refund", gettext_lazy("登记退款")),
    "refunded": ("refund", gettext_lazy("退款到账")),
    "refund-failed": ("refund", gettext_lazy("退款失败")),
    "renewal-stopped": ("order", gettext_lazy("会员关闭续费，扣款已在途")),
    "refunded-outside": ("refund", gettext_lazy("网关侧退款")),
    "refund-reversed": ("staff", gettext_lazy("申诉成功，款已追回")),
    "returned-by-member": ("order", gettext_lazy("会员自己退订")),
    "returned-outside": ("staff", gettext_lazy("已在网关外退款")),
    "refund-seen": ("staff", gettext_lazy("看过失败的退款")),
    "message-resolved": ("staff", gettext_lazy("处理网关通知")),
    "marked-paid": ("staff", gettext_lazy("登记线下收款")),
    "extended": ("staff", gettext_lazy("延长保留时间")),
    "approved": ("staff", gettext_lazy("放行")),
    "rejected": ("staff", gettext_lazy("不放行")),
    "merged": ("staff", gettext_lazy("随账号合并转来")),
    "money-accepted": ("staff", gettext_lazy("收下这笔钱")),
    "money-returned": ("staff", gettext_lazy("退回这笔钱")),
}
SHOPPERS = ("placed", "cancelled", "key-revealed", "returned-by-member")
"""Events that the shopper brings about herself, unless a member of staff is named."""

SOURCES = {
    "notice": gettext_lazy("异步通知"),
    "query": gettext_lazy("主动查单"),
    "close": gettext_lazy("关单"),
    "debit": gettext_lazy("自动扣款"),
    "manual": gettext_lazy("人工"),
}


def records_of(order: Order) -> Records:
    """Everything that concerns the order, in seven queries.

    order  with ``member``, ``plan__tier`` and ``settled_by`` selected
    """
    attempts = list(order.attempts.all())
    refunds = list(
        Refund.objects.filter(attempt__in=attempts).order_by("id") if attempts else []
    )
    gateway_events = GatewayEvent.objects.filter(attempt__in=attempts)
    entitlements = Entitlement.objects.filter(order=order).select_related("tier")
    return Records(
        order=order,
        attempts=attempts,
        refunds=refunds,
        events=list(order.events.select_related("actor")),
        gateway_events=list(gateway_events) if attempts else [],
        messages=list(Notification.objects.filter(key__in=_keys(order, refunds))),
        entitlement=entitlements.first(),
        consents=_consents(order),
    )


def _consents(order: Order) -> list[Consent]:
    """Given with this order; of a renewal, the ones by which it could be charged."""
    found = Consent.objects.filter(order=order)
    if order.renewal_key is not None:
        found = Consent.objects.filter(
            member=order.member_id, plan=order.plan, signed_at__lte=order.placed_at
        ).exclude(ended_at__lt=order.placed_at)
    return list(found.order_by("pk"))


def story_of(records: Records) -> list[Entry]:
    """The rows as one story, oldest first."""
    entries = [
        *_from_attempts(records.attempts),
        *_from_order(records),
        *_from_gateways(records.gateway_events),
        *_from_messages(records.messages),
        *_from_consents(records.consents),
    ]
    return sorted(entries, key=lambda entry: (entry.at, entry.step))


def channel_label(attempt: Attempt) -> str:
    return channels.label_of(attempt.channel)


def gateway_label(code: str) -> str:
    if code == "epay":  # carries several channels, none of which is its name
        return _("易支付")
    channel = next((each for each in CHANNELS.values() if each.gateway == code), None)
    return str(channel.label) if channel else code


def _keys(order: Order, refunds: Iterable[Refund]) -> list[str]:
    """The unique keys under which an order's messages are queued; see ``telling`` and, of
    a renewal, ``renewal_telling``."""
    first = [f"{kind}:{order.pk}" for kind in ("activated", "delivered", "short")]
    about = ("refund", "refund-failed", "refund-outside")
    subjects = [*first, *(f"{what}:{each.pk}" for each in refunds for what in about)]
    if order.renewal_key is not None:
        subjects += [f"renewal:{order.renewal_key}", f"renewal-retry:{order.pk}"]
    return [
        f"{subject}:{channel}"
        for subject in subjects
        for channel in Notification.Channel.values
    ]


def _from_order(records: Records) -> Iterator[Entry]:
    refunds = {refund.pk: refund for refund in records.refunds}
    for event in records.events:
        part, title = EVENTS.get(event.kind, ("staff", event.kind))
        if event.actor:
            actor = str(event.actor)
        else:
            shopper = event.kind in SHOPPERS and not event.detail.get("renewal")
            actor = _("买家") if shopper else _("系统")
        yield Entry(
            at=event.at,
            part=part,
            title=str(title),
            actor=actor,
            source=_("订单记录"),
            facts=_event_facts(event, refunds, records.attempts),
            step=STEPS.index("placed" if event.kind == "placed" else part),
        )
        if event.kind == "placed":
            yield _screening(records.order, event.at)


def _screening(order: Order, at: datetime) -> Entry:
    return Entry(
        at=at,
        part="risk",
        title=str(Risk(order.risk).label),
        actor=_("系统"),
        source=_("订单"),
        step=STEPS.index("risk"),
    )


def _event_facts(
    event: OrderEvent, refunds: dict[int, Refund], attempts: Iterable[Attempt]
) -> Facts:
    """What an event carries, with the rows that it names by number."""
    facts: Facts = []
    for name, value in event.detail.items():
        match name, value:
            case "refund", int() if value in refunds:
                facts += _refund_facts(refunds[value])
            case "attempt", int():
                number = next((a.out_trade_no for a in attempts if a.pk == value), "")
                facts.append((_("支付单号"), number or f"#{value}"))
            case "gateway", str():
                facts.append((_("网关"), gateway_label(value)))
            case "amount_fen", int():
                facts.append((_("金额"), yuan(value)))
            case "paid_fen", int():
                facts.append((_("实收"), yuan(value)))
            case "coupon", str():
                facts.append((_("优惠码"), value))
            case "coupon_off_fen", int():
                facts.append((_("优惠码减"), yuan(value)))
            case "seconds", int():
                facts.append((_("时长"), duration(value)))
            case "paid_until", str():
                end = datetime.fromisoformat(value)
                facts.append((_("会员到期"), moment(end)))
            case "late", bool():
                facts += [(_("迟到的钱"), _("是"))] if value else []
            case "key", int():
                facts.append((_("第几张"), str(value)))
            case "keys", int():
                facts.append((_("张数"), str(value)))
            case "code", _:
                facts.append((_("网关代码"), mask(str(value))))
            case "reason", _ if value in RefundReason.values:
                pass  # told with the refund
            case "reference", str():
                facts.append((_("凭证号"), mask(value)))
            case "until", str():
                facts.append((_("保留到"), moment(datetime.fromisoformat(value))))
            case "account", int():
                facts.append((_("原账号"), f"#{value}"))
            case "event", int():
                facts.append((_("网关通知"), f"#{value}"))
            case "reason", str():
                facts.append((_("原因"), mask(value)))
            case _ if value not in (None, ""):
                facts.append((name, mask(str(value))))
    return facts


def _refund_facts(refund: Refund) -> Facts:
    facts = [
        (_("退款号"), refund.out_refund_no),
        (_("金额"), yuan(refund.amount_fen)),
        (_("原因"), refund.get_reason_display()),
        (_("现在的状态"), refund.get_state_display()),
    ]
    if refund.gateway_refund_id:
        facts.append((_("平台退款号"), refund.gateway_refund_id))
    if refund.revoked_seconds:
        facts.append((_("收回的时间"), duration(refund.revoked_seconds)))
    if refund.note:
        facts.append((_("说明"), mask(refund.note)))
    if refund.last_error:
        facts.append((_("最近错误"), mask(refund.last_error)))
    return facts


def _from_attempts(attempts: Iterable[Attempt]) -> Iterator[Entry]:
    for attempt in attempts:
        charged = attempt.product == Product.MANDATE
        facts = [
            (_("支付单号"), attempt.out_trade_no),
            (_("产品"), attempt.product),
            (_("金额"), yuan(attempt.amount_fen)),
            (_("现在的状态"), attempt.get_state_display()),
        ]
        if attempt.txn_id:
            facts.append((_("平台交易号"), attempt.txn_id))
        if attempt.last_error:
            facts.append((_("最近错误"), mask(attempt.last_error)))
        yield Entry(
            at=attempt.created_at,
            part="payment",
            title=(
                _("用{channel}自动扣款") if charged else _("用{channel}付款")
            ).format(channel=channel_label(attempt)),
            actor=_("系统") if charged else _("买家"),
            source=_("支付尝试"),
            facts=facts,
            step=STEPS.index("payment"),
        )


def _from_consents(consents: Iterable[Consent]) -> Iterator[Entry]:
    for consent in consents:
        terms = [
            (_("商户签约号"), consent.number),
            (_("金额"), yuan(consent.price_fen)),
            (_("周期"), duration(consent.days * 86_400)),
            (_("协议版本"), consent.terms),
        ]
        steps = (
            (consent.agreed_at, _("同意自动续费"), _("买家")),
            (consent.signed_at, _("自动续费签约"), gateway_label(consent.gateway)),
            (
                consent.ended_at,
                _("自动续费结束：{why}").format(why=consent.get_ended_by_display()),
                _("系统"),
            ),
        )
        for at, title, actor in steps:
            if at is not None:
                yield Entry(
                    at=at,
                    part="order",
                    title=str(title),
                    actor=str(actor),
                    source=_("续费同意"),
                    facts=terms,
                    step=STEPS.index("order"),
                )


def _from_gateways(events: Iterable[GatewayEvent]) -> Iterator[Entry]:
    for event in events:
        facts = [(_("单号"), event.number)]
        if event.txn_id:
            facts.append((_("平台交易号"), event.txn_id))
        if event.amount_fen is not None:
            facts.append((_("金额"), f"{yuan(event.amount_fen)} {event.currency}"))
        facts += [
            (name, mask(str(value))) for name, value in event.content.items() if value
        ]
        gateway = gateway_label(event.gateway)
        yield Entry(
            at=event.created_at,
            part="notice",
            title=f"{gateway}：{event.get_outcome_display()}",
            actor=gateway,
            source=str(SOURCES.get(event.kind, event.kind)),
            facts=facts,
            step=STEPS.index("notice"),
        )


def _from_messages(messages: Iterable[Notification]) -> Iterator[Entry]:
    for message in messages:
        words: dict[str, Any] = {
            "channel": message.get_channel_display(),
            "kind": kinds.label(message.kind),
            "state": message.get_state_display(),
        }
        facts = [
            (label, mask(str(value)))
            for label, value in (
                (_("服务商"), message.provider),
                (_("服务商编号"), message.provider_id),
                (_("服务商结果"), message.code),
                (_("回执"), message.report),
                (_("尝试次数"), message.tries or ""),
                (_("已读"), moment(message.read_at) if message.read_at else ""),
            )
            if value
        ]
        yield Entry(
            at=message.sent_at or message.created_at,
            part="message",
            title=_("{channel}：{kind}，{state}").format(**words),
            actor=_("系统"),
            source=_("消息记录"),
            facts=facts,
            step=STEPS.index("message"),
        )
