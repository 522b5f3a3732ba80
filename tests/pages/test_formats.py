"""The formats of the shop's pages, word for word, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from kameng.templatetags import shop
from tests.pages.states import error

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)  # 14:05 in Shanghai


@pytest.mark.parametrize(
    ("fen", "long", "short"),
    [
        (1500, "¥15.00", "¥15"),
        (1550, "¥15.50", "¥15.50"),
        (1, "¥0.01", "¥0.01"),
        (0, "¥0.00", "¥0"),
        (123_456_00, "¥123456.00", "¥123456"),
        (-1500, "-¥15.00", "-¥15"),
    ],
)
def test_money(fen: int, long: str, short: str) -> None:
    assert shop.yuan(fen) == long
    assert shop.yuan_short(fen) == short


@pytest.mark.parametrize(
    ("seconds", "chinese", "english"),
    [
        (604_788, "6 天 23 小时 59 分 48 秒", "6 d 23 h 59 min 48 s"),
        (432_000, "5 天", "5 d"),
        (86_401, "1 天 1 秒", "1 d 1 s"),
        (0, "0 秒", "0 s"),
    ],
)
def test_a_span_to_the_second(seconds: int, chinese: str, english: str) -> None:
    assert shop.to_the_second(seconds) == chinese
    with translation.override("en"):
        assert shop.to_the_second(seconds) == english


@pytest.mark.parametrize(
    ("price_fen", "days", "chinese", "english"),
    [
        (300, 1, "每天 ¥3", "¥3 a day"),
        (1500, 7, "每天约 ¥2.14", "about ¥2.14 a day"),
        (5000, 30, "每天约 ¥1.67", "about ¥1.67 a day"),
        (7500, 90, "每天约 ¥0.83", "about ¥0.83 a day"),
        (23_800, 365, "每天约 ¥0.65", "about ¥0.65 a day"),
        (7000, 7, "每天 ¥10", "¥10 a day"),
        (201, 2, "每天约 ¥1.01", "about ¥1.01 a day"),
    ],
)
def test_price_per_day(price_fen: int, days: int, chinese: str, english: str) -> None:
    assert shop.per_day(price_fen, days) == chinese
    with translation.override("en"):
        assert shop.per_day(price_fen, days) == english


@pytest.mark.parametrize(
    ("basis_points", "chinese", "english"),
    [
        (9500, "95 折", "5% off"),
        (9000, "9 折", "10% off"),
        (8500, "85 折", "15% off"),
        (9750, "97.5 折", "2.5% off"),
        (8000, "8 折", "20% off"),
        (10_000, "", ""),
    ],
)
def test_discount(basis_points: int, chinese: str, english: str) -> None:
    assert shop.discount(basis_points) == chinese
    with translation.override("en"):
        assert shop.discount(basis_points) == english


@pytest.mark.parametrize(
    ("at", "chinese", "english"),
    [
        (datetime(2026, 11, 29, 6, 5, tzinfo=UTC), "11 月 29 日 14:05", "29 Nov 14:05"),
        (
            datetime(2027, 1, 3, 6, 5, tzinfo=UTC),
            "2027 年 1 月 3 日 14:05",
            "3 Jan 2027 14:05",
        ),
        # 2026 in UTC, 2027 in Shanghai
        (
            datetime(2026, 12, 31, 16, 0, tzinfo=UTC),
            "2027 年 1 月 1 日 00:00",
            "1 Jan 2027 00:00",
        ),
    ],
)
def test_a_moment_is_shown_in_shanghai_and_names_another_year(
    at: datetime, chinese: str, english: str
) -> None:
    assert shop.moment(at, NOW) == chinese
    with translation.override("en"):
        assert shop.moment(at, NOW) == english


def test_a_moment_is_marked_up_for_machines() -> None:
    at = datetime(2026, 11, 29, 6, 5, tzinfo=UTC)
    assert shop.moment_tag(at, NOW) == (
        '<time datetime="2026-11-29T06:05:00+00:00">11 月 29 日 14:05</time>'
    )
    assert shop.day_tag(at, NOW) == (
        '<time datetime="2026-11-29T06:05:00+00:00">11 月 29 日</time>'
    )
    assert (
        shop.clock_tag(at) == '<time datetime="2026-11-29T06:05:00+00:00">14:05</time>'
    )
    assert shop.clock(at) == "14:05"


@pytest.mark.parametrize(
    ("left", "chinese", "english"),
    [
        (timedelta(days=6, hours=23, minutes=59), "剩 6 天", "6 days left"),
        (timedelta(hours=48), "剩 2 天", "2 days left"),
        (timedelta(hours=47, minutes=59), "剩 1 天 23 小时", "1 day 23 h left"),
        (timedelta(hours=29), "剩 1 天 5 小时", "1 day 5 h left"),
        (timedelta(hours=24), "剩 1 天", "1 day left"),
        (timedelta(hours=23, minutes=59), "剩 23 小时", "23 h left"),
        (timedelta(hours=5, minutes=59), "剩 5 小时", "5 h left"),
        (timedelta(hours=1), "剩 1 小时", "1 h left"),
        (timedelta(minutes=59, seconds=59), "剩 59 分钟", "59 min left"),
        (timedelta(minutes=12), "剩 12 分钟", "12 min left"),
        (timedelta(seconds=59), "剩不到 1 分钟", "under 1 min left"),
        (timedelta(0), "已到期", "Ended"),
        (timedelta(days=-1), "已到期", "Ended"),
    ],
)
def test_remaining_time_is_rounded_down(
    left: timedelta, chinese: str, english: str
) -> None:
    assert shop.remaining(NOW + left, NOW) == chinese
    with translation.override("en"):
        assert shop.remaining(NOW + left, NOW) == english


def test_no_end_is_no_remaining_time() -> None:
    assert shop.remaining(None, NOW) == "已到期"


def test_spans_around_a_moment() -> None:
    assert shop.duration(525_600) == "6 天"
    assert shop.duration(timedelta(hours=30)) == "1 天 6 小时"
    assert shop.time_left(NOW + timedelta(days=3), NOW) == "3 天"
    assert shop.time_left(NOW - timedelta(days=3), NOW) == "0 分钟"
    assert shop.days_left(NOW + timedelta(days=6, hours=23), NOW) == 6
    assert shop.days_left(NOW - timedelta(days=1), NOW) == 0
    assert shop.seconds_left(NOW + timedelta(seconds=58.2), NOW) == 59
    assert shop.seconds_left(NOW - timedelta(seconds=1), NOW) == 0
    assert shop.minutes_to(NOW, NOW + timedelta(minutes=30)) == 30


def test_a_wait_is_rounded_up() -> None:
    assert shop.time_to_wait(NOW + timedelta(seconds=1), NOW) == "1 分钟"
    assert shop.time_to_wait(NOW + timedelta(minutes=11, seconds=1), NOW) == "12 分钟"
    assert shop.time_to_wait(NOW - timedelta(minutes=1), NOW) == "1 分钟"


@pytest.mark.parametrize("phone", ["+8613800138000", "13800138000"])
def test_a_phone(phone: str) -> None:
    assert shop.masked_phone(phone) == "138••••8000"
    assert shop.phone_tail(phone) == "8000"
    assert shop.spaced_phone(phone) == "138 0013 8000"


def test_a_phone_that_is_none_stays_as_typed() -> None:
    assert shop.spaced_phone("1380013") == "1380013"
    assert shop.spaced_phone("１３８００１３８０００") == "１３８００１３８０００"
    assert shop.phone_tail("138-0013-80 00") == "8000"


def test_an_order_number_stands_in_groups_of_four() -> None:
    number = "7K3M9QXA2VTR5W8YH4JC6PNB0D"
    assert shop.grouped(number) == "7K3M 9QXA 2VTR 5W8Y H4JC 6PNB 0D"


def test_what_a_plan_is_for() -> None:
    assert [shop.plan_caption(days) for days in (1, 7, 30, 90)] == [
        "试一天",
        "够用一周",
        "常用更划算",
        "",
    ]


def test_the_unit_of_days() -> None:
    assert shop.days_word(1) == "天"
    with translation.override("en"):
        assert [shop.days_word(days) for days in (1, 7)] == ["day", "days"]


def test_the_first_message_of_a_field() -> None:
    errors = [
        *error("phone", "手机号要 11 位，以 1 开头"),
        *error("code", "先获取验证码"),
        *error("code", "再说一遍"),
    ]
    assert shop.message_for(errors, "code") == "先获取验证码"
    assert shop.message_for(errors, "plan") == ""
    assert shop.message_for(None, "plan") == ""
