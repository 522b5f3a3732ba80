"""What operators may do with money, one guarded action each: words, forms, rights.

The rules are the domain's (``decisions``, ``refunds``, ``offline``, ``held``); here
stands what the page shows before and what it says afterwards.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.templatetags.shop import duration, moment, to_the_second, yuan
from members.tiers.catalogue_forms import YuanField
from orders import extending
from orders.models import Fulfil, Order, Status
from payments import cases, polling
from payments.console import decisions, held, offline
from payments.console.guarded import Deed, Facts, Guarded, GuardedForm, order_of
from payments.models import (
    Attempt,
    AttemptState,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundReason,
    RefundState,
)
from payments.refunding import refunds
from payments.refunding.refund_effects import given_by
from payments.refunding.refund_proposal import seconds_for

RETURN = "payments.add_refund"
BOOK = "payments.add_attempt"
DECIDE = "payments.change_attempt"
RESOLVE = "payments.change_gatewayevent"
TEND = "orders.change_order"


# --- Forms -------------------------------------------------------------------------


def _reason() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("原因"),
        max_length=160,
        help_text=gettext_lazy("记进订单经过，同事看得到。别写手机号和证件号。"),
    )


def _reference(help_text: Any) -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("凭证号"), max_length=60, help_text=help_text
    )


def _tail() -> forms.CharField:
    return forms.CharField(
        label=gettext_lazy("订单号最后四位"),
        max_length=4,
        help_text=gettext_lazy("照着上面的订单号输入，免得弄错单。"),
        widget=forms.TextInput({"autocomplete": "off"}),
    )


class NoForm(GuardedForm):
    """Nothing to say."""


class ReasonForm(GuardedForm):
    reason = _reason()


class MoneyForm(GuardedForm):
    """Money leaves or is decided on for good."""

    reason = _reason()
    tail = _tail()


class OutsideForm(GuardedForm):
    reference = _reference(gettext_lazy("转账流水号或收据号，对账用。"))
    tail = _tail()


class OfflineForm(GuardedForm):
    reference = _reference(
        gettext_lazy("银行流水号或收据号；每笔钱只有一个，用过的不能再用。")
    )
    reason = _reason()
    tail = _tail()


class ExtendForm(GuardedForm):
    hours = forms.IntegerField(
        label=gettext_lazy("从现在起保留几小时"), min_value=1, max_value=24, initial=1
    )
    reason = _reason()


class RefundForm(GuardedForm):
    """All that is proposed, unless another sum or other seconds are typed (F5)."""

    amount = YuanField(label=gettext_lazy("退款金额（元）"))
    seconds = forms.IntegerField(
        label=gettext_lazy("收回时间（秒）"),
        required=False,
        min_value=0,
        help_text=gettext_lazy("留空就按金额的比例收回。一天是 86400 秒。"),
    )
    reason = _reason()
    tail = _tail()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.order is not None
        self.proposal = refunds.proposal_for(self.order, now=self.now)
        self.fields["amount"].initial = self.proposal.amount_fen or None


# --- What will happen --------------------------------------------------------------


def _about_order(order: Order | None) -> Facts:
    if order is None:
        return []
    return [
        (_("订单号"), order.no),
        (_("买的"), f"{order.title} × {order.quantity}"),
        (_("应付"), yuan(order.amount_fen)),
        (_("状态"), f"{order.get_status_display()} · {order.get_fulfil_display()}"),
    ]


def _plain(row: Any, form: GuardedForm, now: datetime) -> Facts:
    return _about_order(order_of(row))


def _refund_facts(order: Order, form: GuardedForm, now: datetime) -> Facts:
    assert isinstance(form, RefundForm)
    attempt = refunds.settling_attempt(order)
    paid = attempt.paid_fen or 0
    given = given_by(order, order.member, now=now)
    typed = form.cleaned_data if form.is_bound else {}
    amount = typed.get("amount") or form.proposal.amount_fen
    seconds = typed.get("seconds")
    if seconds is None:
        seconds = seconds_for(amount, paid, given.delivered)
    return [
        *_about_order(order),
        (_("实收"), yuan(paid)),
        (_("已退或在退"), yuan(attempt.refund_reserved_fen)),
        (_("没用完的时间"), f"{to_the_second(given.left)} ({given.left} s)"),
        (_("按规则能退"), yuan(form.proposal.amount_fen)),
        (_("这次退"), yuan(amount)),
        (_("这次收回"), f"{to_the_second(seconds)} ({seconds} s)"),
        (_("怎么退"), _way_back(attempt, amount, of_fen=paid)),
    ]


def _way_back(attempt: Attempt, amount_fen: int, *, of_fen: int) -> str:
    if refunds.is_returnable(attempt, amount_fen, of_fen=of_fen):
        return _("原路退回，自动发出")
    return _("这个渠道退不了：会变成人工退款的待办，退完在那里登记")


def _attempt_facts(attempt: Attempt, form: GuardedForm, now: datetime) -> Facts:
    paid, reserved = attempt.paid_fen or 0, attempt.refund_reserved_fen
    return [
        *_about_order(attempt.order),
        (_("支付单号"), attempt.out_trade_no),
        (_("实收"), f"{yuan(paid)} {attempt.paid_currency}"),
        (_("还没有着落的"), yuan(paid - reserved)),
    ]


def _accept_facts(attempt: Attempt, form: GuardedForm, now: datetime) -> Facts:
    given = duration(attempt.order.seconds)
    return [*_attempt_facts(attempt, form, now), (_("马上开通"), given)]


def _return_facts(attempt: Attempt, form: GuardedForm, now: datetime) -> Facts:
    paid = attempt.paid_fen or 0
    rest = paid - attempt.refund_reserved_fen
    way = _way_back(attempt, rest, of_fen=paid)
    return [*_attempt_facts(attempt, form, now), (_("怎么退"), way)]


def _event_facts(event: GatewayEvent, form: GuardedForm, now: datetime) -> Facts:
    known = event.amount_fen is not None
    sum_ = f"{yuan(event.amount_fen or 0)} {event.currency}" if known else "–"
    return [
        *_about_order(order_of(event)),
        (_("结果"), event.get_outcome_display()),
        (_("单号"), event.number),
        (_("平台交易号"), event.txn_id or "–"),
        (_("金额"), sum_),
        (_("时间"), moment(event.created_at)),
    ]


def _one_refund_facts(refund: Refund, form: GuardedForm, now: datetime) -> Facts:
    return [
        *_about_order(refund.attempt.order),
        (_("退款号"), refund.out_refund_no),
        (_("金额"), yuan(refund.amount_fen)),
        (_("原因"), f"{refund.get_reason_display()} {refund.note}".strip()),
        (_("收回的时间"), duration(refund.revoked_seconds)),
        (_("状态"), refund.get_state_display()),
    ]


# --- What is offered ---------------------------------------------------------------


def _has_money_to_return(order: Order, now: datetime) -> bool:
    attempt = Attempt.objects.filter(pk=order.settled_by_id or 0).first()
    return attempt is not None and attempt.refund_reserved_fen < (attempt.paid_fen or 0)


def _is_unpaid(order: Order, now: datetime) -> bool:
    return order.status in (Status.PENDING, Status.EXPIRED)


def _is_open(order: Order, now: datetime) -> bool:
    return order.is_open(at=now)


def _is_held(order: Order, now: datetime) -> bool:
    return order.status == Status.PAID and order.fulfil == Fulfil.HELD


def _is_asked_about(order: Order, now: datetime) -> bool:
    """Whether a gateway knows something of it."""
    return order.attempts.exclude(gateway=offline.GATEWAY).exists()


def _is_unallocated(attempt: Attempt, now: datetime) -> bool:
    return cases.unallocated().filter(pk=attempt.pk).exists()


def _is_acceptable(attempt: Attempt, now: datetime) -> bool:
    return (
        _is_unpaid(attempt.order, now)
        and not attempt.refund_reserved_fen
        and _is_unallocated(attempt, now)
    )


def _is_case(event: GatewayEvent, now: datetime) -> bool:
    return cases.open_events().filter(pk=event.pk).exists()


def _is_second_payment(event: GatewayEvent, now: datetime) -> bool:
    if event.outcome != EventOutcome.OVERPAID or not event.amount_fen:
        return False
    return _is_case(event, now) or event.refunds.filter(state="failed").exists()


def _is_by_hand(refund: Refund, now: datetime) -> bool:
    return refund.state == RefundState.MANUAL


def _is_failed(refund: Refund, now: datetime) -> bool:
    return cases.failed_refunds().filter(pk=refund.pk).exists()


def _is_disputed(refund: Refund, now: datetime) -> bool:
    return (refund.reason, refund.state) == (
        RefundReason.EXTERNAL,
        RefundState.SUCCESS,
    )


# --- Doing it ----------------------------------------------------------------------


def _refund(deed: Deed) -> str:
    refund = refunds.request(
        deed.row.pk,
        amount_fen=deed.data["amount"],
        seconds=deed.data["seconds"],
        actor=deed.actor,
        reason=deed.data["reason"],
        version=deed.data["version"],
        now=deed.now,
    )
    return _said(refund)


def _said(refund: Refund) -> str:
    if refund.state == RefundState.MANUAL:
        words = _("{price} 要人工退，已列入待办")
    else:
        words = _("已登记退款 {price}，收回 {span}")
    span = duration(refund.revoked_seconds)
    return words.format(price=yuan(refund.amount_fen), span=span)


def _mark_paid(deed: Deed) -> str:
    offline.mark_paid(
        deed.row.pk,
        reference=deed.data["reference"],
        reason=deed.data["reason"],
        actor=deed.actor,
        version=deed.data["version"],
        now=deed.now,
    )
    return _("已按线下收款入账")


def _extend(deed: Deed) -> str:
    order = extending.extend(
        deed.row.pk,
        span=timedelta(hours=deed.data["hours"]),
        actor=deed.actor,
        reason=deed.data["reason"],
        version=deed.data["version"],
        now=deed.now,
    )
    return _("保留到 {time}").format(time=moment(order.expires_at))


def _query(deed: Deed) -> str:
    """I6: every attempt that may hold money, and every refund under way."""
    asked = [
        polling.query_attempt(attempt, now=deed.now)
        for attempt in deed.row.attempts.exclude(gateway=offline.GATEWAY)
        if attempt.state != AttemptState.PAID
    ]
    under_way = Refund.objects.filter(
        attempt__order=deed.row, state=RefundState.PROCESSING
    )
    for refund in under_way.select_related("attempt", "second_payment"):
        refunds.query_refund(refund, now=deed.now)
        asked.append(polling.Asked.ANSWERED)
    answered = asked.count(polling.Asked.ANSWERED)
    return _("问了 {n} 笔，{answered} 笔有回答").format(n=len(asked), answered=answered)


def _approve(deed: Deed) -> str:
    held.approve(deed.row.pk, **_said_by(deed))
    return _("已放行")


def _reject(deed: Deed) -> str:
    return _said(held.reject(deed.row.pk, **_said_by(deed)))


def _accept(deed: Deed) -> str:
    decisions.accept(deed.row.pk, **_said_by(deed))
    return _("已收下，订单入账")


def _give_back(deed: Deed) -> str:
    return _said(decisions.give_back(deed.row.pk, **_said_by(deed)))


def _return_second(deed: Deed) -> str:
    said = {"actor": deed.actor, "reason": deed.data["reason"]}
    refund = decisions.return_second_payment(deed.row.pk, **said, now=deed.now)
    return _said(refund)


def _resolve(deed: Deed) -> str:
    said = {"actor": deed.actor, "reason": deed.data["reason"]}
    decisions.resolve(deed.row.pk, **said, now=deed.now)
    return _("已标为处理过")


def _returned_outside(deed: Deed) -> str:
    decisions.returned_outside(
        deed.row.pk,
        reference=deed.data["reference"],
        actor=deed.actor,
        version=deed.data["version"],
        now=deed.now,
    )
    return _("已登记：钱退到了买家手里")


def _give_up(deed: Deed) -> str:
    decisions.give_up(deed.row.pk, **_said_by(deed))
    return _("不退了，收回的时间已补回")


def _see_to(deed: Deed) -> str:
    decisions.see_to(deed.row.pk, **_said_by(deed))
    return _("已标为处理过")


def _dispute_won(deed: Deed) -> str:
    decisions.dispute_won(deed.row.pk, **_said_by(deed))
    return _("款已追回，收回的时间已补回")


def _said_by(deed: Deed) -> dict[str, Any]:
    return {
        "actor": deed.actor,
        "reason": deed.data["reason"],
        "version": deed.data["version"],
        "now": deed.now,
    }


# --- Refusals ----------------------------------------------------------------------

REFUSALS = (
    decisions.NotWaiting,
    refunds.NotRefundable,
    offline.NotPayable,
    offline.ReferenceTaken,
    held.NotHeld,
    extending.NotOpen,
)


def _words(refusal: Exception) -> str:
    match refusal:
        case refunds.NotRefundable(why=refunds.Obstacle.SUM):
            return _("金额超过还能退的数，什么也没做")
        case refunds.NotRefundable(why=refunds.Obstacle.SECONDS):
            return _("要收回的时间比没用完的还多，什么也没做")
        case offline.ReferenceTaken():
            return _("这个凭证号已经用来入过账，什么也没做")
        case extending.NotOpen():
            return _("这一单不能再延长，或新时间不比现在的晚")
    return _("这件事已经处理过，或者这一单的状态变了")


def _action(name: str, label: Any, right: str, form: type, **rest: Any) -> Guarded:
    rest.setdefault("facts", _plain)
    return Guarded(name, label, right, form, refusals=REFUSALS, words=_words, **rest)


ORDER = (
    _action(
        "refund",
        gettext_lazy("退款"),
        RETURN,
        RefundForm,
        is_offered=_has_money_to_return,
        facts=_refund_facts,
        do=_refund,
        has_preview=True,
    ),
    _action(
        "approve",
        gettext_lazy("放行"),
        TEND,
        ReasonForm,
        is_offered=_is_held,
        do=_approve,
    ),
    _action(
        "reject",
        gettext_lazy("不放行，全额退款"),
        RETURN,
        MoneyForm,
        is_offered=_is_held,
        do=_reject,
    ),
    _action(
        "query",
        gettext_lazy("向网关查一次"),
        TEND,
        NoForm,
        is_offered=_is_asked_about,
        do=_query,
    ),
    _action(
        "extend",
        gettext_lazy("延长保留时间"),
        TEND,
        ExtendForm,
        is_offered=_is_open,
        do=_extend,
    ),
    _action(
        "mark-paid",
        gettext_lazy("登记线下收款"),
        BOOK,
        OfflineForm,
        is_offered=_is_unpaid,
        do=_mark_paid,
    ),
)
ATTEMPT = (
    _action(
        "accept",
        gettext_lazy("收下这笔钱"),
        DECIDE,
        MoneyForm,
        is_offered=_is_acceptable,
        facts=_accept_facts,
        do=_accept,
    ),
    _action(
        "give-back",
        gettext_lazy("退回这笔钱"),
        RETURN,
        MoneyForm,
        is_offered=_is_unallocated,
        facts=_return_facts,
        do=_give_back,
    ),
)
EVENT = (
    _action(
        "give-back",
        gettext_lazy("退回第二笔付款"),
        RETURN,
        MoneyForm,
        is_offered=_is_second_payment,
        facts=_event_facts,
        do=_return_second,
    ),
    _action(
        "resolve",
        gettext_lazy("标为处理过"),
        RESOLVE,
        ReasonForm,
        is_offered=_is_case,
        facts=_event_facts,
        do=_resolve,
    ),
)
REFUND = (
    _action(
        "outside",
        gettext_lazy("登记已在外面退款"),
        RETURN,
        OutsideForm,
        is_offered=_is_by_hand,
        facts=_one_refund_facts,
        do=_returned_outside,
    ),
    _action(
        "give-up",
        gettext_lazy("不退了"),
        RETURN,
        MoneyForm,
        is_offered=_is_by_hand,
        facts=_one_refund_facts,
        do=_give_up,
    ),
    _action(
        "see-to",
        gettext_lazy("标为处理过"),
        RETURN,
        ReasonForm,
        is_offered=_is_failed,
        facts=_one_refund_facts,
        do=_see_to,
    ),
    _action(
        "dispute-won",
        gettext_lazy("申诉成功，款已追回"),
        RETURN,
        MoneyForm,
        is_offered=_is_disputed,
        facts=_one_refund_facts,
        do=_dispute_won,
    ),
)
