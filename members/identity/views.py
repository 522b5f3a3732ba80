"""Signing in by a tap, binding and unbinding: the buttons and the ways back."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest, member_of, next_page
from members.identity import binding, journey, nicknames, offers, pending
from members.identity.contract import NotRecognised, Person, Refused
from members.identity.journey import Aim, Journey
from members.models import Identity, Provider
from members.sign_in import confirm, signin

log = logging.getLogger(__name__)

_LONGEST_CODE = 512


def _callback_url(provider: str) -> str:
    """Under our own public address, whatever host the browser asked for."""
    return settings.PUBLIC_URL + reverse("login-callback", args=[provider])


def _set_out(request: ShopRequest, provider: str, aim: Aim, where: str) -> HttpResponse:
    """To the provider's page, 404 where it is not offered on this device."""
    offer = next((o for o in offers.here(request) if o.provider == provider), None)
    if offer is None:
        raise Http404
    state = journey.begin(
        request, provider, offer.app, aim, where=where, now=request.now
    )
    url = offer.client.authorize_url(redirect_uri=_callback_url(provider), state=state)
    return SeeOther(url)


@require_POST
def login(request: ShopRequest, provider: str) -> HttpResponse:
    """One tap: to WeChat or QQ. From a checkout the choice comes along."""
    where = next_page(request, "account")
    chosen = "plan" if "plan" in request.POST else "quantity"
    choice = request.POST.get(chosen, "")[:40]
    if choice and not urlsplit(where).query:
        where = f"{where}?{urlencode({chosen: choice})}"
    if member_of(request) is not None:
        return SeeOther(where)
    return _set_out(request, provider, Aim.LOGIN, where)


@require_GET
@sensitive_variables("code")
def callback(request: ShopRequest, provider: str) -> HttpResponse:
    """Back from the provider. Nothing happens without the state of this browser."""
    if provider not in Provider.values:
        raise Http404
    state = request.GET.get("state", "")[:64]
    trip = journey.end(request, provider, state, now=request.now)
    if trip is None:
        return _failed(request, provider, "expired", 400)
    code = request.GET.get("code", "")
    if not code:
        return _failed(request, provider, "declined", 200, trip)
    client = offers.client_for(provider, trip.app)
    if client is None or len(code) > _LONGEST_CODE:
        return _failed(request, provider, "expired", 400, trip)
    try:
        person = client.recognise(code, redirect_uri=_callback_url(provider))
        return _arrived(request, person, trip)
    except Refused as refusal:
        log.warning("%s refused a log-in: %s", provider, refusal.code)
        return _failed(request, provider, "refused", 400, trip)
    except NotRecognised as doubt:
        log.warning("%s gave no answer to a log-in: %s", provider, doubt)
        return _failed(request, provider, "unavailable", 503, trip)


def _arrived(request: ShopRequest, person: Person, trip: Journey) -> HttpResponse:
    """Do what she set out for.

    raises  Refused
    """
    provider = person.provider.value
    match trip.aim:
        case Aim.BIND:
            return _to_be_bound(request, person)
        case Aim.CONFIRM:
            found = binding.find(person)
            if found is None or found.member_id != request.user.pk:
                return _failed(request, provider, "somebody-else", 400, trip)
            signin.prove(request, now=request.now)
            return SeeOther(trip.next)
    if member_of(request) is not None:  # signed in meanwhile, in another tab
        return SeeOther(trip.next)
    try:
        signin.enter(request, binding.recognise(person, now=request.now))
    except signin.Refused:
        return _failed(request, provider, "closed", 403, trip)
    return SeeOther(trip.next)


def _failed(
    request: ShopRequest,
    provider: str,
    reason: str,
    status: int,
    trip: Journey | None = None,
) -> HttpResponse:
    """What happened, and the way on: by phone, or once more."""
    context = {
        "provider_name": Provider(provider).label,
        "reason": reason,
        "next": trip.next if trip else "",
        "here": "account" if request.user.is_authenticated else "login",
    }
    return render(request, "members/identity_failed.html", context, status=status)


# --- In the account --------------------------------------------------------------------


@login_required
@require_GET
def identities(request: MemberRequest) -> HttpResponse:
    """Every way into the account, and what can be added here."""
    member = request.user
    mine = list(member.identities.order_by("pk"))
    known = {identity.provider for identity in mine if identity.unionid}
    context = {
        "here": "account",
        "masked_phone": member.masked_phone,
        "identities": [_facts(identity) for identity in mine],
        # Whose unionid is known is known in all applications of the provider.
        "offers": [o for o in offers.here(request) if o.provider not in known],
        "removable": binding.ways_in(member) > 1,
    }
    return render(request, "members/identities.html", context)


def _facts(identity: Identity) -> dict[str, Any]:
    return {
        "pk": identity.pk,
        "provider_name": Provider(identity.provider).label,
        "nickname": identity.nickname,
        "created_at": identity.created_at,
        "used_at": identity.used_at,
    }


@login_required
@require_POST
@confirm.required(back="account-identities")
def bind(request: MemberRequest, provider: str) -> HttpResponse:
    """To the provider, in order to bind; a new way in asks who it is first."""
    return _set_out(request, provider, Aim.BIND, reverse("account-identities"))


def _to_be_bound(request: ShopRequest, person: Person) -> HttpResponse:
    """Keep whom the provider recognised until she confirms (security 25)."""
    found = binding.find(person)
    if found is not None and found.member_id != request.user.pk:
        return _taken(request, person.provider.value)
    if found is not None:
        messages.success(request, _("这个账号已经绑定了"))
        return SeeOther(reverse("account-identities"))
    pending.keep(request, person, now=request.now)
    return SeeOther(reverse("account-identity-bind"))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def bind_found(request: MemberRequest) -> HttpResponse:
    """The explicit yes: only this binds, and only what this browser has brought."""
    person = pending.kept(request, now=request.now)
    if person is None:
        pending.forget(request)
        return SeeOther(reverse("account-identities"))
    if request.method != "POST":
        context = {
            "here": "account",
            "provider_name": person.provider.label,
            "nickname": nicknames.clean(person.nickname),
            "account_name": request.user.signs_in_as,
        }
        return render(request, "members/identity_bind.html", context)
    pending.forget(request)
    try:
        binding.bind(request.user.pk, person, now=request.now)
    except (binding.Taken, Refused):
        return _taken(request, person.provider.value)
    messages.success(request, _("绑定好了，下次可以用它登录"))
    return SeeOther(reverse("account-identities"))


def _taken(request: ShopRequest, provider: str) -> HttpResponse:
    """Neutral words: whose it is instead is nobody's business (security 27)."""
    return _failed(request, provider, "taken", 409)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@confirm.required(back="account-identities")
def unbind(request: MemberRequest, pk: int) -> HttpResponse:
    """Ask, then take away; the last way in stays."""
    identity = get_object_or_404(request.user.identities, pk=pk)
    last = binding.ways_in(request.user) <= 1
    if request.method == "POST":
        try:
            binding.unbind(request.user.pk, pk, now=request.now)
        except binding.LastWayIn:
            last = True
        else:
            messages.success(request, _("已解绑"))
            return SeeOther(reverse("account-identities"))
    context = {"here": "account", "identity": _facts(identity), "last": last}
    status = 409 if request.method == "POST" else 200
    return render(request, "members/identity_unbind.html", context, status=status)


@login_required
@require_POST
def confirm_with(request: MemberRequest, provider: str) -> HttpResponse:
    """Step up by the identity itself, for members who have no phone to be asked on."""
    if request.user.phone or not request.user.identities.filter(provider=provider):
        raise Http404
    return _set_out(request, provider, Aim.CONFIRM, next_page(request, "account"))
