"""The one form of the checkout, over HTTP: cases A1 to A5, A15, security 43, 44, 49."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from members import rules
from members.models import Member, Plan, ShopRules
from members.timeline import pause
from orders.models import Order
from payments.models import Attempt
from tests.shopping import Shopper, Till, checkout_form, fresh, new_member

PHONE = "13800138000"


def send_code(shopper: Shopper, phone: str = PHONE) -> str:
    """The code that arrives on the phone."""
    answer = shopper.post("/checkout/code/", **checkout_form(phone=phone))
    assert answer.status_code == 200
    text = shopper.till.wallet.sms(to=f"+86{phone}")[-1]["text"]
    found = re.search(r"\d{6}", text)
    assert found is not None
    return found[0]


@pytest.fixture
def guest(till: Till) -> Shopper:
    return Shopper(till)


@pytest.fixture
def shopper(till: Till, member: Member) -> Shopper:
    """Signed in."""
    return Shopper(till, member)


def pay_page(order: Order) -> str:
    return f"/orders/{order.no}/pay/"


def test_a_guest_with_a_code_places_an_order_and_has_an_account(
    guest: Shopper, till: Till
):
    """A1: no name, no password; 303 to the pay page, the attempt open."""
    code = send_code(guest)
    answer = guest.post("/checkout/", **checkout_form(phone=PHONE, code=code))
    order = Order.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, pay_page(order))
    assert order.member.phone == f"+86{PHONE}"
    assert (order.amount_fen, order.expires_at) == (
        1_500,
        till.now + timedelta(minutes=30),
    )
    assert order.attempts.get().state == "open"
    assert guest.is_signed_in
    assert guest.get(answer["Location"]).status_code == 200


def test_a_double_click_of_a_guest_makes_one_order(guest: Shopper, till: Till):
    """A2: the code is spent by then; the second answer sets no session."""
    code = send_code(guest)
    fields = checkout_form(phone=PHONE, code=code)
    session = guest.client.cookies.copy()
    first = guest.post("/checkout/", **fields)
    second_tab = Shopper(till)
    second_tab.client.cookies = session  # type: ignore[assignment]
    second = second_tab.post("/checkout/", **fields)
    assert (second.status_code, second["Location"]) == (303, first["Location"])
    assert Order.objects.count() == Attempt.objects.count() == 1
    assert "sessionid" not in second.cookies  # neither set nor deleted


def test_a_double_click_of_a_member_makes_one_order(shopper: Shopper):
    """A2, also after the plan has gone meanwhile."""
    fields = checkout_form()
    first = shopper.post("/checkout/", **fields)
    Plan.objects.filter(slug="temporary-7").update(enabled=False)
    assert shopper.post("/checkout/", **fields)["Location"] == first["Location"]
    assert Order.objects.count() == Attempt.objects.count() == 1


def test_the_form_of_somebody_else_is_worth_nothing(shopper: Shopper, till: Till):
    fields = checkout_form()
    shopper.post("/checkout/", **fields)
    other = Shopper(till, new_member())
    assert other.post("/checkout/", **fields).status_code == 422
    assert Order.objects.count() == 1


def test_a_new_price_comes_back_with_what_was_typed(guest: Shopper, week: Plan):
    """A3: 422 with ¥18; nothing placed, and the right code has signed her in."""
    code = send_code(guest)
    Plan.objects.filter(pk=week.pk).update(price_fen=1_800)
    answer = guest.post(
        "/checkout/", **checkout_form(phone=PHONE, code=code, channel="alipay")
    )
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "价格刚调整为 ¥18.00，请确认后再付" in page
    assert 'name="shown_fen" value="1800"' in page
    assert re.search(r'value="alipay"[^>]* checked', page)
    assert not Order.objects.exists()
    assert guest.is_signed_in


def test_a_wrong_code_leaves_no_order(guest: Shopper):
    code = send_code(guest)
    wrong = "000000" if code != "000000" else "111111"
    answer = guest.post("/checkout/", **checkout_form(phone=PHONE, code=wrong))
    assert answer.status_code == 422
    assert PHONE in answer.content.decode().replace(" ", "")
    assert not Order.objects.exists()
    assert not guest.is_signed_in


def test_what_is_no_longer_sold_is_refused_in_words(shopper: Shopper, week: Plan):
    """A5."""
    Plan.objects.filter(pk=week.pk).update(enabled=False)
    answer = shopper.post("/checkout/", **checkout_form())
    assert answer.status_code == 422
    assert "这个套餐现在不卖了，请换一个" in answer.content.decode()
    assert not Order.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": quantity}
        for quantity in ("0", "-1", "1.99", "1e3", "1_0", "１", "1000000000", "", "x")
    ]
    + [{"quantity": ["1", "x"]}]
    + [{"plan": plan} for plan in ("", "temporary-8", "' OR 1=1 --", "x" * 500)]
    + [{"channel": way} for way in ("", "bitcoin", "manual", "wechat " * 9)]
    + [
        {"client_token": token}
        for token in ("", "short", "no spaces please!", "令牌" * 9)
    ]
    + [
        {"shown_fen": fen}
        for fen in ("", "abc", "15.00", "-1500", "１５００", "9" * 30)
    ],
    ids=str,
)
def test_a_bad_form_gets_words_and_leaves_nothing(
    shopper: Shopper, change: dict[str, Any]
):
    """Security 43 and 44, "Bad input": 4xx, never 5xx, no half-made row."""
    answer = shopper.post("/checkout/", **checkout_form(**change))
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()
    assert not Order.objects.exists()


def test_fields_that_nobody_asked_for_are_ignored(shopper: Shopper, member: Member):
    """Security 43: the amount is the catalogue's, the buyer the one who is signed in."""
    extra = {
        "price": "1",
        "amount": "1",
        "amount_fen": "1",
        "tier": "long-term",
        "days": "365",
        "discount": "100",
        "user_id": "1",
        "phone": "13911112222",
        "code": "123456",
    }
    shopper.post("/checkout/", **checkout_form(), **extra)
    order = Order.objects.get()
    assert (order.amount_fen, order.seconds, order.member) == (1_500, 604_800, member)


def test_a_sixth_open_order_shows_the_five(shopper: Shopper, member: Member):
    """A15: 409 with links to them."""
    for _ in range(5):
        assert shopper.post("/checkout/", **checkout_form()).status_code == 303
    answer = shopper.post("/checkout/", **checkout_form())
    assert answer.status_code == 409
    page = answer.content.decode()
    assert all(order.no in page for order in Order.objects.all())
    assert Order.objects.count() == 5


def test_too_many_open_orders_of_one_address_are_told_when_to_come_back(till: Till):
    """Security 84: 429 with a time."""
    ShopRules.objects.update(open_orders_per_address=2)
    rules.forget()
    for _ in range(2):
        assert (
            Shopper(till, new_member())
            .post("/checkout/", **checkout_form())
            .status_code
            == 303
        )
    answer = Shopper(till, new_member()).post("/checkout/", **checkout_form())
    assert (answer.status_code, answer["Retry-After"]) == (429, "1800")
    assert Order.objects.count() == 2


def test_time_without_end_is_not_sold(shopper: Shopper, member: Member, till: Till):
    """Security 49."""
    far = till.now + timedelta(days=365 * 100 - 1)
    Member.objects.filter(pk=member.pk).update(paid_until=far)
    answer = shopper.post("/checkout/", **checkout_form())
    assert answer.status_code == 422
    assert "会员时间已经够长了，这次没有下单" in answer.content.decode()


def test_a_gateway_that_is_down_leaves_an_order_to_pay(shopper: Shopper, till: Till):
    """R12: the page says what is known, no more."""
    till.wallet.fault("wechat", "start", "500")
    answer = shopper.post("/checkout/", **checkout_form())
    order = Order.objects.get()
    assert answer["Location"] == pay_page(order)
    assert order.attempts.get().state == "unknown"
    assert shopper.get(answer["Location"]).status_code == 200


def test_the_page_prints_the_end_that_the_settlement_gives(
    shopper: Shopper, member: Member, till: Till
):
    """The exact end, merged time included."""
    till.hear(till.bill(member))
    till.wait(days=2)
    page = shopper.get("/membership/temporary/?plan=temporary-30").content.decode()
    assert "剩余 5 天 并入" in " ".join(re.sub(r"<[^>]+>", "", page).split())
    shopper.post("/checkout/", **checkout_form(plan="temporary-30", shown_fen="5000"))
    till.hear(Order.objects.latest("id").attempts.get())
    end = fresh(member).paid_until
    assert end == till.now + timedelta(days=35)
    printed = map(datetime.fromisoformat, re.findall(r'datetime="([^"]+)"', page))
    assert end in printed


def test_a_paused_member_is_promised_no_end(
    shopper: Shopper, member: Member, till: Till
):
    """D20."""
    till.hear(till.bill(member))
    pause(member.pk, now=till.now)
    page = shopper.get("/membership/temporary/").content.decode()
    assert "会员暂停中，恢复后开始计时" in page
    assert shopper.post("/checkout/", **checkout_form()).status_code == 303
