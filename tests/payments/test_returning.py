"""灵活退订 through the domain and the pages: exactly what was shown, or nothing."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from members import links
from members.models import Entitlement, Member
from orders.models import Order
from payments.attempts import create_locked
from payments.console.offline import mark_paid
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, Refund
from payments.refunding import refunds, returning
from payments.refunding.returning import NotReturnable
from tests.goods.shelves import make_goods
from tests.rows import changed, fingerprint
from tests.shopping import ALIPAY, Shopper, Till, broken, events_of, fresh
from tests.shopping import new_member as someone

DAY = 86_400
IDLE = ("INV-6", "INV-10", "INV-16")


@pytest.fixture
def order(book: Till, member: Member) -> Order:
    """A week for ¥15, by Alipay, of which two days have run."""
    attempt = book.bill(member, way=ALIPAY)
    book.hear(attempt)
    book.wait(days=2)
    return fresh(attempt.order)


@pytest.fixture
def shopper(book: Till, member: Member) -> Shopper:
    return Shopper(book, member)


def offer(book: Till, order: Order) -> returning.Offer:
    return returning.offer_for(fresh(order), now=book.now)


def give_back(book: Till, order: Order, shown_fen: int) -> Refund:
    return returning.return_unused(
        order.pk, member_id=order.member_id, shown_fen=shown_fen, now=book.now
    )


def goods(order: Order, book: Till, *, discount_bp: int, days: float) -> Order:
    """A paid order of goods, placed so many days after the membership began."""
    attempt = book.bill(order.member, "temporary-1")
    Attempt.objects.filter(pk=attempt.pk).update(
        state="paid", txn_id="GOODS", paid_fen=attempt.amount_fen, paid_currency="CNY"
    )
    Order.objects.filter(pk=attempt.order_id).update(
        kind="goods",
        goods=make_goods(),
        plan=None,
        status="paid",
        fulfil="done",
        paid_at=book.now,
        settled_by=attempt,
        discount_bp=discount_bp,
        placed_at=order.paid_at + timedelta(days=days),
    )
    return attempt.order


# --- The rule ----------------------------------------------------------------------


def test_unused_time_is_offered_to_the_second(book: Till, order: Order):
    """R19: 5 of 7 days are left."""
    found = offer(book, order)
    assert found.is_open
    assert (found.amount_fen, found.left, found.paid_fen) == (1_071, 5 * DAY, 1_500)


def test_it_ends_the_time_and_sends_the_money_at_once(
    book: Till, member: Member, order: Order
):
    """F2, R20: by the channel she paid with, in one transaction."""
    refund = give_back(book, order, 1_071)
    assert (refund.amount_fen, refund.revoked_seconds) == (1_071, 5 * DAY)
    assert (refund.reason, refund.actor, refund.state) == (
        "member",
        member,
        "requested",
    )
    assert refund.attempt == order.settled_by
    assert fresh(member).paid_until is None
    assert events_of(order)[-2:] == ["returned-by-member", "refund-requested"]
    assert broken(book.now, besides=IDLE) == []


@pytest.mark.parametrize("shown", [1_070, 1_073, 0, 1_500])
def test_another_sum_than_the_one_shown_returns_nothing(
    book: Till, order: Order, shown: int
):
    with pytest.raises(NotReturnable) as caught:
        give_back(book, order, shown)
    assert caught.value.offer.amount_fen == 1_071
    assert not Refund.objects.exists()
    assert Entitlement.objects.get().revoked_seconds == 0


def test_it_happens_once(book: Till, order: Order):
    """I4 for a shopper who presses twice."""
    refund = give_back(book, order, 1_071)
    with pytest.raises(NotReturnable) as caught:
        give_back(book, order, 1_071)
    assert caught.value.offer.why == "under-way"
    result = RefundResult(
        refund.out_refund_no, refund.attempt.out_trade_no, RefundState.SUCCESS
    )
    refunds.apply_refund("alipay", result, now=book.now)
    assert offer(book, order).why == "no-time"
    assert Refund.objects.count() == 1


def test_nobody_returns_what_is_anothers(book: Till, order: Order):
    with pytest.raises(Order.DoesNotExist):
        returning.return_unused(
            order.pk, member_id=someone().pk, shown_fen=1_071, now=book.now
        )


def test_used_up_is_not_offered(book: Till, order: Order):
    """F4."""
    book.wait(days=5)
    assert offer(book, order).why == "no-time"
    assert offer(book, order).left == 0


def test_less_than_a_fen_is_not_offered(book: Till, order: Order):
    book.wait(days=4, hours=23, minutes=55)
    assert offer(book, order).why == "nothing"


@pytest.mark.parametrize(
    ("discount_bp", "days", "why"),
    [
        (9_500, 1, "discount-used"),
        (10_000, 1, None),
        (9_500, -1, None),
        (9_500, 1.999, "discount-used"),
    ],
)
def test_a_discount_used_meanwhile_forbids_it(
    book: Till, order: Order, discount_bp: int, days: float, why: str | None
):
    """F15: an operator may still refund, and the discount is not clawed back."""
    goods(order, book, discount_bp=discount_bp, days=days)
    assert offer(book, order).why == why


def test_f15_an_operator_may_and_the_discount_is_hers(
    book: Till, member: Member, order: Order, operator: Member
):
    """F15: her own way is closed; the proposal is whole, and nothing is clawed back."""
    bought = goods(order, book, discount_bp=9_500, days=1)
    paid_fen = fresh(bought).amount_fen
    with pytest.raises(NotReturnable):
        give_back(book, order, 1_071)
    assert refunds.proposal_for(fresh(order), now=book.now).amount_fen == 1_071
    refund = refunds.request(
        order.pk, amount_fen=1_071, actor=operator, reason="客服同意", now=book.now
    )
    assert (refund.amount_fen, refund.revoked_seconds) == (1_071, 5 * DAY)
    assert list(Refund.objects.values_list("attempt__order", flat=True)) == [order.pk]
    after = fresh(bought)
    assert (after.amount_fen, after.status, after.fulfil) == (paid_fen, "paid", "done")
    assert fresh(after.settled_by).refund_reserved_fen == 0


def test_k12_a_part_that_went_back_already_is_not_returned_again(
    book: Till, order: Order, operator: Member
):
    part = refunds.request(
        order.pk,
        amount_fen=1_000,
        seconds=0,
        actor=operator,
        reason="",
        now=book.now,
    )
    assert offer(book, order).why == "under-way"
    result = RefundResult(
        part.out_refund_no, part.attempt.out_trade_no, RefundState.SUCCESS
    )
    refunds.apply_refund("alipay", result, now=book.now)
    assert offer(book, order).amount_fen == 500
    assert give_back(book, order, 500).revoked_seconds == 5 * DAY
    assert broken(book.now, besides=IDLE) == []


def test_a_held_order_and_an_unpaid_one_are_not_offered(book: Till):
    pending = book.place(someone())
    assert offer(book, pending).why == "not-paid"
    attempt = book.bill(someone())
    Order.objects.filter(pk=attempt.order_id).update(risk="review")
    book.hear(attempt)
    assert offer(book, attempt.order).why == "held"


def test_what_was_paid_offline_is_for_support(
    book: Till, member: Member, operator: Member
):
    pending = book.place(member)
    paid = mark_paid(
        pending.pk, reference="BANK-1", reason="转账", actor=operator, now=book.now
    )
    assert offer(book, paid).why == "channel"


def test_while_the_second_money_of_an_order_goes_back_hers_can_too(
    book: Till, member: Member, order: Order
):
    """A surplus refund is of another attempt."""
    again = book.bill(member)
    rival = create_locked(again.order, ALIPAY, now=book.now)
    book.hear(again)
    book.hear(rival)
    assert offer(book, again.order).is_open


# --- The pages ---------------------------------------------------------------------


def shown(answer: object) -> int:
    found = re.search(r'name="shown_fen" value="(\d+)"', answer.content.decode())  # type: ignore[attr-defined]
    assert found
    return int(found[1])


def test_the_way_from_the_account_to_the_order(
    book: Till, member: Member, order: Order, shopper: Shopper
):
    """From 我的 to the exact sum, one confirmation, and the order's new state."""
    assert "/account/returns/" in shopper.get("/account/").content.decode()
    returns = shopper.get("/account/returns/").content.decode()
    assert "退订，现在能退 ¥10.71" in returns
    assert f"/orders/{order.no}/return/" in returns
    assert (
        f"/orders/{order.no}/return/"
        in shopper.get(f"/orders/{order.no}/").content.decode()
    )
    page = shopper.get(f"/orders/{order.no}/return/")
    html = page.content.decode()
    for words in ("¥15.00", "7 天", "5 天", "¥10.71", "支付宝", "/legal/refunds/"):
        assert words in html
    done = shopper.post(f"/orders/{order.no}/return/", shown_fen=shown(page))
    assert (done.status_code, done["Location"]) == (303, f"/orders/{order.no}/")
    html = shopper.get(f"/orders/{order.no}/").content.decode()
    assert "退款中" in html
    assert "正在退款 ¥10.71" in html
    assert "¥10.71 正在原路退回" in shopper.get("/account/").content.decode()
    refund = Refund.objects.get()
    result = RefundResult(
        refund.out_refund_no, refund.attempt.out_trade_no, RefundState.SUCCESS
    )
    refunds.apply_refund("alipay", result, now=book.now)
    html = shopper.get(f"/orders/{order.no}/").content.decode()
    assert "已退一部分" in html
    assert "已退款 +¥10.71" in html
    assert "这单退过款" in shopper.get(f"/orders/{order.no}/pay/").content.decode()


def test_a_sum_that_changed_since_is_shown_again(
    book: Till, order: Order, shopper: Shopper
):
    """409 with the new sum; her second confirmation is for that one."""
    before = shown(shopper.get(f"/orders/{order.no}/return/"))
    book.wait(hours=6)
    again = shopper.post(f"/orders/{order.no}/return/", shown_fen=before)
    assert again.status_code == 409
    assert not Refund.objects.exists()
    assert "金额成了 ¥10.17" in again.content.decode()
    assert shown(again) == 1_017
    done = shopper.post(f"/orders/{order.no}/return/", shown_fen=shown(again))
    assert done.status_code == 303
    assert Refund.objects.get().amount_fen == 1_017


def test_a_fen_that_runs_out_while_she_reads_is_hers(
    book: Till, order: Order, shopper: Shopper
):
    """The sum on the page holds for five minutes, then the one of the moment does."""
    before = shown(shopper.get(f"/orders/{order.no}/return/"))
    book.wait(seconds=290)
    assert offer(book, order).amount_fen == before - 1
    done = shopper.post(f"/orders/{order.no}/return/", shown_fen=before)
    assert done.status_code == 303
    assert Refund.objects.get().amount_fen == before


@pytest.mark.parametrize("more_fen", [2, 100])
def test_more_than_she_was_shown_is_not_returned(
    order: Order, shopper: Shopper, more_fen: int
):
    sum_ = shown(shopper.get(f"/orders/{order.no}/return/")) + more_fen
    answer = shopper.post(f"/orders/{order.no}/return/", shown_fen=sum_)
    assert answer.status_code == 409
    assert not Refund.objects.exists()


@pytest.mark.parametrize("typed", ["", "abc", "-1", "1e3", "9" * 30, "１０７１"])
def test_nonsense_returns_nothing(order: Order, shopper: Shopper, typed: str):
    answer = shopper.post(f"/orders/{order.no}/return/", shown_fen=typed)
    assert answer.status_code in (409, 422)
    assert not Refund.objects.exists()


def test_a_forged_post_is_refused(book: Till, member: Member, order: Order):
    """CSRF: without the page's token nothing is returned."""
    client = Client(enforce_csrf_checks=True)
    with book.stopped_clock():
        client.force_login(member)
        answer = client.post(f"/orders/{order.no}/return/", {"shown_fen": "1071"})
    assert answer.status_code == 403
    assert not Refund.objects.exists()


@pytest.mark.parametrize("who", ["guest", "stranger", "link"])
def test_nobody_else_gets_at_it(book: Till, order: Order, who: str):
    """security 52 and 54: not by a signed link either."""
    other = Shopper(book, None if who != "stranger" else someone())
    query = f"?token={links.token(links.ORDER, order.pk)}" if who == "link" else ""
    if who == "stranger":
        other.get("/")  # her visit itself writes nothing more
    before = fingerprint()
    for answer in (
        other.get(f"/orders/{order.no}/return/{query}"),
        other.post(f"/orders/{order.no}/return/{query}", shown_fen="1071"),
    ):
        assert answer.status_code == 404
    assert changed(before) == ["members_hitlog"]  # the two misses, against guessing
    page = other.get(f"/orders/{order.no}/{query}").content.decode()
    assert "/return/" not in page


def test_her_account_page_is_for_members(book: Till):
    answer = Shopper(book).get("/account/returns/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/login/")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("discount", "用过会员折扣"),
        ("under-way", "已经有一笔退款在路上"),
        ("used-up", "时间已经用完"),
    ],
)
def test_otherwise_she_is_told_why_and_whom_to_ask(
    book: Till,
    order: Order,
    shopper: Shopper,
    operator: Member,
    case: str,
    words: str,
):
    if case == "discount":
        goods(order, book, discount_bp=9_500, days=1)
    elif case == "under-way":
        refunds.request(order.pk, amount_fen=1, actor=operator, reason="", now=book.now)
    else:
        book.wait(days=9)
    page = shopper.get(f"/orders/{order.no}/return/")
    html = page.content.decode()
    assert page.status_code == 200
    assert words in html
    assert "shown_fen" not in html
    if case == "discount":
        assert "客服" in html
    refused = shopper.post(f"/orders/{order.no}/return/", shown_fen="1071")
    assert refused.status_code == 409


def test_the_legal_page_states_the_same_rule(shopper: Shopper):
    html = shopper.get("/legal/refunds/").content.decode()
    assert "实付金额 × 没用完的时间 ÷ 买下的全部时间" in html
    assert "用会员价买过商品的，不能自己退订" in html
    assert "付款方式不支持退款的：由客服退给你" in html
