"""The page on which a member signs a cycle pay agreement, and its side under control.

Afterwards the same page is where the wallet lists the agreement: it can be stopped, and
its switches say how coming debits end.
"""

from __future__ import annotations

from dataclasses import asdict

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, re_path
from django.views.decorators.http import require_POST, require_safe

from sandbox import alipay_agreements
from sandbox.agreements import Agreement, DebitPlan, Outcome
from sandbox.control import Json, Mistaken, spoken
from sandbox.world import world

OUTCOMES = {
    Outcome.PAY: ("照常扣款", "paid"),
    Outcome.BALANCE: ("余额不足", "balance too low"),
    Outcome.BANK: ("银行卡余额不足", "bank card too low"),
    Outcome.LIMIT: ("超出当日限额", "over the day's limit"),
    Outcome.UNDER_WAY: ("处理中，没有结果", "under way"),
}


def urls() -> list[URLPattern]:
    page = "alipay/agreement/<str:token>/"
    one = r"^_control/agreements/(?P<number>\w+)"
    return [
        path(page, show, name="agreement"),
        path(f"{page}agree/", agree, name="agreement-agree"),
        path(f"{page}refuse/", refuse, name="agreement-refuse"),
        path(f"{page}stop/", stop, name="agreement-stop"),
        path(f"{page}debits/", set_debits, name="agreement-debits"),
        re_path(r"^_control/agreements/?$", agreements),
        re_path(one + r"/?$", one_agreement),
        re_path(one + r"/(?P<deed>agree|refuse|stop)/?$", act),
        re_path(one + r"/debits/?$", plan_debits),
        re_path(one + r"/notify/?$", notify),
    ]


# --- For people --------------------------------------------------------------------


@require_safe
def show(request: HttpRequest, token: str) -> HttpResponse:
    with world().lock:
        agreement = _by_token(token)
        deliveries = [
            each
            for each in list(world().notices.deliveries)
            if (each.gateway, each.number) == ("alipay", agreement.number)
        ]
        context = {
            "agreement": agreement,
            "outcomes": OUTCOMES,
            "back": alipay_agreements.back_url(agreement, now=world().now()),
            "deliveries": deliveries[-5:],
        }
        return render(request, "sandbox/agreement.html", context)


@require_POST
def agree(request: HttpRequest, token: str) -> HttpResponse:
    alipay_agreements.agree(_by_token(token), notify="lose" not in request.POST)
    return redirect("agreement", token)


@require_POST
def refuse(request: HttpRequest, token: str) -> HttpResponse:
    alipay_agreements.refuse(_by_token(token))
    return redirect("agreement", token)


@require_POST
def stop(request: HttpRequest, token: str) -> HttpResponse:
    """The member stops it in her wallet."""
    alipay_agreements.end(_by_token(token), notify="lose" not in request.POST)
    return redirect("agreement", token)


@require_POST
def set_debits(request: HttpRequest, token: str) -> HttpResponse:
    outcome = request.POST.get("outcome", "")
    if outcome not in list(Outcome):
        raise Http404
    notify = "lose" if "lose" in request.POST else "send"
    _plan(_by_token(token), DebitPlan(Outcome(outcome), notify))
    return redirect("agreement", token)


def _by_token(token: str) -> Agreement:
    with world().lock:
        found = world().agreements.by_token(token)
    if found is None:
        raise Http404
    return found


def _plan(agreement: Agreement, plan: DebitPlan) -> None:
    with world().lock:
        agreement.plan = plan
        world().agreements.save(agreement)


# --- For tests ---------------------------------------------------------------------


@spoken("GET")
def agreements(request: HttpRequest, body: Json) -> object:
    """All agreements, newest first."""
    with world().lock:
        return {"agreements": [_view(each) for each in world().agreements]}


@spoken("GET")
def one_agreement(request: HttpRequest, body: Json, number: str) -> object:
    return _view(_numbered(number))


@spoken("POST")
def act(request: HttpRequest, body: Json, number: str, deed: str) -> object:
    """What the member does on the page or, to stop, in her wallet."""
    agreement, notify = _numbered(number), body.get("notify") != "lose"
    if deed == "agree":
        alipay_agreements.agree(agreement, notify=notify)
    elif deed == "refuse":
        alipay_agreements.refuse(agreement)
    else:
        alipay_agreements.end(agreement, notify=notify)
    return _view(agreement)


@spoken("POST")
def plan_debits(request: HttpRequest, body: Json, number: str) -> object:
    """How coming debits end."""
    count = int(body["count"]) if body.get("count") else None
    notify = str(body.get("notify", "send"))
    if notify not in ("send", "lose"):
        raise Mistaken("notify is send or lose")
    plan = DebitPlan(Outcome(str(body.get("outcome", "pay"))), notify, count)
    _plan(_numbered(number), plan)
    return asdict(plan)


@spoken("POST")
def notify(request: HttpRequest, body: Json, number: str) -> object:
    """Send one notice of how it stands now, and report the shop's answer."""
    variant = str(body.get("variant", "resend"))
    if variant not in ("resend", *alipay_agreements.FORGERIES):
        raise Mistaken(f"variant is resend or {', '.join(alipay_agreements.FORGERIES)}")
    forgery = "" if variant == "resend" else variant
    with world().lock:
        letter = alipay_agreements.letter(_numbered(number), forgery=forgery)
    return {"deliveries": [asdict(world().notices.deliver(letter))]}


def _numbered(number: str) -> Agreement:
    with world().lock:
        found = world().agreements.get(number)
    if found is None:
        raise Mistaken(f"no agreement {number}", 404)
    return found


def _view(agreement: Agreement) -> Json:
    return asdict(agreement) | {
        "next_on": agreement.next_on.isoformat(),
        "page": f"/alipay/agreement/{agreement.token}/",
    }
