from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from notifications import push
from notifications.push import endpoints, subscriptions
from notifications.sms import reports

if TYPE_CHECKING:
    from kameng.http import MemberRequest


@csrf_exempt
@require_POST
def sms_report(request: HttpRequest, provider: str, secret: str) -> HttpResponse:
    if provider not in reports.PROVIDERS or not reports.is_secret(provider, secret):
        raise Http404
    try:
        deliveries = reports.read(provider, request.body)
    except reports.Malformed:
        return HttpResponse(status=400)
    reports.store(provider, deliveries)
    return JsonResponse(
        reports.PROVIDERS[provider].REPORT_REPLY,
        json_dumps_params={"ensure_ascii": False},
    )


@login_required
@require_POST
@sensitive_post_parameters("endpoint", "auth")
def push_on(request: MemberRequest) -> HttpResponse:
    """Keep what the browser's own call for a subscription has returned."""
    from notifications.push import seal

    if not push.is_on():
        raise Http404
    endpoint, p256dh, auth = (
        request.POST.get(name, "") for name in ("endpoint", "p256dh", "auth")
    )
    try:
        saved = subscriptions.save(
            request.user.pk, endpoint, p256dh, auth, now=request.now
        )
    except endpoints.Refused:
        return JsonResponse({"error": _("不认识这个浏览器的推送服务")}, status=422)
    except seal.BadKey:
        return JsonResponse({"error": _("浏览器给的密钥不对")}, status=422)
    request.session[subscriptions.SESSION] = saved.digest
    return HttpResponse(status=204)


@login_required
@require_POST
@sensitive_post_parameters("endpoint")
def push_off(request: MemberRequest) -> HttpResponse:
    """Forget a browser; works also while push is off in the shop."""
    subscriptions.drop(request.user.pk, request.POST.get("endpoint", ""))
    return HttpResponse(status=204)
