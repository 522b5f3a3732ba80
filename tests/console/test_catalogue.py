"""Tiers and plans in the console: rules refused with words, history, preview."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import rules
from members.models import Benefit, Member, Plan, PriceChange, Tier, TierBenefit
from orders.models import Order
from payments.models import Attempt
from tests.console.form_of import form_of

pytestmark = pytest.mark.django_db


def page_of(row: Plan | Tier) -> str:
    return reverse(f"admin:members_{row._meta.model_name}_change", args=[row.pk])


def change(client: Client, row: Plan | Tier, **typed: str) -> str:
    """Post the row's own form with some fields typed anew; the words of the answer."""
    values = form_of(client, page_of(row)) | typed
    answer = client.post(page_of(row), values)
    if answer.status_code == 302:
        row.refresh_from_db()
        return ""
    assert answer.status_code == 200
    return answer.content.decode()


def dated(name: str, at: datetime) -> dict[str, str]:
    local = timezone.localtime(at)
    return {f"{name}_0": f"{local:%Y-%m-%d}", f"{name}_1": f"{local:%H:%M:%S}"}


def promotion(price: str, starts: datetime, ends: datetime) -> dict[str, str]:
    return {
        "promo_price": price,
        **dated("promo_starts_at", starts),
        **dated("promo_ends_at", ends),
    }


@pytest.fixture
def month(shop: None) -> Plan:
    return Plan.objects.get(slug="temporary-30")


def tier(code: str) -> Tier:
    return Tier.objects.get(code=code)


# The ladder


def test_a_price_is_typed_in_yuan_and_kept_in_fen(
    as_operator: Client, week: Plan
) -> None:
    assert change(as_operator, week, price="14.5") == ""
    assert week.price_fen == 1450


@pytest.mark.parametrize(
    "typed", ["", "0", "-1", "1e3", "1_0", "１５", "15.005", "1500000", "15元", "15 .0"]
)
def test_a_price_that_is_no_price_is_refused(
    as_operator: Client, week: Plan, typed: str
) -> None:
    """Security 1.4: the digits of a price are these ten and nothing else."""
    assert change(as_operator, week, price=typed) != ""
    week.refresh_from_db()
    assert week.price_fen == 1500


def test_a_longer_plan_that_costs_more_a_day_is_refused_with_words(
    as_operator: Client, week: Plan, month: Plan
) -> None:
    words = "时间越长，每天应该越便宜"
    assert words in change(as_operator, week, price="22")  # dearer than day by day
    assert words in change(as_operator, week, price="11")  # now the month is dearer
    assert words in change(as_operator, month, price="65")
    assert change(as_operator, month, price="64") == ""
    assert not PriceChange.objects.filter(plan=week, old="1500").exists()


def test_a_plan_that_is_off_sale_is_outside_the_ladder(
    as_operator: Client, week: Plan
) -> None:
    values = form_of(as_operator, page_of(week)) | {"price": "22"}
    del values["enabled"]
    assert as_operator.post(page_of(week), values).status_code == 302
    week.refresh_from_db()
    assert (week.price_fen, week.enabled) == (2200, False)
    assert "每天应该越便宜" in change(as_operator, week, enabled="on")


def test_a_promotion_must_keep_the_ladder_too(
    as_operator: Client, week: Plan, month: Plan
) -> None:
    soon, later = (
        timezone.now() + timedelta(hours=1),
        timezone.now() + timedelta(days=3),
    )
    assert "每天应该越便宜" in change(as_operator, week, **promotion("11", soon, later))
    assert change(as_operator, week, **promotion("12", soon, later)) == ""


# Ranks (D15, R16)


def test_d15_a_higher_rank_with_a_worse_discount_is_refused(
    as_operator: Client, shop: None
) -> None:
    words = "折扣不能比"
    assert words in change(as_operator, tier("long-term"), discount_bp="9600")
    assert words in change(as_operator, tier("temporary"), discount_bp="8900")
    assert change(as_operator, tier("long-term"), discount_bp="8500") == ""


def test_d15_a_higher_rank_with_fewer_benefits_is_refused(
    as_operator: Client, shop: None
) -> None:
    """Checked over all tiers together, with the inline benefits of the form."""
    high, low = tier("long-term"), tier("temporary")
    words = change(as_operator, high, **{"tierbenefit_set-0-DELETE": "on"})
    assert "也要有「临时会员」的权益：会员折扣" in words
    assert TierBenefit.objects.filter(tier=high).count() == 5
    only_below = Benefit.objects.create(code="gift", label="生日礼")
    added = {
        "tierbenefit_set-TOTAL_FORMS": "6",
        "tierbenefit_set-5-benefit": str(only_below.pk),
    }
    assert "生日礼" in change(as_operator, low, **added)
    assert change(as_operator, high, **added) == ""
    assert change(as_operator, low, **added) == ""


def test_d15_ranks_may_not_be_swapped(as_operator: Client, shop: None) -> None:
    assert "折扣不能比" in change(as_operator, tier("temporary"), rank="30")
    assert tier("temporary").rank == 10


# What sales fix (I8)


def test_i8_a_sold_tier_keeps_its_rank_and_stays(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    buy()
    sold = tier("temporary")
    assert "已有销售，等级不能再改" in change(as_operator, sold, rank="5")
    gone = as_operator.post(
        reverse("admin:members_tier_delete", args=[sold.pk]),
        {"post": "yes"},
        follow=True,
    )
    assert "已有销售，不能删除，只能停售。" in gone.content.decode()
    assert tier("temporary").rank == 10


def test_i8_a_sold_plan_keeps_days_and_tier_and_stays(
    as_operator: Client, buy: Callable[..., Attempt], week: Plan
) -> None:
    buy()
    assert "天数不能再改" in change(as_operator, week, days="8")
    assert change(as_operator, week, tier=str(tier("long-term").pk)) != ""
    delete = reverse("admin:members_plan_delete", args=[week.pk])
    for method in ("get", "post"):
        answer = getattr(as_operator, method)(delete, {"post": "yes"}, follow=True)
        assert "已有销售，不能删除，只能停售。" in answer.content.decode()
    week.refresh_from_db()
    assert (week.days, week.tier.code) == (7, "temporary")
    values = form_of(as_operator, page_of(week))
    del values["enabled"]
    assert as_operator.post(page_of(week), values).status_code == 302
    assert not Plan.objects.get(pk=week.pk).enabled


def test_i8_what_nobody_bought_may_go_with_its_history(
    as_operator: Client, week: Plan
) -> None:
    delete = reverse("admin:members_plan_delete", args=[week.pk])
    assert as_operator.post(delete, {"post": "yes"}).status_code == 302
    assert not Plan.objects.filter(pk=week.pk).exists()
    assert LogEntry.objects.filter(object_repr="临时会员 7 天", action_flag=3).exists()
    kept = reverse("admin:members_tier_delete", args=[tier("temporary").pk])
    answer = as_operator.post(kept, {"post": "yes"}, follow=True)
    assert "先删除套餐" in answer.content.decode()


# Price history (I9)


def test_i9_every_change_is_a_line_of_the_history(
    as_operator: Client, operator: Member, week: Plan
) -> None:
    PriceChange.objects.all().delete()
    change(as_operator, week, price="14")
    values = form_of(as_operator, page_of(week))
    del values["enabled"]
    as_operator.post(page_of(week), values)
    change(as_operator, tier("long-term"), discount_bp="8800")
    lines = PriceChange.objects.order_by("id").values_list(
        "plan__slug", "tier__code", "field", "old", "new", "actor"
    )
    assert list(lines) == [
        ("temporary-7", None, "price_fen", "1500", "1400", operator.pk),
        ("temporary-7", None, "enabled", "on", "off", operator.pk),
        (None, "long-term", "discount_bp", "9000", "8800", operator.pk),
    ]
    page = as_operator.get(page_of(week)).content.decode()
    assert "¥15.00" in page
    assert "停售" in page


def test_i9_a_new_plan_begins_its_history(as_operator: Client, shop: None) -> None:
    add = reverse("admin:members_plan_add")
    values = form_of(as_operator, add) | {
        "tier": str(tier("temporary").pk),
        "slug": "temporary-3",
        "days": "3",
        "price": "8",
        "enabled": "on",
    }
    assert as_operator.post(add, values).status_code == 302
    lines = PriceChange.objects.filter(plan__slug="temporary-3").order_by("id")
    assert list(lines.values_list("field", "old", "new")) == [
        ("price_fen", "", "800"),
        ("enabled", "", "on"),
    ]


def test_i9_a_price_change_touches_no_order(
    as_operator: Client, buy: Callable[..., Attempt], week: Plan
) -> None:
    attempt = buy()
    before = Order.objects.filter(pk=attempt.order_id).values().get()
    assert change(as_operator, week, price="14") == ""
    assert Order.objects.filter(pk=attempt.order_id).values().get() == before


def test_a_refused_change_leaves_no_line(as_operator: Client, week: Plan) -> None:
    before = PriceChange.objects.count()
    assert change(as_operator, week, price="22") != ""
    assert PriceChange.objects.count() == before


# Promotions


def old_price(plan: Plan, fen: int, days: float) -> None:
    PriceChange.objects.filter(plan=plan).delete()
    PriceChange.objects.create(
        plan=plan,
        field="price_fen",
        new=str(fen),
        changed_at=timezone.now() - timedelta(days=days),
    )


def test_a_promotion_over_a_price_really_asked_is_accepted(
    as_operator: Client, week: Plan
) -> None:
    old_price(week, 1500, 30)
    now = timezone.now()
    typed = promotion("12", now - timedelta(minutes=1), now + timedelta(days=2))
    assert change(as_operator, week, **typed) == ""
    assert week.price_at(timezone.now()) == 1200
    fields = PriceChange.objects.filter(plan=week, old="").values_list(
        "field", flat=True
    )
    assert {"promo_price_fen", "promo_starts_at", "promo_ends_at"} <= set(fields)


def test_a_struck_through_price_without_history_is_refused(
    as_operator: Client, week: Plan
) -> None:
    PriceChange.objects.all().delete()
    soon = timezone.now() + timedelta(hours=1)
    words = change(as_operator, week, **promotion("12", soon, soon + timedelta(days=1)))
    assert "划线价没有依据" in words
    assert not Plan.objects.filter(promo_price_fen__isnull=False).exists()


def test_a_price_raised_for_the_promotion_is_refused(
    as_operator: Client, week: Plan
) -> None:
    old_price(week, 1500, 30)
    soon = timezone.now() + timedelta(hours=1)
    typed = promotion("14.8", soon, soon + timedelta(days=1))
    assert "最低卖 ¥15.00，不是 ¥20.00" in change(
        as_operator, week, price="20", **typed
    )
    assert change(as_operator, week, price="20") == ""
    assert "最低卖 ¥15.00，不是 ¥20.00" in change(as_operator, week, **typed)


def test_a_promotion_has_a_whole_and_sensible_shape(
    as_operator: Client, week: Plan
) -> None:
    old_price(week, 1500, 30)
    now = timezone.now()
    whole = promotion("12", now, now + timedelta(days=1))
    assert "要一起填" in change(as_operator, week, promo_price="12")
    assert "要一起填" in change(
        as_operator, week, **{k: v for k, v in whole.items() if "_ends_" not in k}
    )
    assert "低于价格" in change(as_operator, week, **whole | {"promo_price": "15"})
    backwards = promotion("12", now, now - timedelta(days=1))
    assert "晚于优惠开始" in change(as_operator, week, **backwards)
    assert not Plan.objects.filter(promo_price_fen__isnull=False).exists()


def test_a_promotion_that_is_over_stands_in_nobodys_way(
    as_operator: Client, week: Plan
) -> None:
    now = timezone.now()
    week.promo_price_fen = 1200
    week.promo_starts_at, week.promo_ends_at = now - timedelta(9), now - timedelta(8)
    week.save()
    assert change(as_operator, week, price="14") == ""


# The live preview


def test_the_form_shows_the_stub_as_shoppers_will_see_it(
    as_operator: Client, week: Plan
) -> None:
    page = as_operator.get(page_of(week)).content.decode()
    drawn = page.partition("<template shadowrootmode")[2].partition("</template>")[0]
    assert "每天约 ¥2.14" in drawn
    assert "比按天买省 ¥6" in drawn
    assert "style=" not in page


def test_the_preview_judges_and_draws_what_is_typed_and_saves_nothing(
    as_operator: Client, week: Plan
) -> None:
    url = reverse("admin:members_plan_preview", args=[week.pk])
    values = form_of(as_operator, page_of(week))
    drawn = as_operator.post(url, values | {"price": "14"}).content.decode()
    assert "每天 ¥2" in drawn
    assert "比按天买省 ¥7" in drawn
    assert "errorlist" not in drawn
    broken = as_operator.post(url, values | {"price": "25"}).content.decode()
    assert "每天应该越便宜" in broken
    assert as_operator.post(url, values | {"price": "<b>"}).status_code == 200
    assert as_operator.get(url).status_code == 405
    week.refresh_from_db()
    assert week.price_fen == 1500
    assert not LogEntry.objects.exists()


def test_a_new_plan_is_previewed_too(as_operator: Client, shop: None) -> None:
    url = reverse("admin:members_plan_preview")
    assert "就能看到" in as_operator.post(url, {"price": "8"}).content.decode()
    typed = {
        "tier": str(tier("temporary").pk),
        "slug": "temporary-3",
        "days": "3",
        "price": "8",
        "enabled": "on",
    }
    assert "临时会员 3 天" in as_operator.post(url, typed).content.decode()


def test_the_tiers_preview_compares_the_benefits(
    as_operator: Client, shop: None
) -> None:
    row = tier("temporary")
    values = form_of(as_operator, page_of(row))
    url = reverse("admin:members_tier_preview", args=[row.pk])
    drawn = as_operator.post(url, values | {"name": "体验会员"}).content.decode()
    assert "体验会员 7 天" in drawn
    assert "优先发货" in drawn
    poor = as_operator.post(url, values | {"discount_bp": "8000"}).content.decode()
    assert "折扣不能比" in poor
    assert "8 折" in poor


def test_shop_rules_have_bounds_in_words(as_operator: Client, shop: None) -> None:
    listing = as_operator.get(
        reverse("admin:members_shoprules_changelist"), follow=True
    )
    url = listing.redirect_chain[-1][0]
    values = form_of(as_operator, url)
    refused = as_operator.post(url, values | {"code_seconds": "3600"})
    assert "填 60 到 600 之间的数" in refused.content.decode()
    assert as_operator.post(url, values | {"code_seconds": "240"}).status_code == 302
    assert LogEntry.objects.get().get_change_message() == "已修改验证码有效期。"


def rules_form(client: Client) -> tuple[str, dict[str, str]]:
    listing = reverse("admin:members_shoprules_changelist")
    url = client.get(listing, follow=True).redirect_chain[-1][0]
    return url, form_of(client, url)


def test_wrong_codes_are_limited_as_the_operator_says(
    as_operator: Client, shop: None
) -> None:
    """Coupons and gift codes: data with a history, bounded like every other limit."""
    url, values = rules_form(as_operator)
    changed = values | {"wrong_gifts_per_member_hour": "2"}
    assert as_operator.post(url, changed).status_code == 302
    assert rules.current().wrong_gifts_per_member_hour == 2
    words = LogEntry.objects.get().get_change_message()
    assert words == "已修改兑换码：每人每小时错。"
    for field, value, why in (
        ("wrong_coupons_per_member_hour", "0", "填 1 到 100 之间的数"),
        ("wrong_gifts_per_hour", "9", "填 10 到 1000000 之间的数"),
        ("wrong_coupons_per_address_day", "5", "不能少于每小时的数"),
    ):
        refused = as_operator.post(url, changed | {field: value})
        assert why in refused.content.decode()
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("link", "good"),
    [
        ("https://work.weixin.qq.com/kfid/kfc1", True),
        ("tel:+86-400-000-0000", True),
        ("mailto:kefu@shop.example", True),
        ("", True),
        ("javascript:alert(1)", False),
        ("http://shop.example/", False),
        ("//shop.example", False),
        ("https:// shop", False),
    ],
)
def test_an_operator_sets_where_support_answers(
    as_operator: Client, shop: None, link: str, good: bool
) -> None:
    """S18: contact data in the console, not a setting; on the pages at once."""
    url, values = rules_form(as_operator)
    contact = {"support_contact": "微信 kameng", "support_url": link}
    answer = as_operator.post(url, values | contact)
    assert answer.status_code == (302 if good else 200)
    told = Client().get("/official/").text.partition('id="support"')[2][:300]
    assert ("微信 kameng" in told) is good
    assert ("填 https:// 开头的网址" in answer.text) is not good
