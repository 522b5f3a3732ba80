"""From choosing to an order: the choice page and what its one form does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from kameng.devices import Device, device_of
from kameng.http import SeeOther, ShopRequest, member_of
from kameng.templatetags.shop import yuan
from members import addresses, phones, rules
from members.context import forget_standing, standing_facts
from members.models import Member, Purpose, TierKind
from members.sign_in import phone_step, unused_phone, way_back
from members.sign_in.phone_step import FieldError
from members.tiers import catalogue
from orders import advice, choice, coupon_step, coupons, goods_page
from orders import checkout as placing
from orders.choice import Page, Typed
from orders.goods_page import GoodsPage
from orders.models import Order
from orders.real_name import Lack
from payments import attempts, channels
from payments.attempts import Way
from payments.gateways import mandates as gateway_mandates
from payments.models import Attempt
from payments.renewing import mandates, renewal_box


@require_GET
def home(request: ShopRequest) -> HttpResponse:
    """The ladder at once; cached whole for visitors without a session."""
    temporary = choice.stubs(Page(request, TierKind.TEMPORARY))
    sold = [stub for stub in temporary if not stub["sold_off"]]
    promoted = [stub for stub in sold if stub["promo_ends_at"]]
    context = {
        "plans": temporary,
        "from_plan": min(sold, key=lambda stub: stub["price_fen"], default=None),
        "long_term": choice.stubs(Page(request, TierKind.LONG_TERM)),
        "campaign": promoted[0] if promoted else None,
        "membership": standing_facts(request),
    }
    return render(request, "home.html", context)


@require_GET
def membership(request: ShopRequest) -> HttpResponse:
    """Two entries, temporary and long-term, with the perks side by side."""
    temporary = Page(request, TierKind.TEMPORARY)
    context = {
        "here": "membership",
        "entries": [choice.entry(Page(request, kind)) for kind in catalogue.KINDS],
        "benefits": choice.benefit_rows(),
        "ladder_version": choice.ladder_version(),
        "membership": standing_facts(request),
        "recommendation": choice.centre_recommendation(temporary),
        "conversion": choice.conversion(temporary),
    }
    return render(request, "members/membership.html", context)


@require_GET
def membership_kind(request: ShopRequest, kind: str) -> HttpResponse:
    page = with_channels(Page(request, kind, wished(request)))
    return render(request, "members/choice.html", choice.context(page))


def wished(request: ShopRequest) -> Typed:
    """What a link back to the page chooses: quantity and channel; never what is typed."""
    return Typed(
        channel=request.GET.get("channel", "")[:16],
        quantity=min(_quantity(request.GET.get("quantity", "1")), placing.QUANTITY_MAX),
    )


def with_channels[P: Page | GoodsPage](page: P) -> P:
    """The payment chooser for the device that asks."""
    here = device(page.request)
    wanted = page.typed.channel or page.last_choice("channel")
    amount_fen = page.amount_fen()
    chosen = channels.default_channel(here, wanted, amount_fen)
    page.in_wechat = here == Device.WECHAT
    page.channels = [
        {
            "code": offer.code,
            "label": str(offer.channel.label),
            "hint": "",
            "available": offer.usable,
            "reason": "" if offer.usable else _reason(offer, here),
            "selected": offer.code == chosen,
            "renews": gateway_mandates.of(offer.channel.gateway) is not None,
        }
        for offer in channels.offers(here, amount_fen)
    ]
    page.has_caps = any(each.cap_fen for each in channels.known().values())
    if isinstance(page, Page):
        page.renewal = renewal_box.of(page)
    return page


def device(request: ShopRequest) -> Device:
    return device_of(request.headers.get("User-Agent", ""))


def _reason(offer: channels.Offer, here: Device) -> str:
    if offer.over_cap:
        return _over_cap(offer.code)
    elsewhere = _("这里用不了，请在浏览器打开")
    return str(offer.channel.reasons.get(here, elsewhere))


def _over_cap(code: str) -> str:
    return _("单笔最多 {cap}，请换一种付法").format(
        cap=yuan(channels.cap_of(code) or 0)
    )


@require_GET
def summary(request: ShopRequest) -> HttpResponse:
    """The fragment beside the button when another plan is picked.

    Where a way to pay has a limit, the chooser comes along as it is for the new sum.
    """
    if "goods" in request.GET:
        return _goods_summary(request)
    plan = catalogue.current().plan(request.GET.get("plan", ""))
    if plan is None or not (plan.enabled and plan.tier.enabled):
        raise Http404
    typed = Typed(plan=plan.slug, channel=request.GET.get("channel", "")[:16])
    page = Page(request, plan.tier.kind, typed)
    coupon_step.put_back(page, request.GET.get("applied", ""))
    with_channels(page)
    context = choice.summary_context(page, plan)
    answer = render(request, "members/choice.html#summary", context)
    if any(channel["renews"] for channel in page.channels):
        box = {"renewal": page.renewal, "renewal_oob": True}
        answer.write(render(request, "members/choice.html#renewal", box).content)
    return _with_chooser(page, answer)


def _with_chooser(page: Page | GoodsPage, answer: HttpResponse) -> HttpResponse:
    if page.has_caps:
        chooser = {"channels": page.channels, "channels_oob": True, "errors": []}
        fragment = "components/channels.html#id_channel"
        answer.write(render(page.request, fragment, chooser).content)
    return answer


def _goods_summary(request: ShopRequest) -> HttpResponse:
    goods = goods_page.find(request.GET["goods"][:40])
    if goods is None or not goods.enabled:
        raise Http404
    quantity = request.GET.get("quantity", "1")
    channel = request.GET.get("channel", "")[:16]
    typed = Typed(quantity=_quantity(quantity), channel=channel)
    page = GoodsPage(request, goods, typed)
    coupon_step.put_back(page, request.GET.get("applied", ""))
    with_channels(page)
    context = goods_page.summary_context(page)
    return _with_chooser(page, render(request, "goods/item.html#summary", context))


def _quantity(typed: str) -> int:
    """The number of pieces; 0 for anything that is none (security 44)."""
    return int(typed) if placing.QUANTITY.fullmatch(typed) else 0


def _typed(request: ShopRequest) -> Typed:
    """The form as it came, cut to sane lengths; shape is judged where it is used."""
    post = request.POST
    return Typed(
        plan=post.get("plan", "")[:40],
        goods=post.get("goods", "")[:40],
        channel=post.get("channel", "")[:16],
        phone=post.get("phone", "")[:64],
        code=post.get("code", "")[:16],
        client_token=post.get("client_token", "")[:64],
        quantity=_quantity(post.get("quantity", "1")),
        next=post.get("next", "")[: way_back.LONGEST],
        renew=post.get("renew") == "on",
        renew_for=post.get("renew_for", "")[:40],
        renew_fen=post.get("renew_fen", "")[:12],
        coupon=post.get("coupon", "")[: coupons.LONGEST],
    )


def _page(request: ShopRequest) -> Page | GoodsPage | None:
    """The page that a posted form belongs to; None for goods that nobody knows."""
    typed = _typed(request)
    if typed.goods:
        goods = goods_page.find(typed.goods)
        return GoodsPage(request, goods, typed=typed) if goods else None
    plan = catalogue.current().plan(typed.plan)
    kind = plan.tier.kind if plan else request.POST.get("kind", "")
    return Page(
        request,
        kind if kind in catalogue.KINDS else TierKind.TEMPORARY.value,
        typed=typed,
    )


def _again(
    page: Page | GoodsPage, status: int, *, retry_after: int | None = None
) -> HttpResponse:
    """The page once more with everything typed; the fragment for htmx."""
    fragment = page.request.htmx and not page.request.htmx.boosted
    if isinstance(page, GoodsPage) and not page.goods.enabled:
        return _goods_gone(page.request)
    with_channels(page)
    name, context = _whole(page)
    if fragment and page.request.htmx.target == "phone":
        name += "#phone"
    response = render(page.request, name, context, status=status)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


def _whole(page: Page | GoodsPage) -> tuple[str, dict[str, Any]]:
    """The template of the page and all that it needs."""
    if isinstance(page, GoodsPage):
        return "goods/item.html", goods_page.context(page)
    return "members/choice.html", choice.context(page)


def _goods_gone(request: ShopRequest) -> HttpResponse:
    """The shelves instead of goods that are not sold, with words."""
    words = _("这件商品现在不卖了，看看别的")
    context = goods_page.zone_context(request)
    context["errors"] = [FieldError("goods", words)]
    return render(request, "goods/zone.html", context, status=422)


@require_POST
def send_code(request: ShopRequest) -> HttpResponse:
    """Send a code for the phone of the checkout form; nothing typed is lost."""
    page = _page(request)
    if page is None:
        return _goods_gone(request)
    if member_of(request):
        return _again(page, 200)
    step = phone_step.send(request, page.typed.phone, Purpose.CHECKOUT, now=request.now)
    page.typed.code = ""
    page.phone_state = step.context
    if not request.htmx:  # the fragment for htmx shows neither coupon nor price
        coupon_step.judge(page)
    page.errors = [*step.errors, *coupon_faults(page)]
    return _again(page, step.status, retry_after=step.retry_after)


def coupon_faults(page: Page | GoodsPage) -> list[FieldError]:
    return [page.coupon.fault] if page.coupon.fault else []


@require_POST
def coupon(request: ShopRequest) -> HttpResponse:
    """Put the typed coupon on the price, or take it off; nothing typed is lost.

    htmx gets the coupon's own fragment and the summary with the new price beside it.
    """
    page = _page(request)
    if page is None:
        return _goods_gone(request)
    retry_after = coupon_step.judge(page)
    page.errors = coupon_faults(page)
    status = 429 if retry_after else 422 if page.errors else 200
    if not (request.htmx and request.htmx.target == "coupon"):
        if member_of(request) is None:
            page.phone_state = phone_step.kept(
                request, page.typed.phone, Purpose.CHECKOUT, now=request.now
            )
        return _again(page, status, retry_after=retry_after)
    with_channels(page)
    name, context = _whole(page)
    context["summary_oob"] = True
    fragment = "components/coupon.html#coupon"
    answer = render(request, fragment, context, status=status)
    answer.write(render(request, f"{name}#summary", context).content)
    if retry_after:
        answer["Retry-After"] = str(retry_after)
    return _with_chooser(page, answer)


@require_POST
def checkout(request: ShopRequest) -> HttpResponse:
    """Place the order and hand over to the wallet; 303 to the pay page.

    A double click finds the first order by its token: for a guest before the code is
    judged, for a member by ``place_order`` and before anything is refused (A2).
    """
    page = _page(request)
    if page is None:
        return _goods_gone(request)
    member = member_of(request)
    has_coupon = bool(coupons.plain(page.typed.coupon))
    if (member is None or has_coupon) and (first := _placed_before(page, member)):
        return first
    retry_after = coupon_step.judge(page)
    complaint = _shape(page)
    if complaint or page.coupon.fault:
        page.errors = [*([complaint] if complaint else []), *coupon_faults(page)]
        if member is None:
            page.phone_state = phone_step.kept(
                request, page.typed.phone, Purpose.CHECKOUT, now=request.now
            )
        return _placed_before(page, member) or _again(
            page, 429 if retry_after else 422, retry_after=retry_after
        )
    if member is None:
        step = phone_step.check(
            request,
            page.typed.phone,
            page.typed.code,
            Purpose.CHECKOUT,
            now=request.now,
        )
        if step.is_unused:
            return SeeOther(unused_phone.address(_address_of(page)))
        if step.member is None:
            page.phone_state = step.context
            page.errors = list(step.errors)
            return _again(page, step.status, retry_after=step.retry_after)
        member = step.member
        forget_standing(request)
    elif isinstance(page, Page):
        page.is_advised = True  # she has seen the recommendation
    if "verify_name" in request.POST:  # the button that stands where paying cannot
        return SeeOther(page.real_name_url())
    return _place(page, member)


def _address_of(page: Page | GoodsPage) -> str:
    """The page of the form, with what was chosen."""
    if isinstance(page, GoodsPage):
        return reverse("zone-goods", args=[page.goods.slug])
    kind = reverse("membership-kind", args=[page.kind])
    return f"{kind}?{urlencode({'plan': page.typed.plan})}"


def _placed_before(
    page: Page | GoodsPage, member: Member | None
) -> HttpResponse | None:
    """To the order that this very form has made already, if it has."""
    phone = None
    if member is None:
        try:
            phone = phones.parse(page.typed.phone)
        except phones.BadPhone:
            return None
    order = placing.placed_before(
        page.typed.client_token,
        member_id=member.pk if member else None,
        phone=phone,
    )
    if order is None:
        return None
    if member is None:
        # The first answer has given this browser a new session. The old cookie, which
        # came with this click too, must not make the middleware delete the new one.
        page.request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
    return SeeOther(reverse("order-pay", args=[order.no]))


def _shape_of_thing(page: Page | GoodsPage) -> FieldError | None:
    """What is wrong with the thing and how many of it."""
    typed = page.typed
    if isinstance(page, GoodsPage):
        if not page.goods.enabled:
            return FieldError("goods", _("这件商品现在不卖了，看看别的"))
        most = page.goods.max_per_order
        if not 1 <= typed.quantity <= most:
            words = _("数量要在 1 到 {most} 之间").format(most=most)
            return FieldError("quantity", words)
        return None
    plan = catalogue.current().plan(typed.plan)
    if plan is None or not (plan.enabled and plan.tier.enabled):
        catalogue.forget()
        return FieldError("plan", _("这个套餐现在不卖了，请换一个"))
    if not 1 <= typed.quantity <= placing.QUANTITY_MAX:
        return FieldError("plan", _("数量要在 1 到 12 之间"))
    return None


def _shape(page: Page | GoodsPage) -> FieldError | None:
    """What is wrong with the form itself, before a code is spent on it."""
    typed = page.typed
    if complaint := _shape_of_thing(page):
        return complaint
    if not placing.CLIENT_TOKEN.fullmatch(typed.client_token):
        typed.client_token = ""
        return FieldError("plan", _("页面过期了，请再点一次"))
    if not placing.SHOWN_FEN.fullmatch(page.request.POST.get("shown_fen", "")):
        return FieldError("plan", _("页面过期了，请再点一次"))
    here = device(page.request)
    if channels.product_for(typed.channel, here) is None:
        return FieldError("channel", _("请选一种付款方式"))
    cap_fen = channels.cap_of(typed.channel)
    if cap_fen is not None and page.amount_fen() > cap_fen:
        return FieldError("channel", _over_cap(typed.channel))
    return renewal_box.complaint(page)


def _place(page: Page | GoodsPage, member: Member) -> HttpResponse:
    request, typed = page.request, page.typed
    way = way_for(request, typed.channel)
    assert way is not None
    first: list[Attempt] = []

    def attach(order: Order) -> None:
        first.append(attempts.create_locked(order, way, now=request.now))
        if typed.renew:
            mandates.agree_locked(
                order, way.gateway, shown=typed.renew_fen, now=request.now
            )

    try:
        placed = placing.place_order(
            member_id=member.pk,
            plan_slug=typed.plan,
            goods_slug=typed.goods,
            quantity=typed.quantity,
            shown_fen=int(request.POST["shown_fen"]),
            client_token=typed.client_token,
            address_digest=addresses.client_of(request).address_digest,
            coupon_id=page.coupon.coupon.pk if page.coupon.coupon else None,
            now=request.now,
            attach=attach,
        )
    except placing.NotPlaced as refusal:
        return _refused(page, refusal)
    except mandates.NotOffered:
        page.errors = [renewal_box.gone(typed)]
        return _again(page, 422)
    for attempt in first:
        attempts.start(attempt, now=request.now)
    if isinstance(page, Page) and not placed.repeated:
        advice.record(page.recommended(), placed.order)
    choice.remember(request, typed)
    way_back.keep(request, placed.order.no, way_back.read(typed.next))
    return SeeOther(reverse("order-pay", args=[placed.order.no]))


def _refused(page: Page | GoodsPage, refusal: placing.NotPlaced) -> HttpResponse:
    """A refusal in words; the member that a right code signed in stays signed in."""
    catalogue.forget()
    page.typed.client_token = ""
    page.typed.code = ""
    page.typed.renew = False  # what she agreed to is not what would be bought now
    coupon_step.apply(page)
    match refusal:
        case placing.CouponLeft(why=why):
            page.errors = [FieldError("coupon", coupon_step.words(why))]
            return _again(_reread(page), 422)
        case placing.PriceChanged(price_fen=price):
            words = _("价格刚调整为 {price}，请确认后再付").format(price=yuan(price))
            # Also when her code showed a member, or a coupon was not on the page yet.
            if isinstance(page, GoodsPage) or page.coupon.coupon is not None:
                words = _("这单现在是 {price}，请确认后再付").format(price=yuan(price))
            page.errors = [
                FieldError("quantity" if page.typed.goods else "plan", words)
            ]
            return _again(_reread(page), 422)
        case placing.OutOfStock(left=left) | placing.LimitReached(left=left):
            page.errors = [FieldError("quantity", _too_many(refusal, left))]
            return _again(_reread(page), 422)
        case placing.GoodsGone():
            return _goods_gone(page.request)
        case placing.TooManyOpen(orders=orders):
            return render(
                page.request,
                "orders/too_many.html",
                {"orders": order_rows(orders, now=page.now)},
                status=409,
            )
        case placing.TooFarAhead():
            words = _("会员时间已经够长了，这次没有下单")
            page.errors = [FieldError("plan", words)]
            return _again(page, 422)
        case placing.NameWanted(lack=lack):
            page.errors = [FieldError("real_name", _name_words(lack))]
            return _again(_reread(page), 422)
        case placing.TooManyFromAddress():
            page.errors = [
                FieldError("plan", _("这里未付款的订单太多了，付掉或过一会儿再来"))
            ]
            return _again(page, 429, retry_after=rules.current().hold_seconds)
    page.errors = [FieldError("plan", _("这个套餐现在不卖了，请换一个"))]
    return _again(page, 422)


def _name_words(lack: Lack) -> str:
    match lack:
        case Lack.MINOR:
            return _("这一单只卖给成年人，没有下单，也没有扣款")
        case Lack.CLOSED:
            return _("这一单要先实名认证，现在还不能认证，没有下单，也没有扣款")
    return _("这一单要先实名认证，没有下单，也没有扣款")


def _too_many(refusal: placing.NotPlaced, left: int) -> str:
    if isinstance(refusal, placing.LimitReached):
        return _("超过限购，你还能买 {n} 件").format(n=left)
    if left:
        return _("刚被买走一些，现在还有 {n} 件").format(n=left)
    return _("刚卖完，补货后再来")


def _reread(page: Page | GoodsPage) -> Page | GoodsPage:
    """The page with the stock as it is after all."""
    if isinstance(page, GoodsPage):
        page.goods = goods_page.find(page.goods.slug) or page.goods
    return page


def order_rows(orders: Sequence[Order], *, now: datetime) -> list[dict[str, Any]]:
    """Orders as lines of a list."""
    return [
        {
            "no": order.no,
            "title": order.title,
            "amount_fen": order.amount_fen,
            "placed_at": order.placed_at,
            "expires_at": order.expires_at,
            "status": order.status_at(now),
            "open": order.is_open(at=now),
        }
        for order in orders
    ]


def way_for(request: ShopRequest, channel: str, product: str = "") -> Way | None:
    """How to pay by this channel on this device; None where it cannot serve."""
    chosen = channels.product_for(channel, device(request), product)
    if chosen is None:
        return None
    return Way(
        gateway=channels.known()[channel].gateway,
        channel=channel,
        product=chosen,
        payer_ip=addresses.client_of(request).ip,
    )
