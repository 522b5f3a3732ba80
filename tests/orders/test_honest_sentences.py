"""The sentences themselves, as a member reads them, against a reckoning of their own (S9).

`python -m benchmarks.recommendation.honesty` judges what they are filled from, 10^5
histories in 100 shops each; here some are rendered, read again and judged as text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string

from benchmarks.recommendation import honesty
from benchmarks.recommendation.honesty import Claims, Judge, Past, Shop, least
from members import recommendation, told
from members.recommendation import believe
from members.tiers.ladder import Comparison, Step, cheapest_for, saving
from orders import advice

COUNT = re.compile(r"近 (\d+) 天记下你来过 (\d+) 天")
SUM = re.compile(r"(按天买|其他买法最少) ¥([\d.]+)，PLAN ¥([\d.]+)")
NO_SAVING = re.compile(r"其他买法最少 ¥([\d.]+)，要分几次付；PLAN ¥([\d.]+)，一次付清")
LONG_TERM = re.compile(r"买临时会员最少 ¥([\d.]+)，PLAN ¥([\d.]+)，少 ¥([\d.]+)")
VISITS = re.compile(r"最近 (\d+) 次来，每次连着 (?:(\d+) 到 )?(\d+) 天")


def fen(text: str) -> int:
    return round(float(text) * 100)


def shown(past: Past, claims: Claims, shop: Shop) -> tuple[str, str]:
    """The paragraph beside the ladder and the list behind 「为什么推荐」."""
    step = claims.advice.step
    history = advice.History(honesty.TODAY, past.kept, past.last)
    plan: Any = SimpleNamespace(days=step.days)
    found = advice.Found(history, plan, shop.temporary, claims.advice)
    stub = {"name": "PLAN", "price_fen": step.price_fen}
    sentence = render_to_string(
        "components/advice.html",
        {"recommendation": {"plan": stub, **advice.sums(found)}},
    )
    return sentence, "\n".join(advice.inputs(found, "PLAN"))


def lies(past: Past, shop: Shop) -> list[str]:
    """What is false in the text; the judge has the days as they are."""
    claims = honesty.claims(past, believe(past.kept, today=honesty.TODAY), shop)
    sentence, inputs = shown(past, claims, shop)
    judge = Judge(past)
    found = list(judge.false(claims, shop))
    counted = COUNT.search(sentence)
    assert counted, sentence
    days = judge.row[-int(counted[1]) :]
    if int(counted[2]) != sum(days):
        found.append("count")
    others = [step for step in shop.temporary if step is not claims.advice.step]
    if summed := SUM.search(sentence):
        other = fen(summed[2])
        if not other == least(days, others) > fen(summed[3]):
            found.append("sum")
        if summed[1] == "按天买" and other != sum(days) * honesty.day_price(others):
            found.append("by day")
    elif even := NO_SAVING.search(sentence):
        other = fen(even[1])
        if not other == least(days, others) <= fen(even[2]):
            found.append("no saving")
        if honesty.at_once(days, others):
            found.append("several payments")
    elif "¥" in sentence:
        found.append("a sum in other words")
    lately = VISITS.search(inputs)
    told_of = [int(each or lately[3]) for each in lately.groups()] if lately else None
    if told_of != (judge.runs and [len(judge.runs), min(judge.runs), max(judge.runs)]):
        found += ["visits"] if told_of or judge.runs else []
    if claims.long_term and not _long_term_text_holds(claims.long_term, judge, shop):
        found.append("long-term text")
    return found


def _long_term_text_holds(offer: told.LongTerm, judge: Judge, shop: Shop) -> bool:
    text = render_to_string(
        "components/conversion.html",
        {
            "conversion": {
                "plan": {"name": "PLAN", "slug": "long-term"},
                "window_days": offer.window_days,
                "days_seen": offer.days_seen,
                "other_fen": offer.other_fen,
                "price_fen": offer.plan.price_fen,
                "saving_fen": offer.saving_fen,
            }
        },
    )
    counted, summed = COUNT.search(text), LONG_TERM.search(text)
    assert counted, text
    assert summed, text
    days = judge.row[-int(counted[1]) :]
    other, price, saved = map(fen, summed.groups())
    return (
        int(counted[2]) == sum(days)
        and other == least(days, shop.temporary)
        and saved == other - price > 0
    )


def pairs(histories: int, shops: int, seed: int = 11) -> list[tuple[Past, Shop]]:
    draw = random.Random(seed)
    known = [honesty.random_shop(draw) for _ in range(shops)]
    pasts = [honesty.random_past(draw) for _ in range(histories)]
    return [(past, shop) for past in pasts for shop in known]


def test_no_sentence_that_is_read_is_false():
    """S9, S26"""
    found = [lies(past, shop) for past, shop in pairs(80, 4)]
    assert [each for each in found if each] == []


def test_what_is_told_without_a_saving_is_not_false_either():
    """security.md 5.3 (b): fewer payments are no saving, and are not told as one."""
    ladder = (Step(1, 300), Step(7, 1_500), Step(30, 5_000))
    shop = Shop(ladder, (), bother_fen=50)
    draw = random.Random(5)
    told_so = 0
    for _ in range(150):
        ahead = {0, *(ago for ago in range(20) if draw.random() < 0.75)}
        days = frozenset(honesty.TODAY - timedelta(days=ago) for ago in ahead)
        past = Past(days, days, None)
        assert lies(past, shop) == []
        belief = believe(days, today=honesty.TODAY)
        told_so += honesty.claims(past, belief, shop).sums.no_saving
    assert told_so >= 10


def test_nothing_that_sentences_are_filled_from_is_false():
    """S9, S26"""
    found = honesty.run(60, 5, seed=9)
    assert found["told"] > 350
    assert honesty.false_of(found) == 0


def straw_man(days: Any, ladder: Any) -> int | None:
    """Day by day with the dearest plan: what a saving must not be told against."""
    return len(set(days)) * max(step.price_fen for step in ladder) if ladder else None


def sums_of_longer_ago(*args: Any, **named: Any) -> told.Sums:
    found = told_sums(*args, **named)
    return told.Sums(found.window_days, found.days_seen + 1, found.other_fen)


told_sums = told.sums


@pytest.mark.parametrize(
    ("module", "name", "lie", "caught"),
    [
        (recommendation, "compare_within", None, "sums"),
        (told, "cheapest_for", straw_man, "long-term"),
        (told, "sums", sums_of_longer_ago, "count"),
    ],
    ids=["a straw man", "a dearer way", "a day too many"],
)
def test_a_lie_is_found(
    module: Any,
    name: str,
    lie: Callable[..., Any] | None,
    caught: str,
    monkeypatch: pytest.MonkeyPatch,
):
    """The control: sentences that do not hold, and the judge that sees it."""
    monkeypatch.setattr(module, name, lie or dearer_comparison)
    found = [name for past, shop in pairs(40, 4) for name in lies(past, shop)]
    assert caught in found


def dearer_comparison(days: Any, step: Step, others: Any) -> Any:
    found = Comparison(
        len(set(days)), step.price_fen, straw_man(days, others) or 0, False
    )
    return found if found.days else None


def test_the_judge_agrees_with_the_sums_of_the_text():
    """security.md 5.1: from the 23rd day the month pays; ties at 5, 12 and 19 days."""
    day, week, month = Step(1, 300), Step(7, 1_500), Step(30, 5_000)
    ladder = [day, week, month]
    known = {4: 1_200, 5: 1_500, 7: 1_500, 12: 3_000, 19: 4_500, 22: 4_800, 23: 5_000}
    for days, price in known.items():
        assert least([True] * days, ladder) == price
        assert cheapest_for(range(days), ladder) == price
    assert least([True] * 30, [day, week]) == 6_600
    told_of = saving(month, [day, week])
    assert told_of is not None
    assert told_of.fen == 1_600
    assert honesty.false_labels(Shop((day, week, month), ())) == 0


def test_a_plan_that_was_not_worth_its_price_is_named_next_time():
    """security.md 5.1: the regret is counted after purchase."""
    today = honesty.TODAY
    ladder = [Step(1, 300), Step(7, 1_500), Step(30, 5_000)]
    begun = today - timedelta(days=40)
    days = {begun + timedelta(days=ahead) for ahead in range(0, 30, 3)}
    found = told.unused(days, (begun, 30), ladder, today=today)
    assert found == told.Unused(30, 10, 3_000, 5_000)
    every = {begun + timedelta(days=ahead) for ahead in range(30)}
    assert told.unused(every, (begun, 30), ladder, today=today) is None
    running = today - timedelta(days=29)
    assert told.unused({running}, (running, 30), ladder, today=today) is None
    assert told.unused({begun}, (begun, 60), ladder, today=today) is None, "not sold"
